// Tests running a command beside another with real processes: its end, its complaint, its being stopped.
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBeside } from '../../../src/cli/beside.ts';
import type { Beside } from '../../../src/cli/beside.ts';
import { systemClock } from '../../../src/cli/clock.ts';
import { RuntimeError } from '../../../src/errors.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-beside-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Starts a script of this text. */
async function start(name: string, text: string): Promise<Beside> {
  const program = join(folder, `${name}.mjs`);
  await writeFile(program, text);
  return runBeside(['train', '--steps', '3'], systemClock, program);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

describe('a command beside another', () => {
  it('gets its arguments and --json, and says how long it took', async () => {
    const text = `process.exit(process.argv.slice(2).join(' ') === 'train --steps 3 --json' ? 0 : 1)`;
    const seconds = await (await start('good', text)).finished;
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(60);
  });

  it('hands its complaint on', async () => {
    const error = { name: 'DataError', what: 'the dataset is empty', fix: 'generate one' };
    const text = `console.log(${JSON.stringify(JSON.stringify(error))}); process.exitCode = 3;`;
    const { finished } = await start('bad', text);
    const failure = await finished.catch((reason: unknown) => reason);
    expect(failure).toBeInstanceOf(RuntimeError);
    expect((failure as RuntimeError).message).toContain('the dataset is empty');
    expect((failure as RuntimeError).message).toContain('generate one');
  });

  it('is asked once to save and is waited for', async () => {
    const [ready, saved] = [join(folder, 'ready'), join(folder, 'saved')];
    const text = `
      import { appendFileSync } from 'node:fs';
      process.on('SIGINT', () => {
        appendFileSync(${JSON.stringify(saved)}, 'once');
        setTimeout(() => process.exit(1), 200);
      });
      setInterval(() => undefined, 1000);
      appendFileSync(${JSON.stringify(ready)}, '');`;
    const beside = await start('long', text);
    while (!(await exists(ready))) await new Promise((resolve) => setTimeout(resolve, 20));
    await beside.stop();
    expect(await exists(saved)).toBe(true);
    // It has ended, so stopping it again changes nothing.
    await beside.stop();
    await expect(beside.finished).rejects.toThrow(RuntimeError);
  });
});
