// Owns a batch on its way through decoding: rows, their spans, forks; generate.ts drives it to the end.
// Axes: B rows, D hidden, K latents of a span, M picture tokens, V vocabulary.
import { ShapeError } from '../errors.ts';
import { meanNorm, nextLatent, norm } from '../latent/feedback.ts';
import type { FeedbackRow } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { positionConfig } from '../model/bundle.ts';
import { cursorAfterRow, mropePositions, placeLatent, placeText } from '../processor/positions.ts';
import type { LatentPositions, Position, PositionCursor } from '../processor/positions.ts';
import { createTextStream } from '../processor/text-stream.ts';
import type { TextStream } from '../processor/text-stream.ts';
import { Rng } from '../rng.ts';
import type { Decoder, DecoderOutput, DecodingBatch, PromptRow, StepInput } from './decoder.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from './request.ts';
import { sampleToken } from './sampling.ts';
import { START_STATE, decodingStep, endState } from './state.ts';
import type { DecodingRules, DecodingState } from './state.ts';

/** What the next token or latent of a row is made from. */
interface RowOutput {
  readonly logits_V: Float32Array;
  readonly state_D: Float32Array;
  readonly latent_D: Float32Array;
}

interface Row {
  state: DecodingState;
  cursor: PositionCursor;
  feedback: FeedbackRow;
  readonly rng: Rng;
  /** Ids of the prompt and the response, for the repetition penalty. */
  readonly seen: Set<number>;
  /** The response so far, latents as `<|latent_pad|>`. */
  readonly ids: number[];
  readonly latents: Float32Array[];
  readonly stateNorms: number[];
  /** What a row that waits at the start of a span goes on from. */
  held?: RowOutput;
  /** Looks for stop strings; absent without any. */
  text?: TextStream;
  stop?: string;
  /** The first span was closed in the last step, so that the logits behind it come next. */
  isBehindSpan: boolean;
  afterSpan_V?: Float32Array;
}

/** A batch whose prompts were read. Its rows change as it advances; a fork has rows of its own. */
export interface DecodingRun {
  readonly model: GapModel;
  readonly rows: readonly Row[];
  readonly batch: DecodingBatch;
  output: DecoderOutput;
}

/** How far to advance. */
export interface AdvanceOptions {
  /** `span`: rows wait where they are about to open a span, nothing of it written yet. */
  readonly until?: 'span';
  readonly signal?: AbortSignal;
}

/** A given beginning has a vector for each of its latents and no open span. */
function checkPrefix(model: GapModel, { prefix }: GenerationRequest): void {
  if (!prefix) return;
  const { latentPad, latentStart, latentEnd } = model.bundle.sequence;
  const count = (id: number): number => prefix.ids.filter((other) => other === id).length;
  if (count(latentPad) === prefix.latents.length && count(latentStart) === count(latentEnd)) return;
  throw new ShapeError({
    what: 'the beginning of a response cannot be read',
    got: `${count(latentPad)} latent tokens, ${prefix.latents.length} vectors, ${count(latentStart)} starts and ${count(latentEnd)} ends of spans`,
    expected: 'a vector for each latent token, and every span closed',
  });
}

