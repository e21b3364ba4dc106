// Owns interleaved decoding of a batch: text and latents, streamed step by step.
// Axes: B rows, D hidden, K latents of a span, M picture tokens.
import { meanNorm, nextLatent, norm } from '../latent/feedback.ts';
import type { Calibration, FeedbackRow, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { positionConfig } from '../model/bundle.ts';
import type { GridThw } from '../processor/grid.ts';
import { cursorAfterRow, mropePositions, placeLatent, placeText } from '../processor/positions.ts';
import type { LatentPositions, Position, PositionCursor } from '../processor/positions.ts';
import { createTextStream } from '../processor/text-stream.ts';
import type { TextStream } from '../processor/text-stream.ts';
import type { Rng } from '../rng.ts';
import type { Decoder, PromptRow, StepInput } from './decoder.ts';
import { sampleToken } from './sampling.ts';
import type { Sampling } from './sampling.ts';
import { START_STATE, decodingStep, endState } from './state.ts';
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
export interface GenerationSettings extends Sampling {
  /** K; a model trained with another K still decodes, but says less. */
  readonly numLatents: number;
  readonly maxNewTokens: number;
  /** Texts that end a response; looked for between latent spans, special tokens spelled out. */
  readonly stop?: readonly string[];
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
  | {
      readonly row: number;
      readonly kind: 'end';
      readonly finished: boolean;
      /** The stop string that ended the row; its tokens were given out before. */
      readonly stop?: string;
    };

/** A finished row. */
export interface GenerationResult {
  /** Token ids, the end token left out, those of a stop string not, latents as `<|latent_pad|>`. */
  readonly ids: readonly number[];
  /** Vectors that were read back, in order. */
  readonly latents: readonly Float32Array[];
  /** Norm of the state before the final norm that each latent came from. */
  readonly stateNorms: readonly number[];
  readonly numSpans: number;
  /** False when the limit cut the response off. */
  readonly finished: boolean;
  /** The stop string that ended the response. */
  readonly stop?: string;
}

interface Row {
  state: DecodingState;
  cursor: PositionCursor;
  feedback: FeedbackRow;
  /** Ids of the prompt and the response, for the repetition penalty. */
  readonly seen: Set<number>;
  /** Looks for stop strings; absent without any. */
  readonly text?: TextStream;
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
  const { latentStart, latentEnd, responseEnd } = model.bundle.sequence;
  return {
    latentStart,
    latentEnd,
    endIds: new Set([responseEnd, ...(model.bundle.generation?.endIds ?? [])]),
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

/** Notes what a row wrote; returns the stop string that this completes. */
function noteWritten(row: Row, id: number, isLatent: boolean): string | undefined {
  row.seen.add(id);
  if (isLatent) row.text?.end();
  else row.text?.push(id);
  return row.text?.stop?.text;
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
  const { stop = [] } = settings;
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
    seen: new Set(request.promptIds),
    ...(stop.length > 0 ? { text: createTextStream(model.bundle.tokenizer, { stop }) } : {}),
  }));
  signal?.throwIfAborted();
  const idle: StepInput = { id: model.bundle.padId, position: [0, 0, 0], active: false };
  const copies = numCopies(requests);
  const batch = await decoder.start(
    prepared.filter((_, i) => i % copies === 0).map((p) => p.prompt),
    settings.maxNewTokens + 1,
    copies,
    signal,
  );
  let { output } = batch;
  for (;;) {
    signal?.throwIfAborted();
    const inputs: StepInput[] = [];
    for (const [index, row] of rows.entries()) {
      const before = row.state;
      if (before.mode === 'done') {
        inputs.push(idle);
        continue;
      }
      const vocabulary = output.logits_BV.length / rows.length;
      const logits = output.logits_BV.subarray(index * vocabulary, (index + 1) * vocabulary);
      const rng = requests[index]?.rng ?? row.feedback.rng;
      const sets = { banned, seen: row.seen };
      const sampled = before.mode === 'text' ? sampleToken(logits, settings, rng, sets) : -1;
      const { state, wrote, next } = decodingStep(before, sampled, rules);
      row.state = state;
      let stopped: string | undefined;
      if (wrote.kind !== 'nothing') {
        const id = wrote.kind === 'token' ? wrote.id : latentPad;
        stopped = noteWritten(row, id, wrote.kind === 'latent');
        if (stopped !== undefined) row.state = endState(state);
      }
      let latent: Float32Array | undefined;
      if (wrote.kind === 'latent') {
        const state_D = output.states_BD.subarray(index * width, (index + 1) * width);
        const predicted = output.latents_BD.slice(index * width, (index + 1) * width);
        const fed = nextLatent(predicted, row.feedback, feedbackSettings);
        row.feedback = fed.row;
        latent = fed.latent;
        yield { row: index, kind: 'latent', latent, stateNorm: norm(state_D) };
      } else if (wrote.kind === 'token') yield { row: index, kind: 'token', id: wrote.id };
      if (next.kind === 'nothing' || stopped !== undefined) {
        const { finished } = row.state;
        const why = stopped === undefined ? {} : { stop: stopped };
        yield { row: index, kind: 'end', finished, ...why };
        inputs.push(idle);
        continue;
      }
      const place: { position: Position; cursor: PositionCursor } = latent
        ? placeLatent(row.cursor, latentPositions)
        : placeText(row.cursor);
      row.cursor = place.cursor;
      inputs.push({
        id: next.kind === 'token' ? next.id : latentPad,
        position: place.position,
        ...(latent ? { latent } : {}),
        active: true,
      });
    }
    if (rows.every((row) => row.state.mode === 'done')) return;
    output = await batch.step(inputs);
  }
}

interface OpenResult {
  readonly ids: number[];
  readonly latents: Float32Array[];
  readonly stateNorms: number[];
  finished: boolean;
  stop?: string;
}

/** Decodes a batch to the end. */
export async function generateBatch(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: GenerationSettings,
  signal?: AbortSignal,
): Promise<GenerationResult[]> {
  const results = requests.map((): OpenResult => ({
    ...{ ids: [], latents: [], stateNorms: [] },
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
    } else {
      result.finished = event.finished;
      if (event.stop !== undefined) result.stop = event.stop;
    }
  }
  return results.map((result) => ({
    ...result,
    numSpans: result.ids.filter((id) => id === latentEnd).length,
  }));
}
