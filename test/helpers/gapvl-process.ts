// Runs `gapvl` as a process of its own, for tests of what processes do to each other.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CommandOutcome } from './command-line.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** A process that runs. */
export interface GapvlProcess {
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<CommandOutcome>;
}

/** Starts a command with variables added to the environment. */
export function startGapvl(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): GapvlProcess {
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...argv], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  const ended = once(child, 'close').then(() => ({ code: child.exitCode ?? -1, out, err }));
  return { kill: (signal) => void child.kill(signal), ended };
}
