// Owns how a failure looks from outside: its text, its JSON and its exit code; `runCli` calls it.
import { CommanderError } from 'commander';
import { ConfigError, EXIT_CODES, GapvlError } from '../errors.ts';

/** A failure as it is shown. */
export interface Failure {
  readonly exitCode: number;
  /** For stderr, without a final line feed. */
  readonly text: string;
  /** For stdout with `--json`. */
  readonly json: { readonly error: Readonly<Record<string, string>> };
}

/** First frame of a stack that is a place in a file, or the empty text. */
function placeOf(error: Error): string {
  const frame = (error.stack ?? '').split('\n').find((line) => /^\s+at .*:\d+:\d+\)?$/.test(line));
  return frame?.trim().replace(/^at /, '') ?? '';
}

/** What commander found wrong with a command line, as an error of our own. */
export function fromCommander(error: CommanderError, command: string): ConfigError {
  const [, message = error.message, near] =
    /^(?:error: )?(.*?)(?:\n\(Did you mean (.*)\?\))?$/s.exec(error.message) ?? [];
  const fix = near === undefined ? `see ${command} --help` : `did you mean ${near}?`;
  return new ConfigError({ what: message.replaceAll("'", '').trim(), fix }, error);
}

/** Describes whatever was thrown; an error that is not ours is shown with its place. */
export function describeFailure(thrown: unknown): Failure {
  if (thrown instanceof GapvlError) {
    const error = { name: thrown.name, ...thrown.parts };
    return {
      exitCode: thrown.exitCode,
      text: `${thrown.name}: ${thrown.message}`,
      json: { error },
    };
  }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const place = placeOf(error);
  const what = `${error.name}: ${error.message}`;
  const fix = 'this is a fault of gapvl; GAPVL_STACK=1 prints the whole stack';
  const lines = [`unexpected ${what}`];
  if (place !== '') lines.push(`  where:    ${place}`);
  lines.push(`  fix:      ${fix}`);
  return {
    exitCode: EXIT_CODES.other,
    text: lines.join('\n'),
    json: { error: { name: error.name, what, ...(place === '' ? {} : { where: place }), fix } },
  };
}
