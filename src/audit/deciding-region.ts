// Owns which tokens of a query picture show what decides the answer, told by the auxiliary picture; the part on dependence calls it.
import { fitPicture } from '../context/prepared.ts';
import type { ExamplePictures } from '../context/prepared.ts';
import type { Raster } from '../data/raster.ts';
import type { ModelBundle } from '../model/bundle.ts';

/** Why a picture has no deciding region. */
export type RegionObstacle =
  'no auxiliary picture' | 'sizes differ' | 'nothing differs' | 'everything differs';

/** Tokens of the deciding region in raster order, or why there are none. */
export type DecidingRegion =
  | { readonly tokens: readonly number[]; readonly numTokens: number }
  | { readonly obstacle: RegionObstacle };

function differs(a: Raster, b: Raster, left: number, top: number, side: number): boolean {
  for (let y = top; y < top + side; y++) {
    const start = 3 * (y * a.width + left);
    for (let i = start; i < start + 3 * side; i++) if (a.data[i] !== b.data[i]) return true;
  }
  return false;
}

/**
 * Tokens of the query picture, as the model takes it, whose pixels are others in the auxiliary
 * picture: what the auxiliary picture marks or changes is what the question is about. ours. Worked
 * example: pictures of 2 x 2 tokens that differ in one pixel at the right bottom give token 3.
 */
export function decidingRegion(
  bundle: ModelBundle,
  { picture, auxiliary }: ExamplePictures,
): DecidingRegion {
  if (!auxiliary) return { obstacle: 'no auxiliary picture' };
  if (auxiliary.width !== picture.width || auxiliary.height !== picture.height)
    return { obstacle: 'sizes differ' };
  const [query, other] = [fitPicture(bundle, picture), fitPicture(bundle, auxiliary)];
  const side = bundle.patches.patchSize * bundle.patches.mergeSize;
  const perRow = Math.floor(query.width / side);
  const numTokens = perRow * Math.floor(query.height / side);
  const tokens = Array.from({ length: numTokens }, (_, m) => m).filter((m) =>
    differs(query, other, (m % perRow) * side, Math.floor(m / perRow) * side, side),
  );
  if (tokens.length === 0) return { obstacle: 'nothing differs' };
  // Attention on all of the picture is its share of it, whatever the attention is.
  return tokens.length === numTokens ? { obstacle: 'everything differs' } : { tokens, numTokens };
}
