// Owns the trial that a benchmark run survives kills: `npx tsx tools/kill-evaluate.ts [kills] [seed]`; the last
// line is JSON. Two to three seconds a kill.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killRuns } from '../test/helpers/kill-run.ts';

const [numKills = 50, seed = 1] = process.argv.slice(2).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'gapvl-kill-'));
try {
  const report = await killRuns({
    ...{ numKills, seed, folder, numRows: 1500 },
    onKill: (text) => process.stderr.write(`${text}\n`),
  });
  process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`);
  if (report.lost.length > 0) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
