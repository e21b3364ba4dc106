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

/** How a command is run beside this one. */
export interface BesideOptions {
  readonly clock: Clock;
  /** Asks it to save and end when it aborts. */
  readonly signal: AbortSignal;
  /** File to run, this very program unless given. */
  readonly program?: string;
}

/** What a command that ran with `--json` complained about, or whatever it printed. */
function complaint(
  name: string,
  printed: { readonly out: string; readonly err: string },
): RuntimeError {
  const what = `gapvl ${name}, running beside, did not end well`;
  const fallback = 'run the same command again: it goes on where it stopped';
  try {
    const { error } = JSON.parse(printed.out) as {
      readonly error: Readonly<Record<string, string>>;
    };
    const got = [error['what'], error['got']].filter((part) => part !== undefined).join('; got ');
    return new RuntimeError({ what, got, fix: error['fix'] ?? fallback });
  } catch {
    const got = `${printed.out}\n${printed.err}`.trim();
    return new RuntimeError({ what, got: got === '' ? 'no word of why' : got, fix: fallback });
  }
}

/**
 * Starts a command with `--json`; its progress is not shown.
 * @throws RuntimeError when there is no program to start.
 */
export function runBeside(
  argv: readonly string[],
  { clock, signal, program = process.argv[1] }: BesideOptions,
): Beside {
  if (program === undefined) throw new RuntimeError({ what: 'gapvl does not know its own file' });
  const began = clock.now();
  const child = spawn(process.execPath, [...process.execArgv, program, ...argv, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a group of its own: Ctrl-C reaches it once, through the signal; twice would not let it save.
    detached: true,
  });
  const printed = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed.err += text));
  const save = (): void => void child.kill('SIGINT');
  // However this process ends, the other must not go on alone and write what a rerun writes.
  process.once('exit', save);
  signal.addEventListener('abort', save);
  const finished = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      process.off('exit', save);
      signal.removeEventListener('abort', save);
      if (code === 0) resolve((clock.now() - began) / 1000);
      else if (signal.aborted) reject(signal.reason as Error);
      else reject(complaint(argv[0] ?? '', printed));
    });
  });
  // Whoever waits for it sees the failure; until then it must not end the process.
  finished.catch(() => undefined);
  const stop = async (): Promise<void> => {
    save();
    await finished.catch(() => undefined);
  };
  return { finished, stop };
}
