// Owns whole sequences as feeds of an observer's graph: padding, positions, given vectors, what is out of sight; observe.ts calls it.
// Axes: B rows, T tokens of a padded row, M picture tokens, D hidden.
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { ShapeError } from '../errors.ts';
import type { GapModel } from '../latent/model.ts';
import { positionConfig } from '../model/bundle.ts';
import { int64Tensor } from '../model/feeds.ts';
import type { GridThw } from '../processor/grid.ts';
import { mropePositions } from '../processor/positions.ts';
import { hiddenKeyFeeds } from '../train/text-batch.ts';

/** A sequence as it was decoded. Places count from its first token. */
export interface Sequence {
  /** Prompt and response, latents as `<|latent_pad|>`. */
  readonly ids: readonly number[];
  readonly grids: readonly GridThw[];
  /** What is read at `<|image_pad|>` tokens, [M, D]. */
  readonly pictureRows_MD: Float32Array;
  /** What is read at `<|latent_pad|>` tokens, in order, [D] each. */
  readonly latents: readonly Float32Array[];
}

/** Sequences padded on the right into one batch. */
export interface PaddedSequences {
  readonly batch: number;
  /** T of the longest. */
  readonly length: number;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** Bytes of the attention weights of one layer that a batch may take. ours: they then stay in memory many times over. */
const WEIGHT_BYTES = 1 << 26;
/** Rows of a batch at most. ours: more rows of the tiny model are no faster. */
const MOST_ROWS = 32;

/** Cuts a list of sequences, in order, into batches whose attention weights stay bounded; one row at least. */
export function sequenceBatches<T extends { readonly sequence: Sequence }>(
  model: GapModel,
  asked: readonly T[],
): T[][] {
  const { numHeads } = model.bundle.checkpoint.config.text;
  const batches: T[][] = [];
  let [open, longest]: [T[], number] = [[], 0];
  for (const one of asked) {
    const next = Math.max(longest, one.sequence.ids.length);
    const bytes = (open.length + 1) * numHeads * next * next * Float32Array.BYTES_PER_ELEMENT;
    if (open.length > 0 && (bytes > WEIGHT_BYTES || open.length >= MOST_ROWS)) {
      batches.push(open);
      open = [];
      longest = 0;
    }
    open.push(one);
    longest = Math.max(longest, one.sequence.ids.length);
  }
  if (open.length > 0) batches.push(open);
  return batches;
}

/** Places of an id in a sequence. */
export function placesOfId(ids: readonly number[], id: number): number[] {
  return ids.flatMap((own, place) => (own === id ? [place] : []));
}

/** Writes the given vectors of one row of a batch; `at` is the flat place of its first token. */
function putGiven(
  model: GapModel,
  sequence: Sequence,
  at: number,
  isGiven_BT: Uint8Array,
  given_BTD: Float32Array,
): void {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const { imagePad, latentPad } = model.bundle.sequence;
  const { ids, pictureRows_MD, latents } = sequence;
  const pictures = placesOfId(ids, imagePad);
  const spans = placesOfId(ids, latentPad);
  const fits =
    pictures.length * width === pictureRows_MD.length &&
    spans.length === latents.length &&
    latents.every((latent) => latent.length === width);
  if (!fits) {
    throw new ShapeError({
      what: 'A sequence and the vectors that are read in it do not belong together',
      got: `${pictureRows_MD.length / width} picture embeddings, ${latents.length} latents`,
      expected: `${pictures.length} and ${spans.length}, of ${width} numbers each`,
    });
  }
  pictures.forEach((place, m) => {
    isGiven_BT[at + place] = 1;
    given_BTD.set(pictureRows_MD.subarray(m * width, (m + 1) * width), (at + place) * width);
  });
  spans.forEach((place, k) => {
    isGiven_BT[at + place] = 1;
    given_BTD.set(latents[k] ?? [], (at + place) * width);
  });
}

/**
 * Feeds of sequences as one batch, with the positions that training and decoding give them.
 * @throws ShapeError when pictures or latents do not match their tokens.
 */
export function padSequences(model: GapModel, sequences: readonly Sequence[]): PaddedSequences {
  const { bundle, settings } = model;
  const width = bundle.checkpoint.config.text.hiddenSize;
  const batch = sequences.length;
  const length = Math.max(1, ...sequences.map(({ ids }) => ids.length));
  const size = batch * length;
  const inputIds_BT = new Int32Array(size).fill(bundle.padId);
  const attentionMask_BT = new Int32Array(size);
  const isGiven_BT = new Uint8Array(size);
  const given_BTD = new Float32Array(size * width);
  sequences.forEach((sequence, b) => {
    inputIds_BT.set(sequence.ids, b * length);
    attentionMask_BT.fill(1, b * length, b * length + sequence.ids.length);
    putGiven(model, sequence, b * length, isGiven_BT, given_BTD);
  });
  const { positions_3BT } = mropePositions(
    { batch, length, inputIds_BT, attentionMask_BT },
    sequences.flatMap(({ grids }) => grids),
    positionConfig(bundle, settings?.positions),
  );
  return {
    batch,
    length,
    feeds: {
      input_ids: int64Tensor([batch, length], inputIds_BT),
      attention_mask: int64Tensor([batch, length], attentionMask_BT),
      position_ids: int64Tensor([3, batch, length], positions_3BT),
      is_given: tensor('bool', [batch, length], isGiven_BT),
      given: tensor('f32', [batch, length, width], given_BTD),
      ...outOfSight(model, { batch, length, inputIds_BT }),
    },
  };
}

/** What positions after a span were trained without, and so do not see; nothing, unless the model says so. */
function outOfSight(
  { bundle, settings }: GapModel,
  padded: { readonly batch: number; readonly length: number; readonly inputIds_BT: Int32Array },
): Record<string, Tensor> {
  if (settings?.afterSpan) return hiddenKeyFeeds(padded, bundle.sequence);
  const all = (): Tensor =>
    tensor('bool', [padded.batch, padded.length], new Uint8Array(padded.batch * padded.length));
  return { hidden: all(), denied: all() };
}
