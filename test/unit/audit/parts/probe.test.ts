// Checks the part on decodability against use: its arms on a mini model, its cells on journals whose truth is known.
import { compile } from 'vega-lite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { latentsOf } from '../../../../src/audit/arms.ts';
import type { ArmRecord, Journals } from '../../../../src/audit/part.ts';
import {
  PROBE_PART,
  corruptedLatents,
  probeArms,
  probePart,
} from '../../../../src/audit/parts/probe.ts';
import { PROBE_SITES } from '../../../../src/audit/probe-states.ts';
import type { ProbeSite, ProbeStateRecord } from '../../../../src/audit/probe-states.ts';
import type { AuditPart, Measured } from '../../../../src/audit/types.ts';
import { Rng } from '../../../../src/rng.ts';
import { closeAudit, miniAudit } from '../../../helpers/mini-audit.ts';
import { MINI_LATENTS, miniGapModel } from '../../../helpers/mini-gap.ts';

const FACTS = { seed: 3, numLatents: 4, variant: 'gap' };
const WIDTH = 6;

/** What a made-up model is like. */
interface Truth {
  /** Sites whose states hold the answer. */
  readonly readable: readonly ProbeSite[];
  /** Share of right answers that each arm turns wrong. */
  readonly lost: Readonly<Record<string, number>>;
  readonly numItems?: number;
}

/** Journals of such a model: two tasks with three answers each, 90 % right when clean. */
function journalsOf({ readable, lost, numItems = 200 }: Truth): Journals {
  const rng = new Rng('journals');
  const centres = Array.from({ length: 6 }, () =>
    Array.from({ length: WIDTH }, () => 3 * rng.normal()),
  );
  const rows = Array.from({ length: numItems }, (_, i) => ({
    id: `item-${i}`,
    task: i % 2 === 0 ? 'even' : 'odd',
    expected: String(rng.int(3)),
    isRight: rng.uniform() < 0.9,
    luck: rng.uniform(),
    triggered: i % 10 !== 9,
  }));
  const states = rows.map(({ id, task, expected, triggered }): ProbeStateRecord => {
    const centre = centres[Number(expected) + (task === 'odd' ? 3 : 0)] ?? [];
    const state = (site: ProbeSite): number[] =>
      centre.map((x) => (readable.includes(site) ? x : 0) + rng.normal());
    const sites = Object.fromEntries(PROBE_SITES.map((site) => [site, state(site)]));
    return { id, task, expected, triggered, sites };
  });
  return {
    part: (name) => (name === 'probe' ? states : []),
    arm: (name) => {
      if (name !== 'clean' && lost[name] === undefined) return [];
      return rows.map(({ id, task, expected, isRight, luck, triggered }): ArmRecord => {
        const correct = isRight && !(triggered && luck < (lost[name] ?? 0));
        const answer = correct ? expected : 'none';
        return {
          ...{ id, task, cluster: id, triggered, response: '', answer, expected, correct },
          ...{
            finished: true,
            logitsHash: null,
            logitsDistance: null,
            latentNorm: null,
            targetError: null,
          },
        };
      });
    },
  };
}

async function partOf(truth: Truth): Promise<AuditPart> {
  return await PROBE_PART.summarise(journalsOf(truth), FACTS);
}

const COSTLY = {
  ...{ 'corrupted-0.1': 0, 'corrupted-0.3': 0.2, 'corrupted-1.0': 0.6 },
  ...{ truncated: 0.3, 'truncated-quarter': 0.5, other: 0.6 },
};
const HARMLESS = Object.fromEntries(Object.keys(COSTLY).map((name) => [name, 0]));
const ANSWERING: readonly ProbeSite[] = ['latent', 'pre-answer'];

