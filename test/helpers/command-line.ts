// Runs `gapvl` in this process and keeps what it writes; the tests of commands call it.
import { runCli } from '../../src/cli/run.ts';

/** What a command left behind. */
export interface CommandOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** How a command is run. */
export interface CommandRun {
  /** Looks at everything written to stderr so far; true presses Ctrl-C, once. */
  readonly interruptWhen?: (err: string) => boolean;
}

/** Runs a command to its end. Its clock goes on by a minute a look, so that progress is written. */
export async function gapvl(
  argv: readonly string[],
  { interruptWhen }: CommandRun = {},
): Promise<CommandOutcome> {
  let [out, err, now] = ['', '', 0];
  let interrupt: (() => void) | undefined;
  const code = await runCli(argv, {
    out: (text) => void (out += text),
    err: (text) => {
      err += text;
      if (interruptWhen?.(err) !== true) return;
      const press = interrupt;
      interrupt = undefined;
      press?.();
    },
    interactive: false,
    columns: 80,
    clock: { now: () => (now += 60_000), date: () => '2026-01-01T00:00:00Z' },
    onInterrupt: (listener) => {
      interrupt = listener;
      return () => (interrupt = undefined);
    },
    kill: () => undefined,
    showStack: false,
  });
  return { code, out, err };
}
