// Owns the greedy continuation of rows of ids by a model without its tokenizer; `gapvl forward` calls it.
// Axes: B rows, T tokens of a padded row, M picture tokens of the batch, D hidden.
import type { SessionOptions } from '../engine/session.ts';
import { RuntimeError, ShapeError } from '../errors.ts';
import { outputHead } from '../latent/model.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { numMergedTokens } from '../processor/grid.ts';
import type { GridThw } from '../processor/grid.ts';
import { CLIP_MEAN, CLIP_STD } from '../processor/patches.ts';
import { Rng } from '../rng.ts';
import { Decoder } from './decoder.ts';
import { generateBatch } from './generate.ts';
import type { GenerationRequest } from './generate.ts';

/** A padded batch with the embeddings of its pictures. */
export interface ContinuationRows {
  readonly batch: number;
  readonly length: number;
  readonly inputIds_BT: ArrayLike<number>;
  /** 0 at padding, on either side. */
  readonly attentionMask_BT: ArrayLike<number>;
  /** In the order of the pictures, rows one after the other. */
  readonly grids: readonly GridThw[];
  readonly pictureRows_MD: Float32Array;
}

/** How far, and how. */
export interface ContinuationOptions extends SessionOptions {
  readonly maxNewTokens: number;
  /** Default 1, none. */
  readonly repetitionPenalty?: number;
  readonly signal?: AbortSignal;
}

/** An id that no token has. */
const NO_ID = -1;

function noText(): never {
  throw new RuntimeError({
    what: 'this model was read without its tokenizer',
    fix: 'read it with readModelBundle',
  });
}

/** A model of which only the weights are there: ids go in and come out, nothing is encoded. */
export function bareBundle(checkpoint: Checkpoint): ModelBundle {
  const { vision, tokens } = checkpoint.config;
  return {
    checkpoint,
    tokenizer: {
      numTokens: 0,
      ...{ encode: noText, encodePieces: noText, decode: noText, idOf: noText, tokenOf: noText },
      find: noText,
    },
    template: { render: noText },
    patches: {
      patchSize: vision.patchSize,
      temporalPatchSize: vision.temporalPatchSize,
      mergeSize: vision.mergeSize,
      mean: CLIP_MEAN,
      std: CLIP_STD,
    },
    pixels: { minPixels: 0, maxPixels: Infinity },
    sequence: {
      imagePad: tokens.image,
      latentStart: NO_ID,
      latentPad: NO_ID,
      latentEnd: NO_ID,
      responseEnd: NO_ID,
    },
    padId: 0,
  };
}

/** The rows without their padding, each with its own pictures. */
function requestsOf(bundle: ModelBundle, rows: ContinuationRows): GenerationRequest[] {
  const { imagePad } = bundle.sequence;
  const width = bundle.checkpoint.config.text.hiddenSize;
  const requests: GenerationRequest[] = [];
  let [picture, at] = [0, 0];
  for (let b = 0; b < rows.batch; b++) {
    const promptIds: number[] = [];
    for (let i = b * rows.length; i < (b + 1) * rows.length; i++) {
      if (rows.attentionMask_BT[i] === 1) promptIds.push(rows.inputIds_BT[i] ?? 0);
    }
    const numPads = promptIds.filter((id) => id === imagePad).length;
    const grids: GridThw[] = [];
    let numTokens = 0;
    for (; numTokens < numPads && picture < rows.grids.length; picture++) {
      const grid = rows.grids[picture] as GridThw;
      grids.push(grid);
      numTokens += numMergedTokens(grid, bundle.patches.mergeSize);
    }
    const end = at + numTokens * width;
    if (numTokens !== numPads || end > rows.pictureRows_MD.length || promptIds.length === 0) {
      throw new ShapeError({
        what: `row ${b} of input_ids does not match its pictures`,
        got: `${promptIds.length} tokens, ${numPads} of them of pictures of ${numTokens} tokens`,
        expected: 'at least one token, and as many picture tokens as its pictures have',
      });
    }
    const pictureRows_MD = rows.pictureRows_MD.slice(at, end);
    requests.push({ promptIds, grids, pictureRows_MD, rng: new Rng(b) });
    at = end;
  }
  return requests;
}

/**
 * The ids that follow each row, always `maxNewTokens` of them: nothing ends a row here. The
 * picture token is never written.
 * @throws ShapeError when picture tokens and pictures do not match.
 */
export async function continueRows(
  checkpoint: Checkpoint,
  rows: ContinuationRows,
  options: ContinuationOptions,
): Promise<number[][]> {
  const model = { bundle: bareBundle(checkpoint), head: outputHead() };
  const requests = requestsOf(model.bundle, rows);
  await using decoder = await Decoder.create(model, options);
  const settings = {
    maxNewTokens: options.maxNewTokens,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    numLatents: 0,
    temperature: 0,
    intervention: { kind: 'clean' },
    calibration: { kind: 'none' },
  } as const;
  const results = await generateBatch(decoder, requests, settings, options.signal);
  return results.map(({ ids }) => [...ids]);
}
