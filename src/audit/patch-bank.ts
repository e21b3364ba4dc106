// Owns banks of patches of real auxiliary pictures, encoded; the report and the audit make mosaics of them.
import { fitAuxiliary } from '../context/prepared.ts';
import type { Raster } from '../data/raster.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { PictureEncoder } from '../model/picture-encoder.ts';
import { makePatchBank } from './mosaic.ts';
import type { PatchBank } from './mosaic.ts';

/** Pictures whose patches a bank is made of; ours: 36 patches each. */
export const BANK_PICTURES = 150;

/** The patches of auxiliary pictures, at the size of a span of K, with their embeddings. */
export async function auxiliaryBank(
  bundle: ModelBundle,
  encoder: Pick<PictureEncoder, 'encode'>,
  auxiliaries: readonly Raster[],
  numLatents: number,
): Promise<PatchBank> {
  const { patches, checkpoint } = bundle;
  const pictures = auxiliaries.map((picture) => fitAuxiliary(bundle, picture, numLatents));
  const rows = await encoder.encode(pictures);
  const side = patches.patchSize * patches.mergeSize;
  return makePatchBank(pictures, rows, checkpoint.config.text.hiddenSize, side);
}
