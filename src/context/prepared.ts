// Owns examples made ready for the model: prompts, picture embeddings, auxiliary targets.
// Axes: M picture tokens, K latents of a span, D hidden.
import { DataError } from '../errors.ts';
import { checkNumLatents } from '../data/format.ts';
import { readPicture } from '../data/dataset.ts';
import type { Example } from '../data/example.ts';
import type { Raster } from '../data/raster.ts';
import { promptIds } from '../model/bundle.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { PictureEncoder } from '../model/picture-encoder.ts';
import type { GridThw } from '../processor/grid.ts';
import { rasterGrid } from '../processor/patches.ts';
import { decodePicture } from '../processor/picture.ts';
import { pixelLimits, resizeBicubic, smartResize } from '../processor/resize.ts';
import type { PixelOverrides } from '../processor/resize.ts';

/** The pictures of an example. */
export interface ExamplePictures {
  readonly picture: Raster;
  readonly auxiliary?: Raster;
}

/** An example with everything the frozen vision tower has to say about it. */
export interface PreparedExample {
  readonly example: Example;
  readonly grid: GridThw;
  readonly promptIds: readonly number[];
  /** Query picture tokens, [M, D]. */
  readonly pictureRows_MD: Float32Array;
  /** Auxiliary picture tokens in raster order, [K, D]: the targets of the latents. */
  readonly auxiliaryRows_KD?: Float32Array;
}

/**
 * Reads and decodes the pictures of an example of a dataset folder.
 * @param which - `query` leaves the auxiliary picture out.
 */
export async function loadPictures(
  folder: string,
  example: Example,
  which: 'all' | 'query' = 'all',
): Promise<ExamplePictures> {
  const picture = await decodePicture(await readPicture(folder, example.image), {
    name: example.image,
  });
  if (example.auxiliary === undefined || which === 'query') return { picture };
  const bytes = await readPicture(folder, example.auxiliary);
  return { picture, auxiliary: await decodePicture(bytes, { name: example.auxiliary }) };
}

/** The query picture at the size the model takes it; what cannot be taken is named with its example. */
function fitQuery(bundle: ModelBundle, example: Example, picture: Raster): Raster {
  try {
    return fitPicture(bundle, picture, example);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const what = `picture ${example.image} of example ${example.id}: ${error.parts.what}`;
    throw new DataError({ ...error.parts, what }, error);
  }
}

/**
 * The picture at the size the model takes it.
 * @param limits - limits of this picture alone, in place of the model's.
 * @throws ConfigError when the least number of pixels is above the most.
 * Source: Qwen2VLImageProcessor.
 */
export function fitPicture(
  bundle: ModelBundle,
  picture: Raster,
  limits: PixelOverrides = {},
): Raster {
  const factor = bundle.patches.patchSize * bundle.patches.mergeSize;
  const { minPixels, maxPixels } = pixelLimits(bundle.pixels, limits);
  const size = smartResize(picture.height, picture.width, factor, minPixels, maxPixels);
  return size.height === picture.height && size.width === picture.width
    ? picture
    : resizeBicubic(picture, size);
}

/** The auxiliary picture as a square of K merged patches (K = 36, Qwen2.5-VL: 168 x 168 px). GAP §4.1. */
export function fitAuxiliary(bundle: ModelBundle, picture: Raster, numLatents: number): Raster {
  checkNumLatents(numLatents);
  const side = Math.sqrt(numLatents) * bundle.patches.patchSize * bundle.patches.mergeSize;
  const fits = picture.width === side && picture.height === side;
  return fits ? picture : resizeBicubic(picture, { height: side, width: side });
}

/** Options of `prepareExamples`. */
export interface PrepareOptions {
  readonly load: (example: Example, index: number) => Promise<ExamplePictures>;
  /** K; absent: auxiliary pictures are not encoded. */
  readonly numLatents?: number;
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Examples loaded and encoded together; ours. */
const CHUNK = 64;

/** Loads, fits and encodes the pictures of examples. */
export async function prepareExamples(
  bundle: ModelBundle,
  encoder: Pick<PictureEncoder, 'encode'>,
  examples: readonly Example[],
  options: PrepareOptions,
): Promise<PreparedExample[]> {
  const width = bundle.checkpoint.config.text.hiddenSize;
  const { numLatents } = options;
  const prepared: PreparedExample[] = [];
  for (let start = 0; start < examples.length; start += CHUNK) {
    options.signal?.throwIfAborted();
    const chunk = examples.slice(start, start + CHUNK);
    const loaded = await Promise.all(chunk.map((example, i) => options.load(example, start + i)));
    const queries = loaded.map(({ picture }, i) => fitQuery(bundle, chunk[i] as Example, picture));
    const rows = await encoder.encode(queries);
    const auxiliaries =
      numLatents === undefined
        ? []
        : loaded.flatMap(({ auxiliary }) =>
            auxiliary ? [fitAuxiliary(bundle, auxiliary, numLatents)] : [],
          );
    const auxiliaryRows = await encoder.encode(auxiliaries);
    let [at, auxiliaryAt] = [0, 0];
    for (const [i, example] of chunk.entries()) {
      const query = queries[i];
      if (!query) throw new DataError({ what: `example ${example.id} has no picture` });
      const grid = rasterGrid(query, bundle.patches);
      const size =
        (query.width * query.height * width) /
        (bundle.patches.patchSize * bundle.patches.mergeSize) ** 2;
      const pictureRows_MD = rows.slice(at, at + size);
      at += size;
      let auxiliaryRows_KD: Float32Array | undefined;
      if (numLatents !== undefined && loaded[i]?.auxiliary) {
        auxiliaryRows_KD = auxiliaryRows.slice(auxiliaryAt, auxiliaryAt + numLatents * width);
        auxiliaryAt += numLatents * width;
      }
      prepared.push({
        example,
        grid,
        promptIds: promptIds(bundle, example.question, [grid]),
        pictureRows_MD,
        ...(auxiliaryRows_KD ? { auxiliaryRows_KD } : {}),
      });
    }
    options.progress?.(Math.min(start + CHUNK, examples.length), examples.length);
  }
  return prepared;
}
