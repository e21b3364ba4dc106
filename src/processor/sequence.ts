// Owns how prompt and response become a training row and rows become a padded batch; called by train/ and generate/.
// Axes: B rows, T tokens of a padded row, L latent positions of the whole batch.
import { DataError } from '../errors.ts';

/** Label of positions without a language-model target. Source: torch CrossEntropyLoss ignore_index. */
export const IGNORED_LABEL = -100;

/** Ids of the tokens that rows are assembled from. */
export interface SequenceIds {
  /** `<|image_pad|>`. */
  readonly imagePad: number;
  /** `<|latent_start|>`; NO_TOKEN, and so the next two, where the vocabulary lacks it. */
  readonly latentStart: number;
  /** `<|latent_pad|>`. */
  readonly latentPad: number;
  /** `<|latent_end|>`. */
  readonly latentEnd: number;
  /** `<|im_end|>`, appended to every response and labelled. */
  readonly responseEnd: number;
}

/** One run of `<|latent_pad|>` in a row. */
export interface LatentSpan {
  /** Position of the first latent in the row; `<|latent_start|>` stands right before it. */
  readonly start: number;
  /** K of this span. */
  readonly length: number;
}

/** One unpadded training row; positions count from the start of the row. */
export interface Row {
  readonly inputIds: readonly number[];
  /** Unshifted, as Hugging Face takes them: the loss compares the state at t with label t + 1. */
  readonly labels: readonly number[];
  readonly numPromptTokens: number;
  readonly spans: readonly LatentSpan[];
  /** Positions whose input is a picture embedding. */
  readonly picturePositions: readonly number[];
}

/**
 * Assembles a training row from prompt and response; `<|im_end|>` is appended to the response.
 *
 * Labels are -100 on the prompt, on picture tokens and on latents. `<|latent_start|>` is a label
 * (the model decides to think in latents) and `<|latent_end|>` is the label that the state at the
 * last latent predicts. The states that predict latents stand one position before them.
 *
 * Worked example: prompt `q a`, response `x [ . . ] y` with [ = `<|latent_start|>`, . =
 * `<|latent_pad|>`, ] = `<|latent_end|>`, $ = `<|im_end|>`, _ = -100:
 *
 *     position  0 1 2 3 4 5 6 7 8
 *     input     q a x [ . . ] y $
 *     label     _ _ x [ _ _ ] y $
 *     latent inputs 4 5, the states that predict them 3 4
 *
 * @throws DataError when the prompt or the response is empty, when the prompt holds latents, or
 * when a run of latents is not enclosed by start and end.
 * Source: GAP §4.2.
 */
export function assembleRow(
  promptIds: readonly number[],
  responseIds: readonly number[],
  ids: SequenceIds,
): Row {
  if (promptIds.length === 0 || responseIds.length === 0) {
    throw new DataError({
      what: 'A training row needs a prompt and a response',
      got: `${promptIds.length} prompt tokens, ${responseIds.length} response tokens`,
      fix: 'check the question and the answer of the example',
    });
  }
  if (promptIds.includes(ids.latentPad)) {
    throw new DataError({
      what: 'The prompt of a training row holds <|latent_pad|>',
      expected: 'latents in the response only',
      fix: 'remove the token from the question or the earlier turns',
    });
  }
  const inputIds = [...promptIds, ...responseIds, ids.responseEnd];
  const labels = inputIds.map((id, position) =>
    position < promptIds.length || id === ids.latentPad || id === ids.imagePad ? IGNORED_LABEL : id,
  );
  const picturePositions: number[] = [];
  for (const [position, id] of inputIds.entries()) {
    if (id === ids.imagePad) picturePositions.push(position);
  }
  return {
    inputIds,
    labels,
    numPromptTokens: promptIds.length,
    spans: findLatentSpans(inputIds, ids),
    picturePositions,
  };
}

/**
 * The latent spans of a row, in order.
 * @throws DataError when a run of `<|latent_pad|>` is not enclosed by start and end, or when a
 * start or an end stands without latents.
 */
