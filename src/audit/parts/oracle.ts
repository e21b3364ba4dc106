// Owns the measurement of what auxiliary pictures are worth: accuracy when their embeddings are given as latents,
// and when the picture is given as a second input; run-audit.ts drives it.
import { writesLatents } from '../../evaluate/interventions.ts';
import type { ArmSpec, AuditContext, PartDefinition } from '../part.ts';
import { oracleInformativeness } from '../picture-oracle.ts';
import { oracleArm, ZERO_LATENT_ARM } from '../shared-arms.ts';
import { summariseOracle } from './oracle-summary.ts';

function arms(context: AuditContext): ArmSpec[] {
  const written = context.rows.some(({ result }) => result.latents.length > 0);
  if (!writesLatents(context.model) || !written) return [];
  const oracle = oracleArm(context);
  return [ZERO_LATENT_ARM, ...(oracle ? [oracle] : [])];
}

/** Oracle informativeness of the dataset; works on models without a latent head too. */
export const ORACLE_PART: PartDefinition = {
  name: 'oracle',
  obstacle: ({ rows }) =>
    rows.some(({ item }) => item.example.auxiliary !== undefined)
      ? undefined
      : 'no example has an auxiliary picture',
  arms,
  collect: ({ decoder, encoder, rows, loadPictures, generation, seed, batchSize, signal }, done) =>
    oracleInformativeness({
      ...{ decoder, encoder, loadPictures, generation, seed, batchSize, done },
      items: rows.map(({ item }) => item),
      ...(signal ? { signal } : {}),
    }),
  summarise: summariseOracle,
};
