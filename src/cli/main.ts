#!/usr/bin/env node
// Owns the `gapvl` process: standard streams, Ctrl-C and the exit code; everything else is `runCli`.
import { systemClock } from './clock.ts';
import { describeFailure } from './failure.ts';
import { runCli } from './run.ts';

// 128 + SIGINT, what a shell reports for a process that Ctrl-C ended.
const KILLED = 130;

for (const stream of [process.stdout, process.stderr]) {
  // The reader of a pipe may leave early (`gapvl ... | head`); that is no failure.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}
process.on('uncaughtException', (error) => {
  const failure = describeFailure(error);
  process.stderr.write(`${failure.text}\n`);
  process.exit(failure.exitCode);
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  interactive: process.stderr.isTTY && process.env['TERM'] !== 'dumb',
  columns: process.stderr.columns,
  clock: systemClock,
  onInterrupt: (listener) => {
    process.on('SIGINT', listener);
    process.on('SIGTERM', listener);
    return () => {
      process.off('SIGINT', listener);
      process.off('SIGTERM', listener);
    };
  },
  kill: () => process.exit(KILLED),
  showStack: process.env['GAPVL_STACK'] === '1',
});
