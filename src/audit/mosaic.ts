// Owns pictures of latents: each latent shown as the picture patch whose embedding is nearest to it.
// Axes: N patches of the bank, D hidden, K latents of a span.
import { crop, createRaster, paste } from '../data/raster.ts';
import type { Raster } from '../data/raster.ts';
import { ShapeError } from '../errors.ts';

/** Embeddings of real picture patches and how the patches look. */
export interface PatchBank {
  readonly width: number;
  /** [N, D] */
  readonly rows_ND: Float32Array;
  readonly patches: readonly Raster[];
}

/** A picture cut into the squares its tokens stand for, in raster order. */
export function cutPatches(picture: Raster, side: number): Raster[] {
  const patches: Raster[] = [];
  for (let y = 0; y + side <= picture.height; y += side) {
    for (let x = 0; x + side <= picture.width; x += side)
      patches.push(crop(picture, x, y, side, side));
  }
  return patches;
}

/** A bank from pictures and their embeddings [tokens, D], one picture after the other. */
export function makePatchBank(
  pictures: readonly Raster[],
  rows_ND: Float32Array,
  width: number,
  side: number,
): PatchBank {
  const patches = pictures.flatMap((picture) => cutPatches(picture, side));
  if (patches.length * width !== rows_ND.length) {
    throw new ShapeError({
      what: 'patches and embeddings do not belong together',
      got: `${patches.length} patches, ${rows_ND.length / width} embeddings`,
    });
  }
  return { width, rows_ND, patches };
}

/** Index of the bank row nearest to a vector [D] in Euclidean distance; the first of equals. */
export function nearestPatch(bank: PatchBank, vector: Float32Array): number {
  const { width, rows_ND } = bank;
  let best = 0;
  let least = Infinity;
  for (let row = 0; row * width < rows_ND.length; row++) {
    let distance = 0;
    for (let d = 0; d < width && distance < least; d++) {
      const gap = (rows_ND[row * width + d] as number) - (vector[d] as number);
      distance += gap * gap;
    }
    if (distance < least) {
      best = row;
      least = distance;
    }
  }
  return best;
}

/** The nearest patches of K latents as one square picture, in raster order. */
export function latentMosaic(bank: PatchBank, latents: readonly Float32Array[]): Raster {
  const perSide = Math.ceil(Math.sqrt(latents.length));
  const side = bank.patches[0]?.width ?? 1;
  const picture = createRaster(perSide * side, perSide * side, [255, 255, 255]);
  latents.forEach((latent, i) => {
    const patch = bank.patches[nearestPatch(bank, latent)];
    if (patch) paste(picture, patch, (i % perSide) * side, Math.floor(i / perSide) * side);
  });
  return picture;
}

/** Cosine of two vectors; 0 when one has no length. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] ?? 0];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa === 0 || bb === 0 ? 0 : dot / Math.sqrt(aa * bb);
}
