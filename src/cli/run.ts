// Owns one run of `gapvl`: finds and loads the command, runs it, turns failures into exit codes.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ConfigError, RuntimeError } from '../errors.ts';
import type { Clock } from './clock.ts';
import type { CliCommand, CommandContext } from './command.ts';
import { COMMANDS, GROUPS } from './commands.ts';
import type { CommandEntry } from './commands.ts';
import { describeFailure, fromCommander } from './failure.ts';
import type { RawOptions } from './options.ts';
import { createProgress } from './progress.ts';
import type { ProgressMode } from './progress.ts';

/** Everything outside of the program that a run touches; tests pass their own. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Whether stderr is a terminal that can redraw a line, and how wide it is. */
  readonly interactive: boolean;
  readonly columns: number;
  readonly clock: Clock;
  /** Calls the listener at every Ctrl-C until the returned function is called. */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** Ends the process at once. */
  readonly kill: () => void;
  /** Print whole stacks of unexpected errors. */
  readonly showStack: boolean;
}

/** Two interrupts within this time are one; ours: nobody presses that fast. */
const SAME_INTERRUPT_MS = 100;

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  const { version: found } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return found;
}

function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function findEntry(argv: readonly string[], entries: readonly CommandEntry[]) {
  const words = argv.filter((word) => !word.startsWith('-'));
  if (words[0] === 'help') words.shift();
  const [group = ''] = words;
  const ofGroup = entries.find((entry) => entry.isDefault === true && entry.words[0] === group);
  // Only the very next word can be a command: further ones may be values of options.
  const next = argv[argv.indexOf(group) + 1];
  if (ofGroup && (next === undefined || next.startsWith('-'))) return ofGroup;
  return entries.find((entry) => entry.words.every((word, i) => words[i] === word));
}

type Action = (command: Command, loaded: CliCommand, args: readonly string[]) => Promise<void>;

/** Builds the tree; only the command that is called knows its options. */
function buildProgram(
  entries: readonly CommandEntry[],
  called: { readonly entry: CommandEntry; readonly loaded: CliCommand } | undefined,
  output: { readonly writeOut: (text: string) => void; readonly writeErr: (text: string) => void },
  action: Action,
): Command {
  const program = new Command('gapvl')
    .description('GAP visual latent reasoning for Qwen2.5-VL-family models')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'explain a command')
    .exitOverride()
    .configureOutput(output);
  const groups = new Map<string, Command>();
  for (const entry of entries) {
    const [first, second] = entry.words;
    let parent = program;
    if (second !== undefined) {
      parent = groups.get(first) ?? program.command(first).description(GROUPS.get(first) ?? '');
      groups.set(first, parent);
    }
    const isCalled = called?.entry === entry;
    // Unless it is called it is no default, so that a wrong word is one and not an argument of it.
    const command = parent.command(second ?? first, {
      isDefault: isCalled && entry.isDefault === true,
    });
    command.summary(entry.isDefault === true ? `${entry.summary} (default)` : entry.summary);
    command.description(entry.summary);
    if (!isCalled) continue;
    const { loaded } = called;
    loaded.configure(command);
    if (entry.isDefault === true) {
      const help = (): string => `\nWithout a command it is run:\n\n${command.helpInformation()}`;
      parent.addHelpText('after', help);
    }
    command.action(() => action(command, loaded, command.args));
  }
  return program;
}

function fullName(command: Command): string {
  const parent = command.parent;
  return parent === null ? command.name() : `${fullName(parent)} ${command.name()}`;
}

function progressMode(raw: RawOptions, terminal: Terminal): ProgressMode {
  if (raw['json'] === true || raw['quiet'] === true) return 'silent';
  return terminal.interactive ? 'bar' : 'lines';
}

interface Run {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly commandLine: string;
  readonly setExitCode: (code: number) => void;
}

