// Owns the table of speed in README.md, and with --details the parts of docs/SPEED.md; `npm run bench -- table`.
//
// With --check nothing is written; it fails when README.md does not show what bench/results say.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Kept } from './table/lines.ts';
import { TABLE_BENCHES, pcaTables, sideTable, speedTable, visionShares } from './table/render.ts';

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    details: { type: 'string' },
  },
});

function readKept(): Kept {
  const all = TABLE_BENCHES.flatMap((bench) => {
    const path = new URL(`results/${bench}.json`, import.meta.url);
    return existsSync(path) ? [[bench, JSON.parse(readFileSync(path, 'utf8'))] as const] : [];
  });
  return Object.fromEntries(all);
}

const kept = readKept();
const DETAILS: Readonly<Record<string, () => string>> = {
  table: () => speedTable(kept),
  vision: () => [sideTable(kept.vision), visionShares(kept.vision)].join('\n\n'),
  capacity: () => sideTable(kept.capacity, 'ms a question'),
  pca: () => [pcaTables(kept.pca), sideTable(kept.pca)].join('\n\n'),
  preprocess: () => sideTable(kept.preprocess),
  tokenize: () => sideTable(kept.tokenize),
  start: () => sideTable(kept.start),
};

/** README.md with its generated part replaced. */
function withTable(readme: string): string {
  const [begin, end] = ['<!-- begin generated: speed -->', '<!-- end generated: speed -->'];
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md needs ${begin} and ${end}`);
  return `${readme.slice(0, from + begin.length)}\n\n${speedTable(kept)}\n\n${readme.slice(to)}`;
}

if (flags.details !== undefined) {
  const details = DETAILS[flags.details];
  if (!details) throw new Error(`--details is one of ${Object.keys(DETAILS).join(', ')}`);
  console.log(details());
} else {
  const file = new URL('../README.md', import.meta.url);
  const readme = readFileSync(file, 'utf8');
  const wanted = withTable(readme);
  if (!flags.check) writeFileSync(file, wanted);
  else if (wanted !== readme)
    throw new Error('README.md is stale: run `bash tools/speed-tables.sh`');
}
