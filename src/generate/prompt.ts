// Owns what is read before anything is written: prompts, and beginnings of responses that are given;
// run.ts opens batches with it.
// Axes: D hidden, M picture tokens, N given vectors.
import { ShapeError } from '../errors.ts';
import { hiddenAfterSpan, isDenied } from '../latent/after-span.ts';
import type { AfterSpan, HiddenPlaces } from '../latent/after-span.ts';
import type { GapModel } from '../latent/model.ts';
import { positionConfig } from '../model/bundle.ts';
import { cursorAfterRow, mropePositions } from '../processor/positions.ts';
import type { PositionCursor } from '../processor/positions.ts';
import type { DecoderOutput, DecodingBatch, PromptRow, StepInput } from './decoder.ts';
import type { GenerationRequest } from './request.ts';

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

/** A prompt, ready to be read. */
export interface PreparedPrompt {
  readonly prompt: PromptRow;
  /** What is read behind it, token by token. */
  readonly rest: readonly StepInput[];
  /** Where what is written goes on. */
  readonly cursor: PositionCursor;
}

/**
 * Positions and places of one unpadded prompt, with what the response begins with. Of a beginning
 * whose positions after a span are denied something, those are read one by one, since a prompt is
 * read with everything in sight.
 * @throws ShapeError for a beginning whose latents do not fit its tokens.
 */
export function promptRow(
  model: GapModel,
  request: GenerationRequest,
  afterSpan: AfterSpan | undefined,
): PreparedPrompt {
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
  const prompt = {
    ids,
    positions_3T: positions.positions_3BT,
    given_ND,
    givenPlaces: [...placesOf(imagePad), ...(prefix.ids.length > 0 ? placesOf(latentPad) : [])],
  };
  const hidden = afterSpan ? hiddenAfterSpan(ids, model.bundle.sequence) : undefined;
  return {
    ...(hidden ? cutPrompt(model, prompt, hidden) : { prompt, rest: [] }),
    cursor: cursorAfterRow(positions, 0),
  };
}

/** A prompt cut where its positions are denied what it hides, the rest as steps. */
function cutPrompt(
  model: GapModel,
  { ids, positions_3T, given_ND, givenPlaces }: PromptRow,
  hidden: HiddenPlaces,
): { prompt: PromptRow; rest: StepInput[] } {
  const { length } = ids;
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const rest = ids.slice(hidden.since).map((id, i): StepInput => {
    const place = hidden.since + i;
    const given = givenPlaces.indexOf(place);
    const position = (axis: number): number => positions_3T[axis * length + place] ?? 0;
    return {
      id,
      position: [position(0), position(1), position(2)],
      ...(given < 0 ? {} : { latent: given_ND.subarray(given * width, (given + 1) * width) }),
      ...(isDenied(hidden, id, place, model.bundle.sequence)
        ? { hidden: [hidden.from, hidden.to] }
        : {}),
      active: true,
    };
  });
  const numGiven = givenPlaces.filter((place) => place < hidden.since).length;
  const plane = (axis: number): Int32Array =>
    positions_3T.subarray(axis * length, axis * length + hidden.since);
  return {
    prompt: {
      ids: ids.slice(0, hidden.since),
      positions_3T: Int32Array.from([0, 1, 2].flatMap((axis) => [...plane(axis)])),
      given_ND: given_ND.subarray(0, numGiven * width),
      givenPlaces: givenPlaces.slice(0, numGiven),
    },
    rest,
  };
}

/** Reads what is left of each row's beginning; gives the output behind every row's last token. */
export async function readRest(
  batch: DecodingBatch,
  rests: readonly (readonly StepInput[])[],
  idle: StepInput,
): Promise<DecoderOutput> {
  let output = batch.output;
  const longest = Math.max(...rests.map((rest) => rest.length));
  for (let step = 0; step < longest; step++) {
    const inputs = rests.map((rest) => rest[step] ?? idle);
    const fresh = await batch.step(inputs);
    const pick = (kind: keyof DecoderOutput): Float32Array => {
      const rows = output[kind].slice();
      const size = rows.length / inputs.length;
      inputs.forEach(({ active }, i) => {
        if (active) rows.set(fresh[kind].subarray(i * size, (i + 1) * size), i * size);
      });
      return rows;
    };
    output = {
      logits_BV: pick('logits_BV'),
      states_BD: pick('states_BD'),
      latents_BD: pick('latents_BD'),
    };
  }
  return output;
}

/** What a row that is done gives to a step. */
export function idleInput(model: GapModel): StepInput {
  return { id: model.bundle.padId, position: [0, 0, 0], active: false };
}
