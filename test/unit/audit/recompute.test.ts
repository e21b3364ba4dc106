// Owns the check of the tool that recomputes an audit: it agrees, and it notices every single number that is changed.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAudit, readJournals } from '../../../tools/recompute-audit/folder.ts';
import { recompute } from '../../../tools/recompute-audit/recompute.ts';
import type { AuditFile, Journals } from '../../../tools/recompute-audit/recomputation.ts';
import { runAudit } from '../../../src/audit/audit.ts';
import type { ArmRecord } from '../../../src/audit/part.ts';
import { PROBE_PART } from '../../../src/audit/parts/probe.ts';
import { PROBE_SITES } from '../../../src/audit/probe-states.ts';
import type { ProbeStateRecord } from '../../../src/audit/probe-states.ts';
import { canaries, cardFigures, verdictOf } from '../../../src/audit/verdict.ts';
import { Rng } from '../../../src/rng.ts';
import { journalsOf } from '../../helpers/audit-journals.ts';
import { SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

const SEED = 3;
/** Parts of which every number is recomputed; of the others it is some. */
const WHOLE = ['replacement', 'exposure', 'probe', 'counterfactual', 'parser', 'oracle'];

/** JSON that may be written to. */
type Node = Record<string, unknown>;

/** A number somewhere in an audit. */
interface Place {
  readonly where: string;
  readonly holder: Node;
  readonly key: string;
}

function numbersIn(value: unknown, where: string): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Node;
  return Object.keys(holder).flatMap((key): Place[] =>
    typeof holder[key] === 'number'
      ? [{ where: `${where} ${key}`, holder, key }]
      : numbersIn(holder[key], `${where} ${key}`),
  );
}

/** Ends of intervals are right within the luck of resampling, which is wide for 20 items; all else is exact. */
function changed(value: number, key: string): number {
  if (key === 'low' || key === 'high') return value + 0.5 * Math.max(1, Math.abs(value));
  if (key === 'p') return value * 1.01;
  return Number.isInteger(value) ? value + 1 : value + 0.001 * Math.max(1, Math.abs(value));
}

/** Numbers that can be changed without any complaint. */
function unnoticed(
  audit: AuditFile,
  journals: Journals,
  step: string,
  places: readonly Place[],
): string[] {
  return places.flatMap(({ where, holder, key }) => {
    const before = holder[key] as number;
    holder[key] = changed(before, key);
    const { failures } = recompute(audit, journals, [step]);
    holder[key] = before;
    return failures.length > 0 ? [] : [where];
  });
}

function tablePlaces(audit: AuditFile, part: string): Place[] {
  const tables = audit.parts.find(({ name }) => name === part)?.tables ?? [];
  return tables.flatMap(({ id, rows }) => numbersIn(rows, id));
}

/** An audit of made-up answers and states of 30 items: two tasks, three answers, some states tell them. */
async function madeUp(): Promise<{ audit: AuditFile; journals: Journals }> {
  const rng = new Rng('states');
  const noise = { latent: 0.5, 'pre-answer': 0.2, 'pre-latent': 1.5, question: 9 };
  const records = Array.from({ length: 30 }, (_, i): ProbeStateRecord => {
    const [task, label] = [i % 2, Math.floor(i / 2) % 3];
    const stateOf = (site: (typeof PROBE_SITES)[number]): number[] =>
      [0, 1, 2, 3].map((f) => Number(f === label) + noise[site] * rng.normal());
    const sites = Object.fromEntries(PROBE_SITES.map((site) => [site, stateOf(site)]));
    return { id: `${i}`, task: `task ${task}`, expected: `${label}`, triggered: true, sites };
  });
  const arm = (shift: number, shareRight: number): ArmRecord[] =>
    records.map(({ id, task, expected }) => {
      const correct = rng.uniform() < shareRight;
      const answer = correct ? expected : `${Number(expected) + 1}`;
      return {
        ...{ id, task, expected, answer, correct, cluster: id, triggered: true, finished: true },
        ...{ response: answer, logitsHash: `${shift}`, logitsDistance: shift },
        ...{ latentNorm: 1, targetError: null },
      };
    });
  const clean = arm(0, 0.9);
  const arms: Record<string, ArmRecord[]> = { clean, identity: clean };
  const names = ['zero-vector', 'noise-unit', 'other', 'markers-only', 'zero-latent', 'oracle'];
  for (const name of [...names, 'corrupted-0.1', 'corrupted-1.0', 'truncated'])
    arms[name] = arm(1, name === 'corrupted-0.1' ? 0.75 : 0.2);
  const read = journalsOf(PROBE_PART, records, arms);
  const facts = { seed: SEED, numLatents: 4, variant: 'LH' };
  const checks = canaries(read);
  const audit = {
    ...{ model: facts, data: { n: records.length }, canaries: checks },
    ...{ verdict: verdictOf(read, checks, facts), card: cardFigures(read, facts) },
    parts: [await PROBE_PART.summarise(read, facts)],
  };
  const journals = new Map<string, unknown[]>([['part-probe', records]]);
  for (const [name, items] of Object.entries(arms)) journals.set(`arm-${name}`, items);
  return { audit: JSON.parse(JSON.stringify(audit)) as AuditFile, journals };
}