/** Positions and places of one unpadded prompt, with what the response begins with. */
function promptRow(
  model: GapModel,
  request: GenerationRequest,
): { prompt: PromptRow; cursor: PositionCursor } {
  checkPrefix(model, request);
  const { prefix = { ids: [], latents: [] } } = request;
  const ids = [...request.promptIds, ...prefix.ids];
  const inputIds_BT = Int32Array.from(ids);
  const length = ids.length;
  const rows = { batch: 1, length, inputIds_BT, attentionMask_BT: new Int32Array(length).fill(1) };
  const config = positionConfig(model.bundle, model.settings?.positions);
  const positions = mropePositions(rows, request.grids, config);
  const { imagePad, latentPad } = model.bundle.sequence;
  const placesOf = (wanted: number): number[] => ids.flatMap((id, i) => (id === wanted ? [i] : []));
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const { pictureRows_MD } = request;
  const given_ND = new Float32Array(pictureRows_MD.length + prefix.latents.length * width);
  given_ND.set(pictureRows_MD);
  prefix.latents.forEach((latent, k) => {
    given_ND.set(latent, pictureRows_MD.length + k * width);
  });
  return {
    prompt: {
      ids,
      positions_3T: positions.positions_3BT,
      given_ND,
      givenPlaces: [...placesOf(imagePad), ...(prefix.ids.length > 0 ? placesOf(latentPad) : [])],
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
    a?.promptIds === b?.promptIds &&
    a?.pictureRows_MD === b?.pictureRows_MD &&
    a?.prefix === b?.prefix;
  const other = requests.findIndex((request) => !same(request, requests[0]));
  const copies = other < 0 ? requests.length : other;
  const isRegular =
    requests.length % copies === 0 &&
    requests.every((request, i) => same(request, requests[i - (i % copies)]));
  return isRegular ? copies : 1;
}

function copyRng(rng: Rng): Rng {
  const copy = new Rng(0);
  copy.restore(rng.state());
  return copy;
}

/** Reads the prompts of a batch; nothing is written yet. */
export async function openRun(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: Pick<GenerationSettings, 'maxNewTokens'>,
  signal?: AbortSignal,
): Promise<DecodingRun> {
  const { model } = decoder;
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const { latentEnd } = model.bundle.sequence;
  const prepared = requests.map((request) => promptRow(model, request));
  const rows = requests.map((request, i): Row => {
    const { prefix = { ids: [], latents: [] } } = request;
    return {
      state: {
        ...START_STATE,
        numWritten: prefix.ids.length,
        numSpans: prefix.ids.filter((id) => id === latentEnd).length,
      },
      cursor: prepared[i]?.cursor as PositionCursor,
      feedback: {
        index: prefix.latents.length,
        runningNorm: meanNorm(request.pictureRows_MD, width),
        // Noise has a stream of its own, so that it does not change what words are drawn after it.
        rng: request.rng.fork('feedback'),
        ...(request.replacement ? { replacement: request.replacement } : {}),
      },
      rng: request.rng,
      seen: new Set([...request.promptIds, ...prefix.ids]),
      ids: [...prefix.ids],
      latents: [...prefix.latents],
      stateNorms: [],
      isBehindSpan: false,
    };
  });
  signal?.throwIfAborted();
  const copies = numCopies(requests);
  const batch = await decoder.start(
    prepared.filter((_, i) => i % copies === 0).map((p) => p.prompt),
    settings.maxNewTokens + 1,
    copies,
    signal,
  );
  return { model, rows, batch, output: batch.output };
}

/**
 * The same batch once more, to go on in another way: same cache, same random draws to come.
 * @param replacements - vectors [K, D] of each row for interventions that read given ones.
 */
export function forkRun(
  run: DecodingRun,
  replacements: readonly (Float32Array | undefined)[] = [],
): DecodingRun {
  const rows = run.rows.map((row, i): Row => {
    const { feedback } = row;
    const replacement = replacements[i] ?? feedback.replacement;
    const copy: Row = {
      ...row,
      feedback: {
        ...feedback,
        rng: copyRng(feedback.rng),
        ...(replacement ? { replacement } : {}),
      },
      rng: copyRng(row.rng),
      seen: new Set(row.seen),
      ids: [...row.ids],
      latents: [...row.latents],
      stateNorms: [...row.stateNorms],
    };
    // A stream cannot be copied; the fork makes its own from what the row wrote.
    delete copy.text;
    return copy;
  });
  return { ...run, rows, batch: run.batch.fork() };
}

/** Which rows wait at the start of a span. */
export function heldRows(run: DecodingRun): boolean[] {
  return run.rows.map((row) => row.held !== undefined);
}

/** What every row wrote. */
export function runResults({ rows, model }: DecodingRun): GenerationResult[] {
  const { latentEnd } = model.bundle.sequence;
  return rows.map((row) => ({
    ids: row.ids,
    latents: row.latents,
    stateNorms: row.stateNorms,
    numSpans: row.ids.filter((id) => id === latentEnd).length,
    finished: row.state.finished,
    ...(row.stop === undefined ? {} : { stop: row.stop }),
    ...(row.afterSpan_V ? { afterSpan_V: row.afterSpan_V } : {}),
  }));
}

/** A stream over what a row wrote so far. */
function textStream(model: GapModel, row: Row, stop: readonly string[]): TextStream {
  const text = createTextStream(model.bundle.tokenizer, { stop });
  for (const id of row.ids) noteText(text, id, id === model.bundle.sequence.latentPad);
  return text;
}

function noteText(text: TextStream | undefined, id: number, isLatent: boolean): void {
  if (isLatent) text?.end();
  else text?.push(id);
}

function outputOf(run: DecodingRun, index: number): RowOutput {
  const { output, rows } = run;
  const of = (all: Float32Array): Float32Array => {
    const size = all.length / rows.length;
    return all.subarray(index * size, (index + 1) * size);
  };
  return {
    logits_V: of(output.logits_BV),
    state_D: of(output.states_BD),
    latent_D: of(output.latents_BD),
  };
}

/**
 * Goes on with a batch, yielding every token and every latent as it is written. All rows step
 * together; a finished row waits. The same code serves every intervention.
 */
export async function* advanceRun(
  run: DecodingRun,
  settings: GenerationSettings,
  options: AdvanceOptions = {},
): AsyncGenerator<GenerationEvent, void> {
  const { model, rows } = run;
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
  if (stop.length > 0) for (const row of rows) row.text ??= textStream(model, row, stop);
  const idle: StepInput = { id: model.bundle.padId, position: [0, 0, 0], active: false };
  for (;;) {
    options.signal?.throwIfAborted();
    const inputs: StepInput[] = [];
    for (const [index, row] of rows.entries()) {
      const before = row.state;
      if (before.mode === 'done' || (row.held && options.until === 'span')) {
        inputs.push(idle);
        continue;
      }
      const output = row.held ?? outputOf(run, index);
      delete row.held;
      if (row.isBehindSpan) {
        row.isBehindSpan = false;
        row.afterSpan_V = output.logits_V.slice();
      }
      const sets = { banned, seen: row.seen };
      const drawn = row.rng.state();
      const sampled =
        before.mode === 'text' ? sampleToken(output.logits_V, settings, row.rng, sets) : -1;
      if (options.until === 'span' && sampled === latentStart) {
        row.rng.restore(drawn);
        const { logits_V, state_D, latent_D } = output;
        const held = { logits_V: logits_V.slice(), state_D: state_D.slice() };
        row.held = { ...held, latent_D: latent_D.slice() };
        inputs.push(idle);
        continue;
      }
      const { state, wrote, next } = decodingStep(before, sampled, rules);
      row.state = state;
      let latent: Float32Array | undefined;
      if (wrote.kind !== 'nothing') {
        const id = wrote.kind === 'token' ? wrote.id : latentPad;
        row.seen.add(id);
        row.ids.push(id);
        noteText(row.text, id, wrote.kind === 'latent');
        const stopped = row.text?.stop?.text;
        if (stopped !== undefined) {
          row.stop = stopped;
          row.state = endState(state);
        }
      }
      if (wrote.kind === 'latent') {
        const fed = nextLatent(output.latent_D.slice(), row.feedback, feedbackSettings);
        row.feedback = fed.row;
        latent = fed.latent;
        const stateNorm = norm(output.state_D);
        row.latents.push(latent);
        row.stateNorms.push(stateNorm);
        yield { row: index, kind: 'latent', latent, stateNorm };
      } else if (wrote.kind === 'token') {
        row.isBehindSpan =
          settings.keepAfterSpan === true && wrote.id === latentEnd && !row.afterSpan_V;
        yield { row: index, kind: 'token', id: wrote.id };
      }
      if (next.kind === 'nothing' || row.stop !== undefined) {
        const { finished } = row.state;
        const why = row.stop === undefined ? {} : { stop: row.stop };
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
    if (inputs.every(({ active }) => !active)) return;
    run.output = await run.batch.step(inputs);
  }
}
