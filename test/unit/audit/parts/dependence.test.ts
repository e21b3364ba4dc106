// Tests the part of the audit on dependence: log-probabilities against a plain decoder, regions, tables.
// Axes: K latents, D hidden, V vocabulary.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile } from 'vega-lite';
import { answerIds, answerQuestions } from '../../../../src/audit/answer-labels.ts';
import { decidingRegion } from '../../../../src/audit/deciding-region.ts';
import { LabelObserver } from '../../../../src/audit/observe.ts';
import type { CleanRow } from '../../../../src/audit/part.ts';
import { DEPENDENCE_PART, replacedSteps } from '../../../../src/audit/parts/dependence.ts';
import type { DependenceRecord } from '../../../../src/audit/parts/dependence-records.ts';
import { cleanSequence, rowPlaces } from '../../../../src/audit/places.ts';
import { RowObserver } from '../../../../src/audit/row-observation.ts';
import { placesOfId } from '../../../../src/audit/sequence-feeds.ts';
import type { Sequence } from '../../../../src/audit/sequence-feeds.ts';
import type { AuditPart } from '../../../../src/audit/types.ts';
import { createRaster } from '../../../../src/data/raster.ts';
import { countLiveSessions } from '../../../../src/engine/session.ts';
import { mean } from '../../../../src/evaluate/statistics.ts';
import type { GapModel } from '../../../../src/latent/model.ts';
import { positionConfig } from '../../../../src/model/bundle.ts';
import type { Weights } from '../../../../src/model/weights.ts';
import { mropePositions } from '../../../../src/processor/positions.ts';
import { Rng } from '../../../../src/rng.ts';
import {
  collected,
  journalsOf,
  measuredCell,
  rowOf,
  tableOf,
} from '../../../helpers/audit-journals.ts';
import { closeAudit, miniAudit } from '../../../helpers/mini-audit.ts';
import type { MiniAudit } from '../../../helpers/mini-audit.ts';
import { SESSION, miniGapModel } from '../../../helpers/mini-gap.ts';
import { embeddingOf, plainLogProbs, plainStates } from '../../../helpers/plain-decoder.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };

/** log p of ids that follow a sequence, by the plain decoder. */
function plainAnswer(
  model: GapModel<Weights>,
  sequence: Sequence,
  first: number,
  answer: readonly number[],
): number {
  const ids = [...sequence.ids.slice(0, first), ...answer];
  const length = ids.length;
  const { positions_3BT } = mropePositions(
    {
      ...{ batch: 1, length, inputIds_BT: Int32Array.from(ids) },
      attentionMask_BT: new Int32Array(length).fill(1),
    },
    sequence.grids,
    positionConfig(model.bundle, model.settings?.positions),
  );
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const pictures = placesOfId(ids, model.bundle.sequence.imagePad);
  const spans = placesOfId(ids, model.bundle.sequence.latentPad);
  const { normed } = plainStates(model, {
    inputs: ids.map((id, place) => {
      const [m, k] = [pictures.indexOf(place), spans.indexOf(place)];
      if (m >= 0) return sequence.pictureRows_MD.subarray(m * width, (m + 1) * width);
      return k >= 0 ? (sequence.latents[k] ?? []) : embeddingOf(model, id);
    }),
    positions: ids.map((_, t) => [
      positions_3BT[t] ?? 0,
      positions_3BT[length + t] ?? 0,
      positions_3BT[2 * length + t] ?? 0,
    ]),
  });
  const logProbs = plainLogProbs(model, normed);
  return answer.reduce((sum, id, i) => sum + (logProbs[first + i - 1]?.[id] ?? NaN), 0);
}

