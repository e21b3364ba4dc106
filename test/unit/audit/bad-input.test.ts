// Owns the tests of audits of what is poor, odd or hostile: datasets, models, parts and limits, on real files.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAudit } from '../../../src/audit/audit.ts';
import type { AuditOptions } from '../../../src/audit/audit.ts';
import type { ArmRecord } from '../../../src/audit/part.ts';
import { PART_NAMES } from '../../../src/audit/types.ts';
import type { Audit, AuditPart, PartName } from '../../../src/audit/types.ts';
import type { Example } from '../../../src/data/example.ts';
import { renderCard } from '../../../src/report/audit-card.ts';
import { tableCsv } from '../../../src/report/audit-csv.ts';
import { auditFiles } from '../../../src/report/audit-files.ts';
import { SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

/** Sentences and cells that no reader can make anything of. */
const NONSENSE = /\bNaN\b|undefined|\[object|Infinity|no number|: ; |: ;|\(\)/;
/** Whole audits of twenty questions, on a machine that does other work too. */
const LIMIT_MS = 120_000;

function wordsOf(part: AuditPart): string {
  return [...part.findings, ...part.notes, ...part.figures.map(({ alt }) => alt)].join('\n');
}

function partOf(audit: Audit, name: PartName): AuditPart {
  const found = audit.parts.find((part) => part.name === name);
  if (!found) throw new RangeError(`the audit has no part ${name}`);
  return found;
}

describe('an audit of poor or odd input', () => {
  let way: SmallWay;
  beforeAll(async () => {
    way = await makeSmallWay();
  }, SETUP_LIMIT_MS);
  afterAll(() => way[Symbol.asyncDispose]());

  /** Runs it and holds its words, its card and its tables to sense. */
  async function audit(name: string, rest: Partial<AuditOptions> = {}): Promise<Audit> {
    const run = runAudit({
      ...SESSION,
      ...{ model: way.model, data: way.data, split: 'test', seed: 3, batchSize: 8 },
      out: join(way.folder, name),
      maxTextTokens: 24,
      ...rest,
    });
    let next = await run.next();
    while (next.done !== true) next = await run.next();
    expect(renderCard(next.value)).not.toMatch(NONSENSE);
    for (const part of next.value.parts) {
      expect(wordsOf(part), part.name).not.toMatch(NONSENSE);
      for (const table of part.tables) expect(tableCsv(table), table.id).not.toMatch(NONSENSE);
    }
    return next.value;
  }

  async function armOf(name: string, arm: string): Promise<ArmRecord[]> {
    const text = await readFile(join(way.folder, name, `items/arm-${arm}.jsonl`), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as ArmRecord);
  }

  /** The dataset with its lines changed; `undefined` leaves one out. */
  async function changed(
    name: string,
    change: (example: Example, index: number) => Partial<Example> | undefined,
  ): Promise<string> {
    const to = join(way.folder, `data-${name}`);
    await cp(way.data, to, { recursive: true });
    const path = join(to, 'examples.jsonl');
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const kept = lines.flatMap((line, i) => change(JSON.parse(line) as Example, i) ?? []);
    await writeFile(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return to;
  }

  const AUXILIARY = ['auxiliary', 'auxiliaryCaption', 'parser', 'response'];
  const withoutAuxiliary = (example: Example): Partial<Example> =>
    Object.fromEntries(Object.entries(example).filter(([key]) => !AUXILIARY.includes(key)));

  it(
    'of a checkpoint without a latent head runs what makes sense and names the rest',
    async () => {
      const found = await audit('base', { model: way.base });
      expect(found.verdict.kind).toBe('refused');
      expect(found.verdict.sentence).toContain('no response has a span');
      expect(found.parts.map(({ name }) => name)).toEqual(['norms', 'counterfactual', 'oracle']);
      expect(found.skipped).toHaveLength(PART_NAMES.length - 3);
      for (const { reason } of found.skipped) expect(reason).toMatch(/latent/);
    },
    LIMIT_MS,
  );

  it(
    'of a dataset without auxiliary pictures leaves the oracle out by name',
    async () => {
      const data = await changed('plain', withoutAuxiliary);
      const found = await audit('plain', { data });
      expect(found.skipped.map(({ name }) => name)).toEqual(['exposure', 'oracle']);
      for (const { reason } of found.skipped) expect(reason).toContain('auxiliary picture');
      expect(partOf(found, 'replacement').notes.join()).toContain('auxiliary picture');
      expect(found.card.at(-1)).toMatchObject({ label: 'clean over the oracle', value: null });
    },
    LIMIT_MS,
  );

  it(
    'where some examples have no auxiliary picture leaves out only what needs all of them',
    async () => {
      const data = await changed('mixed', (example, i) =>
        i % 3 === 0 ? withoutAuxiliary(example) : example,
      );
      const found = await audit('mixed', { data });
      expect(found.skipped.map(({ name }) => name)).toEqual(['exposure']);
    },
    LIMIT_MS,
  );

  it(
    'of a dataset with a single task, or without tasks, has no line for all tasks beside it',
    async () => {
      const single = await audit('single', {
        data: await changed('single', (example) => (example.task === 'rope' ? example : undefined)),
        only: ['replacement', 'oracle', 'counterfactual'],
      });
      const tasks = (found: Audit): unknown[] =>
        partOf(found, 'oracle').tables[0]?.rows.map(({ task }) => task) ?? [];
      expect(tasks(single)).toEqual(['rope']);
      const none = await audit('none', {
        data: await changed('none', (example) => {
          const rest: Record<string, unknown> = { ...example };
          delete rest['task'];
          return rest;
        }),
      });
      expect(tasks(none)).toEqual(['(no task)']);
      expect(none.skipped.map(({ name }) => name)).toEqual(['counterfactual']);
    },
    LIMIT_MS,
  );

  it(
    'with hostile ids and tasks writes them nowhere but into texts',
    async () => {
      const data = await changed('hostile', (example, i) => ({
        ...example,
        id: `../../<script>alert(${i})</script>"'\n\u2028=cmd|\u202e`,
        task: i % 2 === 0 ? '</title><b>constructor' : '=1+1',
      }));
      const found = await audit('hostile', { data });
      const files = await auditFiles(found);
      for (const path of files.keys()) expect(path).toMatch(/^[\w-]+(?:\/[\w-]+)?\.\w+$/);
      const page = files.get('audit.html') ?? '';
      expect(page).not.toContain('<script>alert(');
      expect(page).not.toContain('</title><b>');
      expect(files.get('tables/oracle-accuracy.csv')).toContain("'=1+1");
      expect((await armOf('hostile', 'clean'))[0]?.id).toMatch(/^\.\.\/\.\.\/<script>/);
    },
    LIMIT_MS,
  );

  it(
    'of one question gives no verdict and says how many are needed',
    async () => {
      const one = await audit('one', { limit: 1 });
      expect(one.verdict.kind).toBe('open');
      expect(one.parts).toHaveLength(PART_NAMES.length);
      // Charts of a single question can be drawn, too.
      await auditFiles(one);
      const two = await audit('two', { limit: 2 });
      expect(two.verdict).toMatchObject({
        kind: 'open',
        sentence: /too few for an interval; 6 is the least/,
        wouldChange: /About [\d,]+ questions/,
      });
    },
    LIMIT_MS,
  );

  for (const name of PART_NAMES) {
    it(
      `runs ${name} alone, of twenty questions and of one, with the verdict's arms`,
      async () => {
        const found = await audit(`only-${name}`, { only: [name] });
        expect(found.parts.map((part) => part.name)).toEqual([name]);
        expect(found.skipped).toHaveLength(PART_NAMES.length - 1);
        expect(found.verdict.because).toHaveLength(3);
        for (const { items } of partOf(found, name).tables) expect(items.length).toBeGreaterThan(0);
        await audit(`only-${name}-one`, { only: [name], limit: 1 });
      },
      LIMIT_MS,
    );
  }

  it(
    'reaches all latents forced in the exposure part, whatever other parts are asked for',
    async () => {
      const found = await audit('exposed', { only: ['exposure'] });
      const rows = partOf(found, 'exposure').tables[0]?.rows ?? [];
      expect(rows.map(({ m }) => m)).toEqual([0, 1, 2, 3, 4]);
    },
    LIMIT_MS,
  );

  it(
    'of responses that reach the limit of tokens, wherever, gives no verdict and does not fail',
    async () => {
      // At the start of the span, inside of it, at its end, behind it: none has an answer.
      for (const maxTextTokens of [1, 2, 4, 6, 8]) {
        const found = await audit(`cut-${maxTextTokens}`, {
          maxTextTokens,
          only: ['replacement', 'probe', 'mediation', 'dependence', 'exposure', 'parser'],
        });
        const clean = await armOf(`cut-${maxTextTokens}`, 'clean');
        expect(clean.every(({ answer, finished }) => answer === null && !finished)).toBe(true);
        expect(['refused', 'open']).toContain(found.verdict.kind);
        expect(found.verdict.wouldChange).toMatch(/limit of tokens|right answers/);
      }
    },
    2 * LIMIT_MS,
  );

  it(
    'gives text without a span no more tokens than text beside one',
    async () => {
      await audit('budget', { only: ['replacement'], maxTextTokens: 12 });
      const words = ({ response }: ArmRecord): number =>
        response.split(' ').filter((word) => !word.startsWith('<|')).length;
      const clean = await armOf('budget', 'clean');
      const most = Math.max(...clean.map(words));
      expect(clean.every(({ finished }) => !finished)).toBe(true);
      for (const arm of ['zero-latent', 'format-only', 'markers-only', 'truncated'])
        expect(Math.max(...(await armOf('budget', arm)).map(words)), arm).toBeLessThanOrEqual(most);
    },
    LIMIT_MS,
  );

  it(
    'of responses drawn so hot that they spell special tokens does not fail',
    async () => {
      const found = await audit('hot', { temperature: 1.5, only: ['parser', 'replacement'] });
      expect(found.canaries.find(({ name }) => name === 'identity')?.passed).toBe(true);
    },
    LIMIT_MS,
  );

  it(
    'says of a base without a right answer what retention is then',
    async () => {
      const data = await changed('unanswered', (example) => ({
        ...example,
        answer: example.split === 'test' ? 'nothing' : example.answer,
      }));
      const found = await audit('unanswered', { data, base: way.base, only: ['replacement'] });
      const part = partOf(found, 'replacement');
      expect(
        part.tables[0]?.rows.find(({ arm }) => arm === 'Base model')?.['retention'],
      ).toBeNull();
      expect(part.notes.join()).toContain('the base answers nothing right');
      expect(found.verdict).toMatchObject({ kind: 'open', sentence: /hardly any answer is right/ });
    },
    LIMIT_MS,
  );
});