describe('the cells of decodability against use', () => {
  it('are told apart when the truth is known', async () => {
    const cells = [
      { readable: ANSWERING, lost: COSTLY, cell: /^The model is in the cell decodable and used/ },
      { readable: ANSWERING, lost: HARMLESS, cell: /decodable but not used/ },
      { readable: ['pre-answer'], lost: COSTLY, cell: /used but not decodable/ },
      {
        readable: ['pre-answer'],
        lost: HARMLESS,
        cell: /neither decodable nor used: .* than from the question/,
      },
    ] as const;
    for (const { readable, lost, cell } of cells) {
      const { findings } = await partOf({ readable, lost, numItems: 400 });
      expect(findings[0]).toMatch(cell);
    }
  });

  it('do not call decodable what the question alone gives away', async () => {
    const { findings } = await partOf({ readable: PROBE_SITES, lost: HARMLESS });
    expect(findings[0]).toMatch(/neither decodable nor used: .* than from the question/);
    expect(findings[1]).toMatch(/question's words only (99|100)/);
  });

  it('do not call used what only noise disturbs, and say so', async () => {
    const lost = { ...HARMLESS, 'corrupted-1.0': 0.7 };
    const { findings } = await partOf({ readable: ANSWERING, lost });
    expect(findings[0]).toMatch(/decodable but not used/);
    expect(findings.at(-1)).toMatch(/Only noise of 1 RMS costs accuracy/);
  });

  it('stay open with too few items, and without arms', async () => {
    const few = await partOf({ readable: ANSWERING, lost: HARMLESS, numItems: 40 });
    expect(few.findings[0]).toMatch(/stays open: decodable, yes; used, too few items/);
    const none = await partOf({ readable: [], lost: {} });
    expect(none.findings[0]).toMatch(/used, too few items/);
    const tiny = await partOf({ readable: ANSWERING, lost: COSTLY, numItems: 8 });
    expect(tiny.notes.join(' ')).toMatch(/No probe could be fitted/);
    expect(tiny.tables.map(({ id }) => id)).toEqual(['probe-use']);
  });

  it('take noise for the swap where that was not run', async () => {
    const { other: _, ...lost } = COSTLY;
    const part = await partOf({ readable: ANSWERING, lost });
    expect(part.findings[0]).toMatch(/decodable and used/);
    expect(part.notes.join(' ')).toMatch(/swap .* was not run/);
  });
});

describe('the numbers of the part', () => {
  let part: AuditPart;
  beforeAll(async () => {
    part = await partOf({ readable: ANSWERING, lost: COSTLY });
  });

  it('count rows with a span only, in every table', () => {
    for (const { rows } of part.tables) for (const row of rows) expect(row['n']).toBe(180);
    expect(part.notes[0]).toMatch(/^20 rows without a span and 0 without an answer/);
  });

  it('hold the accuracies that the states were made for, and the gap between sites', () => {
    const table = (id: string) => part.tables.find((one) => one.id === id)?.rows ?? [];
    const accuracies = table('probe-sites').map((row) => (row['accuracy'] as Measured).value);
    expect(accuracies[0]).toBeGreaterThan(0.95);
    expect(accuracies[2]).toBeLessThan(0.5);
    const gaps = table('probe-gaps').map((row) => (row['difference'] as Measured).value);
    expect(gaps[0]).toBeCloseTo((accuracies[1] ?? 0) - (accuracies[0] ?? 0), 12);
    expect(gaps[1]).toBeCloseTo((accuracies[0] ?? 0) - (accuracies[2] ?? 0), 12);
    const records = journalsOf({ readable: ANSWERING, lost: COSTLY });
    const lostItems = records.arm('clean').filter((clean, i) => {
      return clean.correct && !records.arm('other')[i]?.correct;
    });
    const swap = table('probe-use').find((row) => row['arm'] === "another example's latents");
    expect((swap?.['cost'] as Measured).value).toBeCloseTo(lostItems.length / 180, 12);
    expect((swap?.['changed'] as Measured).value).toBeCloseTo(lostItems.length / 180, 12);
  });

  it('are the same from the same journals, and their figures compile', async () => {
    expect(await partOf({ readable: ANSWERING, lost: COSTLY })).toEqual(part);
    for (const { spec } of part.figures) expect(compile(spec).spec.marks).not.toHaveLength(0);
  });
});

describe('the arms of the part', () => {
  let context: Awaited<ReturnType<typeof miniAudit>>;
  beforeAll(async () => {
    context = await miniAudit(await miniGapModel(), [{}, { spans: [] }, {}]);
  });
  afterAll(() => closeAudit(context));

  it('add one draw of noise at three strengths, measured against the latents', () => {
    const arms = probeArms(context);
    const names: readonly string[] = ['corrupted-0.1', 'corrupted-0.3', 'corrupted-1.0'];
    expect(arms.slice(0, 3).map(({ name }) => name)).toEqual(names);
    const [row, without] = context.rows;
    if (!row || !without) throw new Error('no rows');
    const own = latentsOf(row) ?? new Float32Array(0);
    const [weak, , strong] = arms.map((arm) =>
      arm.given?.(row, 0)?.map((x, i) => x - (own[i] ?? 0)),
    );
    const ratio = (strong?.[0] ?? NaN) / (weak?.[0] ?? NaN);
    strong?.forEach((x, i) => {
      expect(x / (weak?.[i] ?? NaN)).toBeCloseTo(ratio, 1);
    });
    expect(ratio).toBeCloseTo(10, 1);
    expect(arms[0]?.given?.(without, 1)).toBeUndefined();
  });

  it('end the span after a quarter and half of it, where that leaves any', () => {
    const arms = probeArms(context);
    const cut = arms.slice(3).map(({ name, numLatents }) => [name, numLatents]);
    expect(cut).toEqual([
      ['truncated-quarter', Math.floor(MINI_LATENTS / 4)],
      ['truncated', Math.floor(MINI_LATENTS / 2)],
    ]);
    const short = { ...context, generation: { ...context.generation, numLatents: 3 } };
    const left = probeArms(short);
    expect(left).toHaveLength(4);
  });

  it('are left out, with the part, when the model wrote no latents', () => {
    const part = probePart(() => {
      throw new Error('not asked');
    });
    expect(part.obstacle(context)).toBeUndefined();
    const rows = context.rows.slice(1, 2);
    expect(part.obstacle({ ...context, rows })).toMatch(/no latents/);
  });
});

describe('corruptedLatents', () => {
  it('adds noise whose deviation is sigma times the root mean square of the latents', () => {
    const own = Float32Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? 3 : -3));
    const noise = corruptedLatents(own, 0.1, new Rng(1)).map((x, i) => x - (own[i] ?? 0));
    const rms = Math.sqrt(noise.reduce((sum, x) => sum + x * x, 0) / noise.length);
    expect(rms).toBeCloseTo(0.3, 2);
    expect(corruptedLatents(own, 0, new Rng(1))).toEqual(own);
  });
});
