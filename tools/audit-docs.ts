// Makes docs/AUDIT.md from the kept audit of the shipped model; `npx tsx tools/audit-docs.ts [--check]`, or
// `--keep runs/audit` to keep the result of a new audit first.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as prettier from 'prettier';
import type { Audit, AuditTable } from '../src/audit/types.ts';
import { formatCell, formatFigure, headingOf, totalSeconds } from '../src/report/audit-format.ts';

const AT = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const KEPT = AT('recipes/audit/results/gap.json');
const PAGE = AT('docs/AUDIT.md');
/** Longer tables are cut; all rows stand in the page that `gapvl audit` writes. */
const MOST_ROWS = 24;

const { values } = parseArgs({
  options: { check: { type: 'boolean', default: false }, keep: { type: 'string' } },
});

/** Without drawings and pictures, which the page of the audit has. */
function keep(folder: string): void {
  const audit = JSON.parse(readFileSync(join(folder, 'audit.json'), 'utf8')) as Audit;
  const parts = audit.parts.map(({ pictures: _pictures, ...part }) => ({ ...part, figures: [] }));
  const model = { ...audit.model, folder: 'assets/gap' };
  const data = { ...audit.data, folder: 'runs/data' };
  writeFileSync(KEPT, `${JSON.stringify({ ...audit, model, data, parts })}\n`);
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');

function table({ title, columns, rows, note }: AuditTable): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const shown = rows.slice(0, MOST_ROWS);
  return [
    `**${title}**`,
    '',
    line(columns.map(headingOf)),
    line(columns.map(({ format }) => (format === 'text' ? '---' : '---:'))),
    ...shown.map((row) => line(columns.map(({ key, format }) => formatCell(row[key], format)))),
    '',
    ...(shown.length < rows.length ? [`${rows.length - shown.length} more rows.`, ''] : []),
    ...(note === undefined ? [] : [note, '']),
  ].join('\n');
}

function page(audit: Audit): string {
  const { verdict, canaries, card, parts, skipped, model, data } = audit;
  const seconds = totalSeconds(audit);
  return [
    '# The latent audit',
    '',
    '`gapvl audit` answers whether a model uses its latents, and for what, by inference alone. This',
    'page is made by `tools/audit-docs.ts` from the audit of the shipped model, which anybody can',
    'repeat:',
    '',
    '    gapvl data generate --out runs/data --train 3000 --validation 0 --test 400',
    '    gapvl audit --model assets/gap --data runs/data --out runs/audit',
    '',
    'That writes `audit.html` (to be read), `card.txt`, every table as CSV and LaTeX, every figure as',
    'SVG, `audit.json`, and under `items/` a journal of every item of every arm, from which',
    '`gapvl audit --recompute --out runs/audit` makes the same result without a model and',
    '`npx tsx tools/recompute-audit.ts runs/audit` recomputes the numbers with code of its own.',
    '`--only replacement,norms` measures some parts alone, `--limit` asks fewer questions, and',
    '`gapvl compare runs/audit-a runs/audit-b` holds two audits against each other, item by item.',
    '',
    'Prompt, picture, budget, markers and seed stay fixed; only what is read at latents changes, in',
    'the one place where latents enter the decoder. Three canaries come first: latents replaced by',
    'themselves must change nothing at all, vectors that destroy the content must change the logits',
    'behind every span, and spans must be written at all. One that fails refuses any verdict. How',
    'close latents come to their targets is told, never as quality.',
    '',
    `## The shipped model (${model.variant}, K = ${model.numLatents}, ${data.n} questions, seed ${audit.seed})`,
    '',
    `**${verdict.sentence}**`,
    '',
    ...verdict.because.map((reason) => `- ${reason}`),
    '',
    `What would change it: ${verdict.wouldChange}`,
    '',
    '| figure | value |',
    '| --- | ---: |',
    ...card.map((figure) => `| ${figure.label} | ${formatFigure(figure)} |`),
    '',
    ...canaries.map(
      ({ name, passed, seen }) => `- canary ${name}: ${passed ? 'passed' : 'FAILED'}, ${seen}`,
    ),
    '',
    ...(seconds > 0 ? [`It took ${seconds.toFixed(0)} seconds on two cores.`, ''] : []),
    ...parts.flatMap((part) => [
      `## ${part.title}`,
      '',
      part.definition,
      '',
      `Source: ${part.source}.`,
      '',
      ...part.findings.map((finding) => `- ${finding}`),
      '',
      ...part.tables.map(table),
      ...part.notes.map((note) => `- ${note}`),
      '',
    ]),
    ...skipped.map(({ name, reason }) => `- skipped: ${name}, ${reason}`),
  ].join('\n');
}

if (values.keep !== undefined) keep(values.keep);
const text = page(JSON.parse(readFileSync(KEPT, 'utf8')) as Audit);
const options = await prettier.resolveConfig(PAGE);
const formatted = await prettier.format(text, { ...options, parser: 'markdown' });
if (values.check) {
  const isSame = readFileSync(PAGE, 'utf8') === formatted;
  console.log(
    isSame ? 'docs/AUDIT.md is up to date' : 'docs/AUDIT.md is stale: run this without --check',
  );
  process.exitCode = isSame ? 0 : 1;
} else writeFileSync(PAGE, formatted);
