// Owns the test that kills lose no finished item of a run; tools/kill-evaluate.ts does it fifty times.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killRuns } from '../../../helpers/kill-run.ts';

it('loses no finished item to kills, and ends with the records of a run that was not killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-kill-'));
  try {
    const report = await killRuns({ numKills: 3, seed: 2, folder, numRows: 300 });
    expect(report).toMatchObject({ numKills: 3, lost: [] });
    expect(report.numInTheMiddle).toBeGreaterThan(0);
    expect(report.numRuns).toBeGreaterThan(0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
