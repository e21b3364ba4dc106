// Owns interleaved decoding of a batch: text and latents, streamed step by step.
// Axes: B rows, D hidden, K latents of a span, M picture tokens.
import { meanNorm, nextLatent, norm } from '../latent/feedback.ts';
import type { Calibration, FeedbackRow, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { positionConfig } from '../model/bundle.ts';
import type { GridThw } from '../processor/grid.ts';
import { cursorAfterRow, mropePositions, placeLatent, placeText } from '../processor/positions.ts';
import type { LatentPositions, Position, PositionCursor } from '../processor/positions.ts';
import type { Rng } from '../rng.ts';
import type { Decoder, PromptRow, StepInput } from './decoder.ts';
import { sampleToken } from './sampling.ts';
import { START_STATE, decodingStep } from './state.ts';
import type { DecodingRules, DecodingState } from './state.ts';

/** One prompt to answer. */
export interface GenerationRequest {
  readonly promptIds: readonly number[];
  readonly grids: readonly GridThw[];
  /** Embeddings of the pictures, [M, D]. */
  readonly pictureRows_MD: Float32Array;
  /** Vectors for the interventions `other` and `oracle`, [K, D]. */
  readonly replacement?: Float32Array;
  /** Source of this row's random draws. */
  readonly rng: Rng;
}

/** How a batch is decoded. */
export interface GenerationSettings {
  /** K; a model trained with another K still decodes, but says less. */
  readonly numLatents: number;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly intervention: Intervention;
  readonly calibration: Calibration;
}

/** One thing that happened in one row. */
export type GenerationEvent =
  | { readonly row: number; readonly kind: 'token'; readonly id: number }
  | {
      readonly row: number;
      readonly kind: 'latent';
      readonly latent: Float32Array;
      readonly stateNorm: number;
    }
  | { readonly row: number; readonly kind: 'end'; readonly finished: boolean };

/** A finished row. */
export interface GenerationResult {
  /** Token ids of the response, its end token left out, latents as `<|latent_pad|>`. */
  readonly ids: readonly number[];
  /** Vectors that were read back, in order. */
  readonly latents: readonly Float32Array[];
  /** Norm of the state before the final norm that each latent came from. */
  readonly stateNorms: readonly number[];
  readonly numSpans: number;
  /** False when the limit cut the response off. */
  readonly finished: boolean;
}

interface Row {
  state: DecodingState;
  cursor: PositionCursor;
  feedback: FeedbackRow;
}

/** Positions and picture places of one unpadded prompt. */
function promptRow(
  model: GapModel,
  request: GenerationRequest,
): { prompt: PromptRow; cursor: PositionCursor } {
  const inputIds_BT = Int32Array.from(request.promptIds);
  const length = inputIds_BT.length;
  const rows = { batch: 1, length, inputIds_BT, attentionMask_BT: new Int32Array(length).fill(1) };
  const positions = mropePositions(rows, request.grids, positionConfig(model.bundle));
  const picturePlaces = request.promptIds.flatMap((id, i) =>
    id === model.bundle.sequence.imagePad ? [i] : [],
  );
  return {
    prompt: {
      ids: request.promptIds,
      positions_3T: positions.positions_3BT,
      pictureRows_MD: request.pictureRows_MD,
      picturePlaces,
    },
    cursor: cursorAfterRow(positions, 0),
  };
}

function rulesOf(model: GapModel, settings: GenerationSettings): DecodingRules {
  const { latentStart, latentPad, latentEnd, responseEnd } = model.bundle.sequence;
  return {
    latentStart,
    latentPad,
    latentEnd,
    responseEnd,
    numLatents: settings.numLatents,
    maxNewTokens: settings.maxNewTokens,
  };
}

/**
 * How many rows in a row share their prompt: samples of the same question, given with the very same
 * arrays. Worked example: prompts a a b b share 2, a a b share 1.
 */
function numCopies(requests: readonly GenerationRequest[]): number {
  const same = (a: GenerationRequest | undefined, b: GenerationRequest | undefined): boolean =>
    a?.promptIds === b?.promptIds && a?.pictureRows_MD === b?.pictureRows_MD;
  const other = requests.findIndex((request) => !same(request, requests[0]));
  const copies = other < 0 ? requests.length : other;
  const isRegular =
    requests.length % copies === 0 &&
    requests.every((request, i) => same(request, requests[i - (i % copies)]));
  return isRegular ? copies : 1;
}

/**
 * Decodes a batch, yielding every token and every latent as it is written. All rows step together;
 * a finished row waits. The same code serves every intervention.
 */
export async function* generateEvents(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: GenerationSettings,
  signal?: AbortSignal,
): AsyncGenerator<GenerationEvent, void> {
  const { model } = decoder;
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const latentPositions: LatentPositions = model.settings?.positions ?? { kind: 'sequential' };
  const rules = rulesOf(model, settings);
  const { imagePad, latentPad, latentEnd, latentStart } = model.bundle.sequence;
  // The machine writes pads and ends; a picture token without a picture means nothing.
  const banned = [
    imagePad,
    latentPad,
    latentEnd,
    ...(settings.intervention.kind === 'zero-latent' ? [latentStart] : []),
  ];
  const feedbackSettings = {
    intervention: settings.intervention,
    calibration: settings.calibration,
    ...(model.head.basis ? { basis: model.head.basis } : {}),
  };
  const prepared = requests.map((request) => promptRow(model, request));
  const rows = requests.map((request, i): Row => ({
    state: START_STATE,
    cursor: prepared[i]?.cursor as PositionCursor,
    feedback: {
      index: 0,
      runningNorm: meanNorm(request.pictureRows_MD, width),
      // Noise has a stream of its own, so that it does not change what words are drawn after it.
      rng: request.rng.fork('feedback'),
      ...(request.replacement ? { replacement: request.replacement } : {}),
    },
  }));
  const copies = numCopies(requests);
  const batch = await decoder.start(
    prepared.filter((_, i) => i % copies === 0).map((p) => p.prompt),
    settings.maxNewTokens + 1,
    copies,
  );
  let { output } = batch;
  for (;;) {
    signal?.throwIfAborted();
    const inputs: StepInput[] = [];
    for (const [index, row] of rows.entries()) {
      const before = row.state;
      if (before.mode === 'done') {
        inputs.push({ id: rules.responseEnd, position: [0, 0, 0], active: false });
        continue;
      }
      const vocabulary = output.logits_BV.length / rows.length;
      const logits = output.logits_BV.subarray(index * vocabulary, (index + 1) * vocabulary);
      const rng = requests[index]?.rng ?? row.feedback.rng;
      const sampled = before.mode === 'text' ? sampleToken(logits, settings, rng, banned) : -1;
      const { state, wrote, next } = decodingStep(before, sampled, rules);
      row.state = state;
      let latent: Float32Array | undefined;
      if (wrote.kind === 'latent') {
        const state_D = output.states_BD.subarray(index * width, (index + 1) * width);
        const predicted = output.latents_BD.slice(index * width, (index + 1) * width);
        const fed = nextLatent(predicted, row.feedback, feedbackSettings);
        row.feedback = fed.row;
        latent = fed.latent;
        yield { row: index, kind: 'latent', latent, stateNorm: norm(state_D) };
      } else if (wrote.kind === 'token') yield { row: index, kind: 'token', id: wrote.id };
      if (next.kind === 'nothing') {
        yield { row: index, kind: 'end', finished: state.finished };
        inputs.push({ id: rules.responseEnd, position: [0, 0, 0], active: false });
        continue;
      }
      const place: { position: Position; cursor: PositionCursor } = latent
        ? placeLatent(row.cursor, latentPositions)
        : placeText(row.cursor);
      row.cursor = place.cursor;
      inputs.push({
        id: next.kind === 'token' ? next.id : rules.latentPad,
        position: place.position,
        ...(latent ? { latent } : {}),
        active: true,
      });
    }
    if (rows.every((row) => row.state.mode === 'done')) return;
    output = await batch.step(inputs);
  }
}

/** Decodes a batch to the end. */
export async function generateBatch(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: GenerationSettings,
  signal?: AbortSignal,
): Promise<GenerationResult[]> {
  const results = requests.map(() => ({
    ids: [] as number[],
    latents: [] as Float32Array[],
    stateNorms: [] as number[],
    finished: false,
  }));
  const { latentPad, latentEnd } = decoder.model.bundle.sequence;
  for await (const event of generateEvents(decoder, requests, settings, signal)) {
    const result = results[event.row];
    if (!result) continue;
    if (event.kind === 'token') result.ids.push(event.id);
    else if (event.kind === 'latent') {
      result.ids.push(latentPad);
      result.latents.push(event.latent);
      result.stateNorms.push(event.stateNorm);
    } else result.finished = event.finished;
  }
  return results.map((result) => ({
    ...result,
    numSpans: result.ids.filter((id) => id === latentEnd).length,
  }));
}