function makeContext(raw: RawOptions, run: Run): CommandContext {
  const { terminal } = run;
  const json = raw['json'] === true;
  const mode = progressMode(raw, terminal);
  const { clock, columns } = terminal;
  return {
    signal: run.signal,
    clock,
    json,
    commandLine: run.commandLine,
    progress: (label) => createProgress(label, { mode, clock, columns, write: terminal.err }),
    note: (line) => {
      if (mode !== 'silent') terminal.err(`${line}\n`);
    },
    write: (text) => {
      if (!json) terminal.out(text);
    },
    result: (text, value) => {
      terminal.out(`${json ? JSON.stringify(value) : text.trimEnd()}\n`);
    },
    setExitCode: run.setExitCode,
  };
}

/** The error an aborted signal carries; library code throws it through `signal.throwIfAborted()`. */
function interruption(commandLine: string): RuntimeError {
  return new RuntimeError({
    what: 'interrupted; what was finished is kept',
    fix: `to go on, run: ${commandLine}`,
  });
}

/**
 * Bytes of arguments above which a command is refused. ONNX Runtime 1.30 reads the command line of its
 * process with a regular expression that overflows the stack: 30,000 bytes end it without a word,
 * 20,000 do not.
 */
const MOST_ARGUMENT_BYTES = 16_384;

function checkLength(argv: readonly string[]): void {
  const numBytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0);
  if (numBytes <= MOST_ARGUMENT_BYTES) return;
  throw new ConfigError({
    what: 'the command line is too long',
    got: `${numBytes} bytes of arguments`,
    expected: `at most ${MOST_ARGUMENT_BYTES}`,
    fix: 'give a long question by stdin: `gapvl generate ... - < question.txt`',
  });
}

/**
 * Runs `gapvl` with the arguments after its name and returns the exit code.
 *
 * @param entries - the commands; tests pass their own.
 */
export async function runCli(
  argv: readonly string[],
  terminal: Terminal,
  entries: readonly CommandEntry[] = COMMANDS,
): Promise<number> {
  const json = argv.includes('--json');
  const commandLine = ['gapvl', ...argv].map(quote).join(' ');
  const interrupt = new AbortController();
  let exitCode = 0;
  let helpText = '';
  let firstMs = 0;
  const stopListening = terminal.onInterrupt(() => {
    if (interrupt.signal.aborted) {
      // npm hands on the Ctrl-C that the terminal sent to both: that is one, not two.
      if (terminal.clock.now() - firstMs > SAME_INTERRUPT_MS) terminal.kill();
      return;
    }
    firstMs = terminal.clock.now();
    terminal.err('\nstopping as soon as what is done is safe; Ctrl-C again stops at once\n');
    interrupt.abort(interruption(commandLine));
  });
  try {
    checkLength(argv);
    const entry = findEntry(argv, entries);
    const called = entry && { entry, loaded: await entry.load() };
    const program = buildProgram(
      entries,
      called,
      { writeOut: terminal.out, writeErr: (text) => (helpText += text) },
      async (command, loaded, args) => {
        const raw = command.opts<RawOptions>();
        const setExitCode = (code: number): void => void (exitCode = code);
        const run = { terminal, signal: interrupt.signal, commandLine, setExitCode };
        await loaded.execute(raw, makeContext(raw, run), args, fullName(command));
      },
    );
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const name = ['gapvl', ...(findEntry(argv, entries)?.words ?? [])].join(' ');
    const error = asOurs(thrown, name, interrupt.signal);
    const failure = describeFailure(error);
    if (json) terminal.out(`${JSON.stringify(failure.json)}\n`);
    else if (thrown instanceof CommanderError && thrown.code === 'commander.help') {
      terminal.err(helpText);
    } else terminal.err(`${failure.text}\n`);
    if (terminal.showStack && error instanceof Error) terminal.err(`${error.stack ?? ''}\n`);
    return failure.exitCode;
  } finally {
    stopListening();
  }
}

function asOurs(thrown: unknown, command: string, signal: AbortSignal): unknown {
  // Node's own calls wrap the reason of an aborted signal into an error of theirs.
  if (signal.aborted && thrown instanceof Error && thrown.name === 'AbortError') {
    return signal.reason;
  }
  if (!(thrown instanceof CommanderError)) return thrown;
  if (thrown.code !== 'commander.help') return fromCommander(thrown, command);
  return new ConfigError({ what: 'no command was given', fix: `see ${command} --help` }, thrown);
}
