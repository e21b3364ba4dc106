// Tests what is kept of a look at clean rows against a plain decoder of nested loops.
// Axes: T tokens, D hidden, K latents, L layers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditContext } from '../../../src/audit/part.ts';
import { cleanSequence, rowPlaces } from '../../../src/audit/places.ts';
import { collectProbeStates } from '../../../src/audit/probe-states.ts';
import { RowObserver, entropy } from '../../../src/audit/row-observation.ts';
import type { RowObservation, VectorSums } from '../../../src/audit/row-observation.ts';
import { placesOfId } from '../../../src/audit/sequence-feeds.ts';
import { planeDistances } from '../../../src/audit/spectrum.ts';
import { NO_SUMS, spreadOf } from '../../../src/audit/sums.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { positionConfig } from '../../../src/model/bundle.ts';
import type { Weights } from '../../../src/model/weights.ts';
import { mropePositions } from '../../../src/processor/positions.ts';
import { closeAudit, miniAudit } from '../../helpers/mini-audit.ts';
import type { MiniAudit } from '../../helpers/mini-audit.ts';
import { MINI_LATENTS, miniGapModel } from '../../helpers/mini-gap.ts';
import { embeddingOf, plainStates } from '../../helpers/plain-decoder.ts';
import type { PlainStates } from '../../helpers/plain-decoder.ts';
import { relativeError } from '../../helpers/relative-error.ts';

/** f32 against f64. */
const ROUNDING = 1e-5;

function plainOf(model: GapModel<Weights>, context: AuditContext, index: number): PlainStates {
  const row = context.rows[index];
  if (!row) throw new RangeError('no such row');
  const { ids, grids, pictureRows_MD, latents } = cleanSequence(row);
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const length = ids.length;
  const { positions_3BT } = mropePositions(
    {
      ...{ batch: 1, length, inputIds_BT: Int32Array.from(ids) },
      attentionMask_BT: new Int32Array(length).fill(1),
    },
    grids,
    positionConfig(model.bundle, model.settings?.positions),
  );
  const pictures = placesOfId(ids, model.bundle.sequence.imagePad);
  const spans = placesOfId(ids, model.bundle.sequence.latentPad);
  return plainStates(model, {
    inputs: ids.map((id, place) => {
      const [m, k] = [pictures.indexOf(place), spans.indexOf(place)];
      if (m >= 0) return pictureRows_MD.subarray(m * width, (m + 1) * width);
      return k >= 0 ? (latents[k] ?? []) : embeddingOf(model, id);
    }),
    positions: ids.map((_, t) => [
      positions_3BT[t] ?? 0,
      positions_3BT[length + t] ?? 0,
      positions_3BT[2 * length + t] ?? 0,
    ]),
  });
}

const length = (x: ArrayLike<number>): number =>
  Math.sqrt(Array.from(x).reduce((sum, v) => sum + v * v, 0));

function meanRow(rows: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from({ length: rows[0]?.length ?? 0 }, (_, d) =>
    rows.reduce((sum, row) => sum + (row[d] ?? 0) / rows.length, 0),
  );
}

