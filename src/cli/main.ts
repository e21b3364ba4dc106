#!/usr/bin/env node
// Owns the `gapvl` process: standard streams, Ctrl-C and the exit code; everything else is `runCli`.
import { systemClock } from './clock.ts';
import { describeFailure } from './failure.ts';
import { runCli } from './run.ts';

// 128 + SIGINT, what a shell reports for a process that Ctrl-C ended.
const KILLED = 130;

let readerLeft = false;
for (const stream of [process.stdout, process.stderr]) {
  // The reader of a pipe may leave early (`gapvl ... | head`). A command that runs is asked to stop
  // as by Ctrl-C, so that what it did is saved; without one there is nothing to lose.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (process.listenerCount('SIGINT') === 0) process.exit(0);
    if (!readerLeft) process.emit('SIGINT', 'SIGINT');
    readerLeft = true;
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
    // Ctrl-C, a request to end, a terminal that was closed.
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
  kill: () => process.exit(KILLED),
  showStack: process.env['GAPVL_STACK'] === '1',
});