describe('recomputing an audit of a small model', () => {
  let way: SmallWay;
  let audit: AuditFile;
  let journals: Journals;

  beforeAll(async () => {
    way = await makeSmallWay();
    const out = join(way.folder, 'audit');
    const from = { model: way.model, data: way.data, split: 'test', out } as const;
    const run = runAudit({ ...SESSION, ...from, seed: SEED, batchSize: 12, maxTextTokens: 24 });
    while ((await run.next()).done !== true);
    audit = readAudit(out);
    journals = readJournals(out);
  }, SETUP_LIMIT_MS);
  afterAll(() => way[Symbol.asyncDispose]());

  it('agrees with it in all ten parts', () => {
    const { passed, failures } = recompute(audit, journals);
    expect(failures).toEqual([]);
    expect(passed).toBeGreaterThan(500);
    expect(audit.parts).toHaveLength(10);
  });

  it.each(WHOLE)('notices every single number of %s that is changed', (part) => {
    const places = tablePlaces(audit, part);
    expect(places.length).toBeGreaterThan(10);
    expect(unnoticed(audit, journals, part, places)).toEqual([]);
  });

  it('notices a row that is missing, and one that is not there', () => {
    for (const { name, tables } of audit.parts.filter((part) => WHOLE.includes(part.name))) {
      for (const { id, rows } of tables) {
        const told = (others: AuditFile['parts'][number]['tables'][number]['rows']): string => {
          const part = { name, findings: [], tables: [{ id, rows: others }] };
          return recompute({ ...audit, parts: [part] }, journals, [name]).failures.join('\n');
        };
        expect(told(rows)).not.toContain(`${id}, row`);
        expect(told(rows.slice(0, -1))).toContain(`${id}, rows: `);
        expect(told([...rows, ...rows.slice(-1)])).toContain(`${id}, rows: `);
      }
    }
  });

  it('notices another verdict, another card, other reasons', () => {
    expect(unnoticed(audit, journals, 'card', numbersIn(audit.card, 'card'))).toEqual([]);
    for (const kind of ['refused', 'used', 'harmful', 'not-used', 'open']) {
      if (kind === audit.verdict.kind) continue;
      const other = { ...audit, verdict: { ...audit.verdict, kind } };
      expect(recompute(other, journals).failures).toHaveLength(1);
    }
  });
});

describe('recomputing an audit of made-up answers', () => {
  it('agrees with it, and notices every single number of probe and card that is changed', async () => {
    const { audit, journals } = await madeUp();
    expect(recompute(audit, journals).failures).toEqual([]);
    const places = tablePlaces(audit, 'probe');
    expect(places.length).toBeGreaterThan(80);
    expect(unnoticed(audit, journals, 'probe', places)).toEqual([]);
    const figures = numbersIn(audit.card, 'card');
    expect(unnoticed(audit, journals, 'card', figures)).toEqual([]);
  });

  it('notices every number in the reasons of a verdict that is changed', async () => {
    const { audit, journals } = await madeUp();
    expect(audit.verdict.kind).toBe('used');
    const { because, wouldChange } = audit.verdict;
    const seen = (verdict: Partial<AuditFile['verdict']>): number =>
      recompute({ ...audit, verdict: { ...audit.verdict, ...verdict } }, journals, ['verdict'])
        .failures.length;
    because.forEach((reason, i) => {
      for (const { index } of reason.matchAll(/\d/gu)) {
        const digit = (Number(reason[index]) + 1) % 10;
        const wrong = `${reason.slice(0, index)}${digit}${reason.slice(index + 1)}`;
        expect(seen({ because: because.with(i, wrong) })).toBe(1);
      }
    });
    const further = wouldChange.replace(/\d+\.\d/u, '99.9');
    expect(further).not.toBe(wouldChange);
    expect(seen({ wouldChange: further })).toBe(1);
    expect(seen({ sentence: 'The latents do harm: so it is.' })).toBe(1);
  });

  it('notices an accuracy that the states of its site do not give', async () => {
    const { audit, journals } = await madeUp();
    const records = journals.get('part-probe') as readonly ProbeStateRecord[];
    const swapped = records.map((record) => {
      const { latent = [], question = [] } = record.sites;
      return { ...record, sites: { ...record.sites, latent: question, question: latent } };
    });
    const { failures } = recompute(audit, new Map(journals).set('part-probe', swapped));
    expect(failures.filter((line) => line.includes('in a refit'))).toHaveLength(2);
  });
});