describe('a look at clean rows', () => {
  let model: GapModel<Weights>;
  let context: MiniAudit;
  let seen: RowObservation[];
  let plain: PlainStates[];

  beforeAll(async () => {
    model = await miniGapModel({ heads: 4, kvHeads: 2, layers: 3, tied: false, seed: 5 });
    context = await miniAudit(model, [
      {},
      { answer: 'two' },
      { spans: [] },
      { spans: [MINI_LATENTS, MINI_LATENTS] },
      { spans: [2], cut: true },
      { answer: null },
      { spans: [2] },
    ]);
    await using observer = new RowObserver(context);
    seen = [];
    for await (const chunk of observer.chunks(0)) seen.push(...chunk.seen);
    plain = context.rows.map((_, i) => plainOf(model, context, i));
  });
  afterAll(() => closeAudit(context));

  it('finds question, picture, latents, later text and answer', () => {
    const { tokenizer } = model.bundle;
    context.rows.forEach((row, i) => {
      const { ids } = cleanSequence(row);
      const places = rowPlaces(model.bundle, row);
      const text = (list: readonly number[]): string =>
        tokenizer.decode(list.map((place) => ids[place] ?? 0));
      expect(text(places.question)).toBe(row.item.example.question);
      expect(places.picture).toHaveLength((row.item.grid[1] * row.item.grid[2]) / 4);
      expect(places.latents).toHaveLength(row.result.latents.length);
      expect(text(places.answer)).toBe(row.prediction.answer ?? '');
      const all = [...places.text, ...places.picture, ...places.latents].sort((a, b) => a - b);
      expect(all).toEqual([...ids.keys()]);
      if (i === 2 || i === 4) expect(places.later).toEqual([]);
      else expect(text(places.later)).toMatch(/^<\|latent_end\|>/);
      if (i === 2) expect(places.latentStart).toBeUndefined();
      else expect(ids[places.latentStart ?? 0]).toBe(model.bundle.sequence.latentStart);
    });
  });

  it('sums ln norms of every layer and kind as a plain decoder gives them', () => {
    for (const [i, one] of seen.entries()) {
      const { states = [], normed = [] } = plain[i] ?? {};
      for (const [layer, rows] of [...states, normed].entries()) {
        const kinds = [
          [one.norms.text, one.places.text],
          [one.norms.vision, one.places.picture],
          [one.norms.latent, one.places.latents],
        ] as const;
        for (const [sums, places] of kinds) {
          const own = places.map((place) => length(rows[place] ?? []));
          const [log, long] = [sums.log[layer], sums.length[layer]];
          expect(log?.count).toBe(places.length);
          const total = own.reduce((sum, x) => sum + x, 0);
          expect(relativeError([long?.sum ?? NaN], [total])).toBeLessThan(ROUNDING);
          const squares = own.reduce((sum, x) => sum + Math.log(x) ** 2, 0);
          expect(log?.squares).toBeCloseTo(squares, 3);
        }
      }
    }
  });

  it('takes norms and plane distances of injected vectors and of the states before each', () => {
    const { basis } = model.head;
    if (!basis) throw new RangeError('the model has a basis');
    for (const [i, one] of seen.entries()) {
      const { latents } = one.places;
      if (latents.length === 0) continue;
      const before = latents.map((place) => plain[i]?.states.at(-1)?.[place - 1] ?? []);
      const normed = latents.map((place) => plain[i]?.normed[place - 1] ?? []);
      const vectors = [one.row.result.latents, before, normed];
      const sums = [one.injected, one.sources.raw, one.sources.normed];
      vectors.forEach((rows, which) => {
        const own = sums[which] as VectorSums;
        const joined = Float32Array.from(rows.flatMap((row) => [...Array.from(row)]));
        const distances = planeDistances(basis, joined);
        const mean = distances.reduce((sum, x) => sum + x, 0) / distances.length;
        expect(spreadOf(own.plane ?? NO_SUMS).mean).toBeCloseTo(mean, 4);
        const lengths = rows.reduce((sum, row) => sum + length(row), 0) / rows.length;
        const found = spreadOf(own.length).mean ?? NaN;
        expect(relativeError([found], [lengths])).toBeLessThan(ROUNDING);
      });
    }
  });

  it('shares attention among latents, picture and question as plain loops do', () => {
    for (const [i, one] of seen.entries()) {
      const { places, attention } = one;
      expect(attention !== undefined).toBe(places.later.length > 0);
      if (!attention) continue;
      const mass = (layer: number, queries: readonly number[], keys: readonly number[]): number => {
        const heads = plain[i]?.attention[layer] ?? [];
        let sum = 0;
        for (const head of heads)
          for (const query of queries) for (const key of keys) sum += head[query]?.[key] ?? 0;
        return sum / heads.length / queries.length;
      };
      const answer = places.answer.map((place) => place - 1);
      expect(attention.answer !== undefined).toBe(answer.length > 0);
      for (let layer = 0; layer < 3; layer++) {
        const close = (a: number | undefined, b: number): void => {
          expect(a).toBeCloseTo(b, 5);
        };
        close(attention.later.latents[layer], mass(layer, places.later, places.latents));
        close(attention.later.picture[layer], mass(layer, places.later, places.picture));
        close(attention.later.question[layer], mass(layer, places.later, places.question));
        if (attention.answer)
          close(attention.answer.latents[layer], mass(layer, answer, places.latents));
        close(attention.latents.onPicture[layer], mass(layer, places.latents, places.picture));
        const shares = places.latents.map((latent) => {
          const own = places.picture.map((key) => mass(layer, [latent], [key]));
          const total = own.reduce((sum, x) => sum + x, 0);
          return own.map((x) => x / total);
        });
        const spread = shares.map((own) => entropy(own) / Math.log(own.length));
        close(
          attention.latents.entropy[layer],
          spread.reduce((sum, x) => sum + x, 0) / spread.length,
        );
        const map = Array.from(attention.latents.map_LM[layer] ?? []);
        expect(relativeError(map, meanRow(shares))).toBeLessThan(1e-4);
      }
      if (answer.length > 0) {
        const onEach = places.latents.map(
          (latent) => [0, 1, 2].reduce((sum, layer) => sum + mass(layer, answer, [latent]), 0) / 3,
        );
        expect(relativeError(attention.latents.ofAnswer_K, onEach)).toBeLessThan(1e-4);
      }
    }
  });

  it('says how much attention latents would get if it were even', () => {
    const one = seen[0];
    const { latents = [], later = [] } = one?.places ?? {};
    const even = later.map((place) => latents.length / (place + 1));
    expect(one?.attention?.later.even).toBeCloseTo(
      even.reduce((sum, x) => sum + x, 0) / even.length,
      12,
    );
  });

  it('gives probes the states they are said to get, whole or resumed', async () => {
    const records = [];
    for await (const chunk of collectProbeStates(context, 0)) records.push(...chunk);
    expect(records.map(({ id }) => id)).toEqual(context.rows.map((row) => row.prediction.id));
    for (const [i, { sites, triggered }] of records.entries()) {
      const { places } = seen[i] as RowObservation;
      const normed = plain[i]?.normed ?? [];
      const at = (list: readonly number[]): Float64Array =>
        meanRow(list.map((place) => normed[place] ?? []));
      expect(triggered).toBe(places.latents.length > 0);
      const expected = [
        [sites.latent, places.latents.length > 0 ? at(places.latents) : undefined],
        [
          sites['pre-answer'],
          places.answer.length > 0 ? at([(places.answer[0] ?? 0) - 1]) : undefined,
        ],
        [
          sites['pre-latent'],
          places.latentStart === undefined ? undefined : at([places.latentStart - 1]),
        ],
        [
          sites.question,
          meanRow(places.question.map((place) => plain[i]?.states[0]?.[place] ?? [])),
        ],
      ] as const;
      for (const [found, wanted] of expected) {
        expect(found !== undefined).toBe(wanted !== undefined);
        if (found && wanted) expect(relativeError(found, wanted)).toBeLessThan(ROUNDING);
      }
    }
    const rest = [];
    for await (const chunk of collectProbeStates(context, 4)) rest.push(...chunk);
    expect(rest).toEqual(records.slice(4));
  });
});
