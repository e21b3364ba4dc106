// Owns what a command is: its options, its arguments, its run; `gapvl` builds its tree from these.
import { Option } from 'commander';
import type { Command } from 'commander';
import type { Clock } from './clock.ts';
import { flag, readOptions } from './options.ts';
import type { CliOption, OptionSet, OptionValues, RawOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** What a running command gets from the shell around it. */
export interface CommandContext {
  /** Aborts on Ctrl-C; its reason is an error that already names the command to run again. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** True with `--json`: stdout holds JSON and nothing else. */
  readonly json: boolean;
  /** The command as the user typed it, quoted for a shell. */
  readonly commandLine: string;
  /** Starts the progress of a stage on stderr; silent with `--json` and `--quiet`. */
  readonly progress: (label: string) => Progress;
  /** A note on stderr for people; silent with `--json` and `--quiet`. */
  readonly note: (line: string) => void;
  /** Text on stdout as it is, for streams; nothing with `--json`. */
  readonly write: (text: string) => void;
  /** The result: `text` as a paragraph on stdout, or with `--json` the value as one line. */
  readonly result: (text: string, json: unknown) => void;
  /** Sets the exit code of a command that ends in order with bad news. */
  readonly setExitCode: (code: number) => void;
}

/** A positional argument: `<must>`, `[may]` or `[may...]`. */
export interface CommandArgument {
  readonly syntax: string;
  readonly description: string;
}

/** A command as its file writes it. */
export interface CommandSpec<O extends OptionSet> {
  /** One paragraph for `--help`: what it reads, does and writes. */
  readonly description: string;
  readonly options: O;
  readonly arguments?: readonly CommandArgument[];
  /** Command lines that work, for `--help`. */
  readonly examples?: readonly string[];
  readonly run: (
    values: OptionValues<O>,
    context: CommandContext,
    args: readonly string[],
  ) => Promise<void>;
}

/** A command ready to be hung into the tree. */
export interface CliCommand {
  readonly configure: (command: Command) => void;
  /** @param raw - what commander collected; read and checked here before anything runs. */
  readonly execute: (
    raw: RawOptions,
    context: CommandContext,
    args: readonly string[],
    name: string,
  ) => Promise<void>;
}

const OUTPUT_OPTIONS = {
  json: flag('--json', 'print the result as one line of JSON, and nothing else'),
  quiet: flag('--quiet', 'no progress'),
};

function toCommander(from: CliOption<unknown>): Option {
  const made = new Option(from.flags, from.description);
  if (!made.required && !made.optional) return made;
  return made.argParser((value: string, previous: readonly string[] | undefined) => [
    ...(previous ?? []),
    value,
  ]);
}

/** Makes a command from its specification; every command gets `--json` and `--quiet`. */
export function defineCommand<O extends OptionSet>(spec: CommandSpec<O>): CliCommand {
  return {
    configure: (command) => {
      command.description(spec.description);
      for (const { syntax, description } of spec.arguments ?? []) {
        command.argument(syntax, description);
      }
      for (const from of Object.values({ ...spec.options, ...OUTPUT_OPTIONS })) {
        command.addOption(toCommander(from));
      }
      const examples = spec.examples ?? [];
      if (examples.length > 0) {
        command.addHelpText('after', `\nExamples:\n${examples.map((e) => `  ${e}\n`).join('')}`);
      }
    },
    execute: (raw, context, args, name) =>
      spec.run(readOptions(spec.options, raw, name), context, args),
  };
}