export function findLatentSpans(
  inputIds: readonly number[],
  ids: Pick<SequenceIds, 'latentStart' | 'latentPad' | 'latentEnd'>,
): LatentSpan[] {
  const spans: LatentSpan[] = [];
  for (let i = 0; i < inputIds.length; i++) {
    const id = inputIds[i];
    if (id !== ids.latentStart && id !== ids.latentPad && id !== ids.latentEnd) continue;
    let end = i + 1;
    while (inputIds[end] === ids.latentPad) end += 1;
    const length = end - i - 1;
    if (id !== ids.latentStart || length === 0 || inputIds[end] !== ids.latentEnd) {
      throw new DataError({
        what: `The latent span at token ${i} of a row is broken`,
        expected: '<|latent_start|>, at least one <|latent_pad|>, <|latent_end|>',
        fix: 'build responses with formatResponse, and never cut a row inside a span',
      });
    }
    spans.push({ start: i + 1, length });
    i = end;
  }
  return spans;
}

/** How rows are padded. */
export interface BatchConfig {
  /** Token at padding; any id, the mask and the labels hide it (Qwen2.5-VL: `<|endoftext|>`). */
  readonly padId: number;
  /** Right for training, left for batched decoding. */
  readonly side: 'left' | 'right';
  /** Pads to a multiple of this, so that few shapes occur; default 1. */
  readonly multiple?: number;
  /** Longest row accepted; default none. Rows are never cut. */
  readonly maxLength?: number;
}

/** A padded batch. Flat indices are row * T + position, ready to gather from [B * T, D]. */
export interface Batch {
  readonly batch: number;
  readonly length: number;
  readonly inputIds_BT: Int32Array;
  readonly attentionMask_BT: Int32Array;
  readonly labels_BT: Int32Array;
  /** Flat indices of the latent inputs, rows in order, spans in order. */
  readonly latentInputs_L: Int32Array;
  /** Flat indices of the states that predict those latents (one position before each). */
  readonly latentStates_L: Int32Array;
  /** Row of each latent. */
  readonly latentRows_L: Int32Array;
  /** Flat indices of picture tokens, in the order of the merged picture embeddings. */
  readonly pictureTokens: Int32Array;
  /** Labels that are not -100: the number the mean loss divides by. */
  readonly numLabels: number;
}

/**
 * Pads rows into one batch. A latent never stands at position 0, so its predicting state exists.
 * @throws DataError for no rows or a row beyond maxLength (rows are never cut).
 */
export function batchRows(rows: readonly Row[], config: BatchConfig): Batch {
  const longest = rows.reduce((most, row) => Math.max(most, row.inputIds.length), 0);
  checkLengths(rows, longest, config);
  const multiple = config.multiple ?? 1;
  const length = Math.ceil(longest / multiple) * multiple;
  const inputIds_BT = new Int32Array(rows.length * length).fill(config.padId);
  const attentionMask_BT = new Int32Array(rows.length * length);
  const labels_BT = new Int32Array(rows.length * length).fill(IGNORED_LABEL);
  const latentInputs: number[] = [];
  const latentRows: number[] = [];
  const pictureTokens: number[] = [];
  let numLabels = 0;
  for (const [index, row] of rows.entries()) {
    const padding = config.side === 'left' ? length - row.inputIds.length : 0;
    const first = index * length + padding;
    inputIds_BT.set(row.inputIds, first);
    attentionMask_BT.fill(1, first, first + row.inputIds.length);
    labels_BT.set(row.labels, first);
    for (const span of row.spans) {
      for (let i = 0; i < span.length; i++) {
        latentInputs.push(first + span.start + i);
        latentRows.push(index);
      }
    }
    for (const position of row.picturePositions) pictureTokens.push(first + position);
    for (const label of row.labels) if (label !== IGNORED_LABEL) numLabels += 1;
  }
  const latentInputs_L = Int32Array.from(latentInputs);
  return {
    batch: rows.length,
    length,
    inputIds_BT,
    attentionMask_BT,
    labels_BT,
    latentInputs_L,
    latentStates_L: latentInputs_L.map((at) => at - 1),
    latentRows_L: Int32Array.from(latentRows),
    pictureTokens: Int32Array.from(pictureTokens),
    numLabels,
  };
}

function checkLengths(rows: readonly Row[], longest: number, config: BatchConfig): void {
  if (rows.length === 0) {
    throw new DataError({
      what: 'A batch needs at least one row',
      got: 'none',
      fix: 'check that the dataset and the filters leave examples',
    });
  }
  if (config.maxLength !== undefined && longest > config.maxLength) {
    throw new DataError({
      what: 'A training row is too long',
      got: `${longest} tokens`,
      expected: `at most ${config.maxLength}`,
      fix: 'lower the picture size (maxPixels), shorten the texts, or raise the limit',
    });
  }
}
