// Tests running a command beside another with real processes: its end, its complaint, its being stopped.
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBeside } from '../../../src/cli/beside.ts';
import type { Beside } from '../../../src/cli/beside.ts';
import { systemClock } from '../../../src/cli/clock.ts';
import { describeFailure } from '../../../src/cli/failure.ts';
import { DataError, RuntimeError } from '../../../src/errors.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-beside-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Starts a script of this text. */
async function start(
  name: string,
  text: string,
  signal = new AbortController().signal,
): Promise<Beside> {
  const program = join(folder, `${name}.mjs`);
  await writeFile(program, text);
  return runBeside(['train', '--steps', '3'], { clock: systemClock, signal, program });
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

  it('hands its complaint on, with what to do about it', async () => {
    const { json } = describeFailure(
      new DataError({ what: 'the dataset is empty', got: 'no lines', fix: 'generate one' }),
    );
    const text = `console.log(${JSON.stringify(JSON.stringify(json))}); process.exitCode = 3;`;
    const { finished } = await start('bad', text);
    const failure = await finished.catch((reason: unknown) => reason);
    expect(failure).toBeInstanceOf(RuntimeError);
    expect((failure as RuntimeError).parts).toMatchObject({
      got: 'the dataset is empty; got no lines',
      fix: 'generate one',
    });
  });

  it('shows what it wrote when it died without a word of its own', async () => {
    const { finished } = await start('dead', `throw new Error('torn')`);
    await expect(finished).rejects.toThrow(/torn/u);
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
    while (!(await exists(ready))) await setTimeout(20);
    await beside.stop();
    expect(await readFile(saved, 'utf8')).toBe('once');
    // It has ended, so stopping it again changes nothing.
    await beside.stop();
    expect(await readFile(saved, 'utf8')).toBe('once');
    await expect(beside.finished).rejects.toThrow(RuntimeError);
  });

  it('saves when the command beside is interrupted, which is then the reason', async () => {
    const ready = join(folder, 'ready to abort');
    const text = `
      import { writeFileSync } from 'node:fs';
      process.on('SIGINT', () => process.exit(1));
      setInterval(() => undefined, 1000);
      writeFileSync(${JSON.stringify(ready)}, '');`;
    const interrupt = new AbortController();
    const { finished } = await start('aborted', text, interrupt.signal);
    while (!(await exists(ready))) await setTimeout(20);
    interrupt.abort(new Error('Ctrl-C'));
    await expect(finished).rejects.toThrow('Ctrl-C');
  });
});
