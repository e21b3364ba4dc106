// Owns the arms that several parts read: the span suppressed, another example's latents, the oracle's.
// Axes: K latents of a span, D hidden.
import { projectOntoPlane } from '../latent/pca.ts';
import { donorOf, latentsOf } from './arms.ts';
import type { ArmSpec, AuditContext, CleanRow } from './part.ts';

/** The span is suppressed. */
export const ZERO_LATENT_ARM: ArmSpec = {
  name: 'zero-latent',
  title: 'Zero-latent: span suppressed',
  intervention: { kind: 'zero-latent' },
};

/** Every row with a span gets its donor's latents; undefined when one of them has no donor. */
export function otherArm({ rows }: AuditContext): ArmSpec | undefined {
  const isWhole = rows.every((row, i) => !latentsOf(row) || donorOf(rows, i) !== undefined);
  if (!isWhole) return undefined;
  return {
    name: 'other',
    title: "Another example's latents",
    intervention: { kind: 'given' },
    given: (_, index) => {
      const donor = rows[donorOf(rows, index) ?? index];
      return donor && latentsOf(donor);
    },
  };
}

/**
 * Every row with a span gets the embeddings of its auxiliary picture, for a PCA head the points of
 * its plane, as it can write no others; undefined when one of them has no such picture.
 */
export function oracleArm({ rows, model }: AuditContext): ArmSpec | undefined {
  const { basis, spec } = model.head;
  const latents = ({ item }: CleanRow): Float32Array | undefined => {
    const { auxiliaryRows_KD } = item;
    return auxiliaryRows_KD && basis && spec.kind === 'pca'
      ? projectOntoPlane(basis, auxiliaryRows_KD)
      : auxiliaryRows_KD;
  };
  const isWhole = rows.every((row) => !latentsOf(row) || row.item.auxiliaryRows_KD !== undefined);
  if (!isWhole) return undefined;
  return {
    name: 'oracle',
    title: "Oracle: the auxiliary picture's embeddings",
    intervention: { kind: 'given' },
    given: latents,
  };
}
