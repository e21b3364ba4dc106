// Owns the measurement of what auxiliary pictures are worth: accuracy when their embeddings are given as latents,
// and when the picture is given as a second input; run-audit.ts drives it.
// Axes: K latents of a span, D hidden.
import { writesLatents } from '../../evaluate/interventions.ts';
import { projectOntoPlane } from '../../latent/pca.ts';
import type { GapModel } from '../../latent/model.ts';
import type { ArmSpec, AuditContext, CleanRow, PartDefinition } from '../part.ts';
import { oracleInformativeness } from '../picture-oracle.ts';
import { summariseOracle } from './oracle-summary.ts';

/** What the oracle writes: the auxiliary picture's embeddings, for a PCA head the points of its plane. */
function oracleLatents({ head }: GapModel, { item }: CleanRow): Float32Array | undefined {
  const rows_KD = item.auxiliaryRows_KD;
  return rows_KD && head.basis && head.spec.kind === 'pca'
    ? projectOntoPlane(head.basis, rows_KD)
    : rows_KD;
}

function arms({ model, rows }: AuditContext): ArmSpec[] {
  const written = rows.filter(({ result }) => result.latents.length > 0);
  if (!writesLatents(model) || written.length === 0) return [];
  const zero: ArmSpec = {
    name: 'zero-latent',
    title: 'Span suppressed',
    intervention: { kind: 'zero-latent' },
  };
  const isWhole = written.every(({ item }) => item.auxiliaryRows_KD !== undefined);
  if (!isWhole) return [zero];
  return [
    zero,
    {
      name: 'oracle',
      title: 'Embeddings of the auxiliary picture',
      intervention: { kind: 'oracle' },
      given: (row) => oracleLatents(model, row),
    },
  ];
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
