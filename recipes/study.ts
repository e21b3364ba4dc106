// The study: every variant and intervention on three bases; teacher modes, budgets, taus, ranks and
// controls on the first.
//
// Source: GAP (arXiv 2605.12374) Tables 2, 5, 6, 7, 10 at small scale; pilot in docs/LOG.md.
// Command: npx tsx recipes/study.ts [--out runs/study] [--only TEXT] [--threads 1]
// Result: one JSON file a job in recipes/study/results, with the verdict on every item; bases and
// capacity scores in the output folder. `npx tsx recipes/study-summary.ts` makes the tables.
// Time: about 5 minutes a job on one core; jobs whose file exists are skipped, so it resumes. Start
// it once a core: each job is claimed by one process, and a dead process's claim is taken over.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { alone, claimed } from './study/claim.ts';
import { writeFileAtomic } from '../src/engine/atomic-file.ts';
import { essence, studyJobs } from './study/jobs.ts';
import type { StudyJob } from './study/jobs.ts';
import { runBase, runJob } from './study/run.ts';
import type { JobResult } from './study/run.ts';
import { exists, makeSetting } from './study/setting.ts';
import type { Setting } from './study/setting.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/study' },
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1' },
  },
});
const options = { threads: Number(values.threads) };

async function store(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [JSON.stringify(value)]);
}

/** Whether a job's result is there. @throws when the file is of a job that was planned otherwise. */
async function isDone(file: string, job: StudyJob): Promise<boolean> {
  if (!(await exists(file))) return false;
  const stored = JSON.parse(await readFile(file, 'utf8')) as JobResult;
  if (essence(stored.job) === essence(job)) return true;
  throw new Error(`${file} is of another plan: remove it, or go back to\n${essence(stored.job)}`);
}

let current: { readonly key: string; readonly setting: Setting } | undefined;

async function settingOf(job: StudyJob): Promise<Setting> {
  const key = `${job.seed}/${job.recipe.numLatents}`;
  if (current?.key !== key) {
    current = {
      key,
      setting: await makeSetting(values.out, job.seed, job.recipe.numLatents, options),
    };
  }
  return current.setting;
}

const results = new URL('study/results/', import.meta.url).pathname;
const claims = join(values.out, 'claims');
await mkdir(results, { recursive: true });
const jobs = studyJobs().filter((job) => job.id.includes(values.only));
for (const [i, job] of jobs.entries()) {
  const file = join(results, `${job.id}.json`);
  if (await isDone(file, job)) continue;
  const outcome = await claimed(claims, job.id, async () => {
    const setting = await settingOf(job);
    const baseFile = join(results, `s${job.seed}-base.json`);
    await alone(claims, `s${job.seed}-base`, async () => {
      if (await exists(baseFile)) return;
      await store(baseFile, {
        job: { id: `s${job.seed}-base`, seed: job.seed, variant: 'base', kind: 'main' },
        arms: await runBase(setting, job, options),
      });
    });
    if (await isDone(file, job)) return 'done';
    process.stderr.write(`job ${i + 1}/${jobs.length}: ${job.id}\n`);
    const result = await runJob(setting, job, options);
    await store(file, result);
    const clean = result.arms['validation']?.['clean'];
    const right = (clean?.correct ?? '').replaceAll('0', '').length;
    process.stderr.write(
      `${job.id}: validation ${((100 * right) / (clean?.correct.length ?? 1)).toFixed(1)} % in ${result.trainSeconds.toFixed(0)} s\n`,
    );
    return 'done';
  });
  if (outcome === 'busy') process.stderr.write(`${job.id}: another process is at it\n`);
}
