// Tests that looking at whole sequences sees what cached decoding computes, and reduces it as said.
// Axes: T tokens, D hidden, V vocabulary.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LabelObserver, StateObserver } from '../../../src/audit/observe.ts';
import type { StateObservation, StateQuestion } from '../../../src/audit/observe.ts';
import { padSequences, sequenceBatches } from '../../../src/audit/sequence-feeds.ts';
import type { Sequence } from '../../../src/audit/sequence-feeds.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { ShapeError } from '../../../src/errors.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import type { DecoderOutput } from '../../../src/generate/decoder.ts';
import { generateBatch } from '../../../src/generate/generate.ts';
import type { GenerationRequest, GenerationResult } from '../../../src/generate/generate.ts';
import { norm } from '../../../src/latent/feedback.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import type { Weights } from '../../../src/model/weights.ts';
import { positionConfig, promptIds } from '../../../src/model/bundle.ts';
import type { LatentPositions } from '../../../src/processor/positions.ts';
import { mropePositions } from '../../../src/processor/positions.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import { Rng } from '../../../src/rng.ts';
import { openCheckpoint, writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { quantizeCheckpoint } from '../../../src/store/quantize.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

/** f32 rounding of two orders of summation. */
const ROUNDING = 2e-5;
const GRID: LatentPositions = { kind: 'grid', numLatents: MINI_LATENTS };

/** Prompts about none, one or two pictures, of several lengths. */
function makeRequests(model: GapModel): GenerationRequest[] {
  const rng = new Rng('observed');
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const pictures: readonly (readonly GridThw[])[] = [
    [[1, 4, 2]],
    [],
    [
      [1, 2, 2],
      [1, 2, 4],
    ],
    [[1, 4, 4]],
    [[1, 2, 6]],
    [],
  ];
  return pictures.map((grids, i) => {
    const ids = promptIds(model.bundle, i % 2 === 0 ? 'what is it' : 'red', grids);
    const numTokens = ids.filter((id) => id === model.bundle.sequence.imagePad).length;
    const pictureRows_MD = randomRows(rng, numTokens * width);
    return { promptIds: ids, grids, pictureRows_MD, rng: new Rng(`row ${i}`) };
  });
}

function sequencesOf(
  requests: readonly GenerationRequest[],
  results: readonly GenerationResult[],
): Sequence[] {
  return requests.map(({ promptIds: prompt, grids, pictureRows_MD }, i) => ({
    ids: [...prompt, ...(results[i]?.ids ?? [])],
    grids,
    pictureRows_MD,
    latents: results[i]?.latents ?? [],
  }));
}

async function look(
  observer: StateObserver,
  asked: readonly StateQuestion[],
): Promise<StateObservation[]> {
  const seen: StateObservation[] = [];
  for await (const one of observer.observe(asked)) seen.push(one);
  return seen;
}

const all = (sequence: Sequence): number[] => [...sequence.ids.keys()];

/** log softmax of logits [V], in double precision. */
function logSoftmax(logits_V: Float32Array): Float64Array {
  const most = Math.max(...logits_V);
  const total = logits_V.reduce((sum, x) => sum + Math.exp(x - most), 0);
  return Float64Array.from(logits_V, (x) => x - most - Math.log(total));
}

/** What the cached decoder says at the last of the first `count` tokens, read three at a time. */
async function cachedAt(
  decoder: Decoder,
  { ids, grids, pictureRows_MD, latents }: Sequence,
  count: number,
): Promise<DecoderOutput> {
  const { model } = decoder;
  const { imagePad, latentPad } = model.bundle.sequence;
  const length = ids.length;
  const { positions_3BT } = mropePositions(
    {
      batch: 1,
      length,
      inputIds_BT: Int32Array.from(ids),
      attentionMask_BT: new Int32Array(length).fill(1),
    },
    grids,
    positionConfig(model.bundle, model.settings?.positions),
  );
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const cut = ids.slice(0, count);
  const places = cut.flatMap((id, i) => (id === imagePad || id === latentPad ? [i] : []));
  let [picture, latent] = [0, 0];
  const given = places.map((place) => {
    if (cut[place] === latentPad) return latents[latent++] ?? new Float32Array(width);
    picture += 1;
    return pictureRows_MD.subarray((picture - 1) * width, picture * width);
  });
  const { output } = await decoder.start(
    [
      {
        ids: cut,
        positions_3T: Int32Array.from(
          [0, 1, 2].flatMap((axis) => [
            ...positions_3BT.subarray(axis * length, axis * length + count),
          ]),
        ),
        given_ND: Float32Array.from(given.flatMap((vector) => [...vector])),
        givenPlaces: places,
      },
    ],
    1,
  );
  return output;
}

describe.each([
  { head: 'pca', heads: 4, kvHeads: 2, tied: false, seed: 4 },
  { head: 'pca', heads: 2, kvHeads: 2, tied: true, seed: 11, positions: GRID },
  { head: 'output', heads: 2, kvHeads: 1, tied: false, seed: 4, positions: GRID },
] as const)('a look at whole sequences ($head head, $heads heads, seed $seed)', (options) => {
  const sessionsBefore = countLiveSessions();
  let model: GapModel;
  let decoder: Decoder;
  let states: StateObserver;
  let labels: LabelObserver;
  let results: GenerationResult[];
  let sequences: Sequence[];

  beforeAll(async () => {
    model = await miniGapModel(options);
    decoder = await Decoder.create(model, { ...SESSION, prefillTokens: 3 });
    states = await StateObserver.create(model, SESSION);
    labels = await LabelObserver.create(model, SESSION);
    const requests = makeRequests(model);
    results = await generateBatch(decoder, requests, {
      numLatents: MINI_LATENTS,
      maxNewTokens: 24,
      temperature: 1.5,
      intervention: { kind: 'clean' },
      calibration: { kind: 'none' },
    });
    sequences = sequencesOf(requests, results);
  });
  afterAll(async () => {
    await decoder[Symbol.asyncDispose]();
    await states[Symbol.asyncDispose]();
    await labels[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(sessionsBefore);
  });

  it('is asked about rows of several lengths, with and without spans', () => {
    expect(new Set(sequences.map(({ ids }) => ids.length)).size).toBeGreaterThan(3);
    expect(results.some(({ latents }) => latents.length >= MINI_LATENTS)).toBe(true);
    expect(results.some(({ latents }) => latents.length === 0)).toBe(true);
  });

  it('sees the latents that decoding wrote and the norms of the states they came from', async () => {
    const { latentPad } = model.bundle.sequence;
    const seen = await look(
      states,
      sequences.map((sequence) => ({
        sequence,
        states: all(sequence).flatMap((i) => (sequence.ids[i + 1] === latentPad ? [i] : [])),
      })),
    );
    for (const [i, { latents, stateNorms }] of results.entries()) {
      for (const [k, latent] of latents.entries()) {
        expect(relativeError(seen[i]?.nextLatent(k) ?? [], latent)).toBeLessThan(ROUNDING);
        const length = norm(seen[i]?.raw(k) ?? new Float32Array(0));
        expect(relativeError([length], [stateNorms[k] ?? NaN])).toBeLessThan(ROUNDING);
      }
    }
  });

  it('agrees with cached decoding at every position: states, latents, log-probabilities', async () => {
    const { vocabSize } = model.bundle.checkpoint.config.text;
    const seen = await look(
      states,
      sequences.map((sequence) => ({ sequence, states: all(sequence) })),
    );
    const logProbs = await labels.logProbs(
      sequences.map((sequence) => ({
        sequence,
        labels: all(sequence).flatMap((place) =>
          Array.from({ length: vocabSize }, (_, id) => ({ place, id })),
        ),
      })),
    );
    let worst = 0;
    for (const [i, sequence] of sequences.entries()) {
      for (const place of all(sequence)) {
        const cached = await cachedAt(decoder, sequence, place + 1);
        const own = (logProbs[i] ?? []).slice(place * vocabSize, (place + 1) * vocabSize);
        worst = Math.max(
          worst,
          relativeError(seen[i]?.raw(place) ?? [], cached.states_BD),
          relativeError(seen[i]?.nextLatent(place) ?? [], cached.latents_BD),
          relativeError(own, logSoftmax(cached.logits_BV)),
        );
      }
    }
    expect(worst).toBeLessThan(ROUNDING);
  });

  it('gives a row alone what it gives it among others', async () => {
    const ask = (sequence: Sequence): StateQuestion => ({
      sequence,
      states: [0, sequence.ids.length - 1],
      pools: [[0, 1], all(sequence)],
      queries: [all(sequence), [sequence.ids.length - 1]],
    });
    const together = await look(states, sequences.map(ask));
    for (const [i, sequence] of sequences.entries()) {
      const [alone] = await look(states, [ask(sequence)]);
      const other = together[i];
      expect(other?.length).toBe(sequence.ids.length);
      for (let layer = 0; layer < (other?.numLayers ?? 0) + 2; layer++) {
        expect(relativeError(other?.norms(layer) ?? [], alone?.norms(layer) ?? [])).toBeLessThan(
          ROUNDING,
        );
      }
      for (const at of [0, 1]) {
        const pairs = [
          [other?.meanInput(at), alone?.meanInput(at)],
          [other?.meanDirection(at), alone?.meanDirection(at)],
          [other?.attention(1, at), alone?.attention(1, at)],
          [other?.normed(at), alone?.normed(at)],
        ];
        for (const [x, y] of pairs) {
          expect(relativeError(x ?? [], y ?? [])).toBeLessThan(ROUNDING);
        }
      }
    }
  });

  it('gives attention that adds up to 1 over what a position may see, and none beyond it', async () => {
    const seen = await look(
      states,
      sequences.map((sequence) => ({ sequence, queries: all(sequence).map((place) => [place]) })),
    );
    for (const one of seen) {
      for (let layer = 0; layer < one.numLayers; layer++) {
        for (let query = 0; query < one.length; query++) {
          const weights_T = one.attention(layer, query);
          expect(weights_T.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 5);
          expect(weights_T.subarray(query + 1).every((x) => x === 0)).toBe(true);
        }
      }
    }
  });

  it('means norms, inputs and directions as they are said to be', async () => {
    const sequence = sequences.find(({ latents }) => latents.length > 0) as Sequence;
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    const latentPlaces = all(sequence).filter(
      (i) => sequence.ids[i] === model.bundle.sequence.latentPad,
    );
    const [seen] = await look(states, [
      { sequence, states: all(sequence), pools: [latentPlaces, all(sequence)] },
    ]);
    if (!seen) throw new RangeError('nothing was seen');
    const mean_D = new Float32Array(width).map(
      (_, d) =>
        sequence.latents.reduce((sum, latent) => sum + (latent[d] ?? 0), 0) /
        sequence.latents.length,
    );
    expect(relativeError(seen.meanInput(0), mean_D)).toBeLessThan(ROUNDING);
    const direction_D = new Float32Array(width);
    for (const place of all(sequence)) {
      const state = seen.normed(place);
      expect(seen.norms(seen.numLayers)[place]).toBeCloseTo(norm(seen.raw(place)), 4);
      expect(seen.norms(seen.numLayers + 1)[place]).toBeCloseTo(norm(state), 4);
      for (let d = 0; d < width; d++) {
        direction_D[d] =
          (direction_D[d] ?? 0) + (state[d] ?? 0) / norm(state) / sequence.ids.length;
      }
    }
    expect(relativeError(seen.meanDirection(1), direction_D)).toBeLessThan(ROUNDING);
    latentPlaces.forEach((place, k) => {
      const length = norm(sequence.latents[k] ?? new Float32Array(0));
      expect(seen.norms(0)[place]).toBeCloseTo(length, 4);
    });
  });

  it('refuses latents or pictures that do not match their tokens', () => {
    const [first] = sequences;
    if (!first) throw new RangeError('there are no sequences');
    const more = { ...first, latents: [...first.latents, new Float32Array(3)] };
    expect(() => padSequences(model, [more])).toThrow(ShapeError);
    expect(() => padSequences(model, [{ ...first, grids: [] }])).toThrow(/pictures/);
  });

  it('cuts long lists into batches in order and keeps every row', () => {
    const many = Array.from({ length: 40 }, (_, i) => ({
      at: i,
      sequence: sequences[i % sequences.length] as Sequence,
    }));
    const batches = sequenceBatches(model, many);
    expect(batches.length).toBeGreaterThan(1);
    expect(batches.flat().map(({ at }) => at)).toEqual(many.map(({ at }) => at));
    const long = { sequence: { ...(sequences[0] as Sequence), ids: Array<number>(9000).fill(0) } };
    expect(sequenceBatches(model, [long, long]).map((batch) => batch.length)).toEqual([1, 1]);
  });
});

describe('a look with a packed model', () => {
  it('sees what cached decoding with the same packed matrices computes', async () => {
    await inTemporaryFolder(async (folder) => {
      const plain = await miniGapModel({ heads: 4, kvHeads: 2, tied: true, seed: 4 });
      const { checkpoint } = plain.bundle;
      const [from, out] = [join(folder, 'plain'), join(folder, 'packed')];
      await writeCheckpoint(from, checkpoint.configJson, checkpoint.weights);
      await quantizeCheckpoint({ model: from, out, bits: 4, symmetric: true });
      const packed = await openCheckpoint(out);
      expect(packed.weights.packings.size).toBeGreaterThan(0);
      const model: GapModel = { ...plain, bundle: { ...plain.bundle, checkpoint: packed } };
      await using decoder = await Decoder.create(model, SESSION);
      await using states = await StateObserver.create(model, SESSION);
      await using labels = await LabelObserver.create(model, SESSION);
      const [request] = makeRequests(model);
      if (!request) throw new RangeError('there is a request');
      const latents = [1, 2].map((seed) =>
        randomRows(new Rng(seed), packed.config.text.hiddenSize),
      );
      const { latentPad } = model.bundle.sequence;
      const sequence = { ...request, ids: [...request.promptIds, latentPad, latentPad], latents };
      const last = sequence.ids.length - 1;
      const cached = await cachedAt(decoder, sequence, last + 1);
      const [seen] = await look(states, [{ sequence, states: [last] }]);
      const [logProbs] = await labels.logProbs([
        { sequence, labels: Array.from(cached.logits_BV, (_, id) => ({ place: last, id })) },
      ]);
      expect(relativeError(seen?.raw(0) ?? [], cached.states_BD)).toBeLessThan(ROUNDING);
      expect(relativeError(logProbs ?? [], logSoftmax(cached.logits_BV))).toBeLessThan(ROUNDING);
    });
  });
});

describe('a look with a model whose text after a span does not see the picture', () => {
  let model: GapModel<Weights>;
  let sequences: Sequence[];
  let results: GenerationResult[];

  beforeAll(async () => {
    const open = await miniGapModel({ heads: 4, kvHeads: 2, tied: false, seed: 4 });
    if (!open.settings) throw new RangeError('the model has settings');
    model = { ...open, settings: { ...open.settings, afterSpan: 'picture-hidden' } };
    await using decoder = await Decoder.create(model, SESSION);
    const requests = [1, 2, 3, 4].flatMap((turn) =>
      makeRequests(model).map((request, i) => ({ ...request, rng: new Rng(`${turn} ${i}`) })),
    );
    results = await generateBatch(decoder, requests, {
      numLatents: MINI_LATENTS,
      maxNewTokens: 24,
      temperature: 1.5,
      intervention: { kind: 'clean' },
      calibration: { kind: 'none' },
      keepAfterSpan: true,
    });
    sequences = sequencesOf(requests, results);
  });

  /** log-probabilities of every token behind a place. */
  const logProbsAt = async (
    asked: readonly (readonly [sequence: Sequence, place: number])[],
    of: GapModel = model,
  ): Promise<number[][]> => {
    await using labels = await LabelObserver.create(of, SESSION);
    const { vocabSize } = of.bundle.checkpoint.config.text;
    return await labels.logProbs(
      asked.map(([sequence, place]) => ({
        sequence,
        labels: Array.from({ length: vocabSize }, (_, id) => ({ place, id })),
      })),
    );
  };

  it('sees at the end of a span what decoding with the picture hidden computes there', async () => {
    const { latentEnd } = model.bundle.sequence;
    const spans = sequences.flatMap((sequence, i) => {
      const { afterSpan_V } = results[i] ?? {};
      return afterSpan_V ? [{ sequence, afterSpan_V, place: sequence.ids.indexOf(latentEnd) }] : [];
    });
    expect(spans.length).toBeGreaterThan(3);
    const asked = spans.map(({ sequence, place }) => [sequence, place] as const);
    const found = await logProbsAt(asked);
    spans.forEach(({ afterSpan_V }, i) => {
      expect(relativeError(found[i] ?? [], logSoftmax(afterSpan_V))).toBeLessThan(ROUNDING);
    });
    // And something else than with the picture in sight, where there is one.
    const { afterSpan: _, ...settings } = model.settings ?? {};
    const seeing = await logProbsAt(asked, { ...model, settings } as GapModel);
    const moved = spans.filter(
      ({ sequence }, i) =>
        sequence.grids.length > 0 && relativeError(found[i] ?? [], seeing[i] ?? []) > 0.01,
    );
    expect(moved.length).toBeGreaterThan(0);
  });

  it('lets text after a span give no attention to the picture, latents still some', async () => {
    await using states = await StateObserver.create(model, SESSION);
    const { latentEnd, latentPad, imagePad } = model.bundle.sequence;
    const asked = sequences.filter(({ ids, grids }) => ids.includes(latentEnd) && grids.length > 0);
    expect(asked.length).toBeGreaterThan(0);
    const groups = asked.map(({ ids }) => [
      ids.flatMap((id, i) => (i >= ids.indexOf(latentEnd) && id !== latentPad ? [i] : [])),
      [ids.indexOf(latentPad)],
    ]);
    const seen = await look(
      states,
      asked.map((sequence, i) => ({ sequence, queries: groups[i] ?? [] })),
    );
    seen.forEach((one, i) => {
      const pictures = all(asked[i] as Sequence).filter((at) => asked[i]?.ids[at] === imagePad);
      const mass = (query: number): number =>
        pictures.reduce((sum, at) => sum + (one.attention(0, query)[at] ?? 0), 0);
      expect(mass(0)).toBe(0);
      expect(mass(1)).toBeGreaterThan(0);
    });
  });
});