describe('the part on dependence', () => {
  const sessionsBefore = countLiveSessions();
  let model: GapModel<Weights>;
  let context: MiniAudit;
  let records: DependenceRecord[];
  let part: AuditPart;

  /** Latents of a row with the chosen ones replaced by the mean of their place. */
  const replaced = (row: CleanRow, chosen: readonly number[]): Float32Array[] => {
    const whole = context.rows.filter(({ result }) => result.latents.length === 4);
    return row.result.latents.map((latent, k) =>
      chosen.includes(k)
        ? latent.map((_, d) => mean(whole.map(({ result }) => result.latents[k]?.[d] ?? NaN)))
        : latent,
    );
  };

  beforeAll(async () => {
    model = await miniGapModel({ heads: 2, kvHeads: 1, layers: 2, seed: 3 });
    context = await miniAudit(model, [
      { answer: 'two three' },
      {},
      { spans: [] },
      { spans: [4, 4] },
      { answer: null },
      { answer: 'blue' },
      {},
    ]);
    records = (await collected(DEPENDENCE_PART, context)) as DependenceRecord[];
    part = await DEPENDENCE_PART.summarise(journalsOf(DEPENDENCE_PART, records), FACTS);
  });
  afterAll(async () => {
    await closeAudit(context);
    expect(countLiveSessions()).toBe(sessionsBefore);
  });

  it('replaces none, powers of two up to half, all', () => {
    expect(replacedSteps(9)).toEqual([0, 1, 2, 4, 9]);
    expect(replacedSteps(36)).toEqual([0, 1, 2, 4, 8, 16, 36]);
    expect(replacedSteps(1)).toEqual([0, 1]);
  });

  it('says of every row why it has no log-probabilities', () => {
    expect(records.map(({ without }) => without)).toEqual([
      ...[undefined, undefined, 'no span', 'not one whole span', 'no answer', undefined],
      undefined,
    ]);
    expect(part.notes).toContain('no log-probabilities of 1 rows: no span');
  });

  it('gives the log-probabilities that a plain decoder gives, own and expected, top and random', async () => {
    await using observer = new RowObserver(context);
    for (const i of [0, 1, 5, 6]) {
      const row = context.rows[i] as CleanRow;
      const record = records[i] as DependenceRecord;
      const places = rowPlaces(model.bundle, row);
      const first = places.answer[0] ?? 0;
      const sequence = cleanSequence(row);
      const own = places.answer.map((place) => sequence.ids[place] ?? 0);
      const gold = answerIds(model.bundle, row.prediction.expected) ?? [];
      const attention_K = (await observer.row(i))?.attention?.latents.ofAnswer_K ?? [];
      const attended = [0, 1, 2, 3].sort((a, b) => (attention_K[b] ?? 0) - (attention_K[a] ?? 0));
      const shuffled = new Rng(context.seed)
        .fork(`dependence ${row.prediction.id}`)
        .shuffle([0, 1, 2, 3]);
      expect(record.steps).toEqual([0, 1, 2, 4]);
      for (const [order, chosen] of [
        ['top', attended],
        ['random', shuffled],
      ] as const) {
        record.steps?.forEach((m, at) => {
          const changed = { ...sequence, latents: replaced(row, chosen.slice(0, m)) };
          const [ownLog, goldLog] = [own, gold].map((ids) =>
            plainAnswer(model, changed, first, ids),
          );
          expect(record.own?.[order][at]).toBeCloseTo(ownLog ?? NaN, 4);
          expect(record.gold?.[order][at]).toBeCloseTo(goldLog ?? NaN, 4);
        });
      }
    }
  });

  it('averages what is lost over rows', () => {
    const table = tableOf(part, 'dependence-steps');
    for (const [m, at] of [
      [1, 1],
      [4, 3],
    ] as const) {
      const row = rowOf(table, String(m));
      const drops = records.flatMap(({ own }) =>
        own ? [(own.top[0] ?? NaN) - (own.top[at] ?? NaN)] : [],
      );
      expect(row['n']).toBe(4);
      expect(measuredCell(row['ownTop']).value).toBeCloseTo(mean(drops), 12);
    }
    const last = rowOf(table, '4');
    expect(last['ownTop']).toEqual(last['ownRandom']);
    expect(last['goldTop']).toEqual(last['goldRandom']);
  });

  it('asks for an expected answer of several tokens in a sequence of its own', async () => {
    const row = context.rows[1] as CleanRow;
    const places = rowPlaces(model.bundle, row);
    const sequence = cleanSequence(row);
    const gold = answerIds(model.bundle, 'red blue') ?? [];
    expect(gold).toHaveLength(2);
    const asked = answerQuestions(sequence, places, gold);
    expect(asked.questions).toHaveLength(2);
    await using labels = await LabelObserver.create(model, SESSION);
    const found = asked.read(await labels.logProbs(asked.questions));
    expect(found.gold).toBeCloseTo(plainAnswer(model, sequence, places.answer[0] ?? 0, gold), 4);
  });

  it('has no expected answer where the vocabulary lacks its words', () => {
    expect(answerIds(model.bundle, 'nosuchword')).toBe(undefined);
    const row = context.rows[1] as CleanRow;
    const asked = answerQuestions(cleanSequence(row), rowPlaces(model.bundle, row), undefined);
    expect(asked.read([[-1]])).toEqual({ own: -1, gold: null });
  });

  it('weighs attention on the deciding region by its share of the picture', async () => {
    await using observer = new RowObserver(context);
    const own = (await observer.row(0))?.attention?.latents.map_LM ?? [];
    const other = (await observer.row(4))?.attention?.latents.map_LM ?? [];
    // Pictures of 3 x 2 tokens that differ in the first: six times its attention.
    expect(records[0]?.region).toEqual({
      share: 1 / 6,
      enrichment: own.map((map_M) => expect.closeTo(6 * (map_M[0] ?? NaN), 6) as number),
      ofOther: other.map((map_M) => expect.closeTo(6 * (map_M[0] ?? NaN), 6) as number),
    });
    expect(records[1]?.noRegion).toBe('sizes differ');
    expect(records[2]?.region).toBe(undefined);
    const even = tableOf(part, 'dependence-region');
    expect(even.rows.map(({ task }) => task)).toEqual(['all', 'even']);
    expect(even.rows[0]?.['n']).toBe(3);
    expect(part.notes).toContain('no deciding region in 3 rows: sizes differ');
  });

  it('means attention over rows and tells what even attention were', () => {
    const table = tableOf(part, 'dependence-attention');
    const shares = records.flatMap(({ answer }) => answer?.latents[1] ?? []);
    expect(rowOf(table, '2')['answerOnLatents']).toBeCloseTo(mean(shares), 12);
    const even = records.flatMap(({ later }) => later?.even ?? []);
    const line = rowOf(table, 'if all that is seen got the same');
    expect(line['laterOnLatents']).toBeCloseTo(mean(even), 12);
  });

  it('goes on behind what is journalled with the same numbers', async () => {
    for (const done of [3, 5, 7]) {
      expect(await collected(DEPENDENCE_PART, context, done)).toEqual(records.slice(done));
    }
  });

  it('draws what vega-lite takes and tells every figure in words', () => {
    expect(part.figures).toHaveLength(2);
    for (const { spec, alt } of part.figures) {
      expect(() => compile(spec)).not.toThrow();
      expect(alt.length).toBeGreaterThan(40);
    }
    expect(part.findings[0]).toMatch(/^With all 4 latents replaced/);
  });
});

describe('the deciding region', () => {
  it('is the tokens in which pictures of one size differ', async () => {
    const { bundle } = await miniGapModel({ seed: 3 });
    const picture = createRaster(16, 16, [9, 9, 9]);
    const auxiliary = { ...picture, data: picture.data.slice() };
    auxiliary.data[3 * (16 * 15 + 15)] = 10;
    expect(decidingRegion(bundle, { picture, auxiliary })).toEqual({ tokens: [3], numTokens: 4 });
    const white = createRaster(16, 16, [255, 255, 255]);
    expect([
      decidingRegion(bundle, { picture }),
      decidingRegion(bundle, { picture, auxiliary: picture }),
      decidingRegion(bundle, { picture, auxiliary: white }),
      decidingRegion(bundle, { picture, auxiliary: createRaster(16, 24, [0, 0, 0]) }),
    ]).toEqual(
      ['no auxiliary picture', 'nothing differs', 'everything differs', 'sizes differ'].map(
        (obstacle) => ({ obstacle }),
      ),
    );
  });
});
