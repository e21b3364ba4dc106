// Turns the study's jobs into what ships: assets/study.json and the generated parts of README.md.
//
// Command: npx tsx recipes/study-summary.ts [--check]
// With --check nothing is written; it fails when assets/study.json is not what the results say, or
// README.md not what assets/study.json says.
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sampleExamples } from '../src/data/splits.ts';
import { readStudy } from '../src/report/study.ts';
import type { Study } from '../src/report/study.ts';
import { STUDY } from './study/jobs.ts';
import { readmeTables } from './study/readme.ts';
import type { JobResult } from './study/run.ts';
import { TEST_DRAW_SEED } from './study/setting.ts';
import { summarize } from './study/summary.ts';

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
  },
});

async function collect(folder: string): Promise<Study> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
  const results = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as JobResult),
  );
  const draw = sampleExamples({ split: 'test', count: STUDY.numTest, seed: TEST_DRAW_SEED });
  return summarize(
    results,
    [...draw].map(({ task, difficulty }) => ({ task, difficulty })),
  );
}

/** README.md with its generated part replaced. */
function withTables(readme: string, tables: string): string {
  const [begin, end] = ['<!-- begin generated: study -->', '<!-- end generated: study -->'];
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md needs ${begin} and ${end}`);
  return `${readme.slice(0, from + begin.length)}\n\n${tables}\n\n${readme.slice(to)}`;
}

const resultsFolder = new URL('study/results/', import.meta.url).pathname;
const asset = new URL('../assets/study.json', import.meta.url);
const readmeFile = new URL('../README.md', import.meta.url);
if (!values.check)
  await writeFile(asset, `${JSON.stringify(await collect(resultsFolder), null, 1)}\n`);
const study = await readStudy();
if (values.check && JSON.stringify(study) !== JSON.stringify(await collect(resultsFolder)))
  throw new Error('assets/study.json is stale: run `npx tsx recipes/study-summary.ts`');
const readme = await readFile(readmeFile, 'utf8');
const wanted = withTables(readme, readmeTables(study));
if (values.check) {
  if (wanted !== readme)
    throw new Error('README.md is stale: run `npx tsx recipes/study-summary.ts`');
  process.stdout.write('README.md and assets/study.json show what the results say\n');
} else {
  await writeFile(readmeFile, wanted);
  process.stdout.write(
    `${study.numJobs} of ${study.numPlanned} jobs; wrote assets/study.json and README.md\n`,
  );
}
