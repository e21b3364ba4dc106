// Owns running a second gapvl command beside the running one, on another core; the demo calls it.
import { spawn } from 'node:child_process';
import { RuntimeError } from '../errors.ts';
import type { Clock } from './clock.ts';

/** A command that runs beside this one. */
export interface Beside {
  /** Resolves with the seconds it took, rejects with what it complained about. */
  readonly finished: Promise<number>;
  /** Asks it to save and end, as Ctrl-C does, and waits for that; it may have ended before. */
  readonly stop: () => Promise<void>;
}

/** The complaint of a command that ran with `--json`, or whatever it printed. */
function complaint(out: string): string {
  try {
    const { what, got, fix } = JSON.parse(out) as Readonly<Record<string, unknown>>;
    return [what, got, fix].filter((part) => typeof part === 'string').join('; ');
  } catch {
    return out.trim();
  }
}

/**
 * Starts a program, this very one unless another is named, with other arguments and `--json`.
 * @throws RuntimeError when there is no program to start.
 */
export function runBeside(
  argv: readonly string[],
  clock: Clock,
  program: string | undefined = process.argv[1],
): Beside {
  if (program === undefined) throw new RuntimeError({ what: 'gapvl does not know its own file' });
  const began = clock.now();
  const child = spawn(process.execPath, [...process.execArgv, program, ...argv, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // In a group of its own: Ctrl-C reaches it once, through `stop`; twice would not let it save.
    detached: true,
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  const finished = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve((clock.now() - began) / 1000);
      else {
        reject(
          new RuntimeError({
            what: `gapvl ${argv[0] ?? ''}, running beside, did not end well`,
            got: complaint(out) || `exit code ${String(code)}`,
            fix: 'run the same command again: it goes on where it stopped',
          }),
        );
      }
    });
  });
  // Whoever waits for it sees the failure; until then it must not end the process.
  finished.catch(() => undefined);
  const stop = async (): Promise<void> => {
    child.kill('SIGINT');
    await finished.catch(() => undefined);
  };
  return { finished, stop };
}
