// Owns how far vectors lie from the plane that a PCA head writes in; the audit's part on norms calls it.
// Axes: N vectors, D hidden.
import { projectOntoPlane } from '../latent/pca.ts';
import type { PcaBasis } from '../latent/pca.ts';

/**
 * Distance of every vector [N, D] to the plane P c + mu, over its distance to mu: 0 on the plane, 1
 * at a right angle to it; 0 for mu itself. Worked example, plane = first axis, mu = 0: (3, 4) has
 * distance 4 and lies 5 from mu, so 0.8.
 * Source: GAP Eq. 1 for the plane; the ratio is ours, since states are far longer than embeddings.
 */
export function planeDistances(basis: PcaBasis, vectors_ND: Float32Array): number[] {
  const { dim, mean_D } = basis;
  const nearest_ND = projectOntoPlane(basis, vectors_ND);
  return Array.from({ length: vectors_ND.length / dim }, (_, n) => {
    let [off, all] = [0, 0];
    for (let d = 0; d < dim; d++) {
      const value = vectors_ND[n * dim + d] ?? 0;
      off += (value - (nearest_ND[n * dim + d] ?? 0)) ** 2;
      all += (value - (mean_D[d] ?? 0)) ** 2;
    }
    return all === 0 ? 0 : Math.sqrt(off / all);
  });
}
