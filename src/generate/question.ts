// Owns how a question about pictures becomes a prompt to decode; ask.ts calls it.
// Axes: M picture tokens, D hidden.
import { fitAuxiliary, fitPicture } from '../context/prepared.ts';
import type { Raster } from '../data/raster.ts';
import type { SessionOptions } from '../engine/session.ts';
import { DataError } from '../errors.ts';
import type { GapModel } from '../latent/model.ts';
import { projectOntoPlane } from '../latent/pca.ts';
import { promptIds } from '../model/bundle.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { rasterGrid } from '../processor/patches.ts';
import { Rng } from '../rng.ts';
import type { GenerationRequest } from './generate.ts';

/** A question and what it is about. */
export interface Question extends SessionOptions {
  /** In the order they stand in before the question; may be none. */
  readonly pictures: readonly Raster[];
  readonly question: string;
  /** System prompt; default: what the chat template does without one. */
  readonly system?: string;
  /** The picture whose embeddings the intervention `oracle` writes. */
  readonly auxiliary?: Raster;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

function fit(bundle: ModelBundle, picture: Raster, index: number): Raster {
  try {
    return fitPicture(bundle, picture);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(
      { ...error.parts, what: `picture ${index + 1}: ${error.parts.what}` },
      error,
    );
  }
}

/**
 * The prompt of a question, its pictures encoded.
 * @throws DataError for a picture that is too long and narrow.
 */
export async function questionRequest(
  model: GapModel,
  asked: Question,
  numLatents: number,
): Promise<GenerationRequest> {
  const { bundle, head } = model;
  asked.signal?.throwIfAborted();
  await using encoder = new PictureEncoder(bundle, asked);
  const pictures = asked.pictures.map((picture, i) => fit(bundle, picture, i));
  const pictureRows_MD = await encoder.encode(pictures);
  let replacement: Float32Array | undefined;
  if (asked.auxiliary) {
    const rows = await encoder.encode([fitAuxiliary(bundle, asked.auxiliary, numLatents)]);
    replacement =
      head.basis && head.spec.kind === 'pca' ? projectOntoPlane(head.basis, rows) : rows;
  }
  const grids = pictures.map((picture) => rasterGrid(picture, bundle.patches));
  return {
    promptIds: promptIds(bundle, asked.question, grids, asked.system),
    grids,
    pictureRows_MD,
    rng: new Rng(asked.seed).fork('question'),
    ...(replacement ? { replacement } : {}),
  };
}
