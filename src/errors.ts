// Owns the five error classes of gapvl; everything that fails on purpose throws one of them.

/** What every deliberate error says: what went wrong, what was got, what was expected, what to do. */
export interface ErrorParts {
  /** The thing that is wrong, with its place (file, line, tensor or setting name). */
  readonly what: string;
  /** What was found. */
  readonly got?: string;
  /** What would have been right. */
  readonly expected?: string;
  /** What the reader should do now. */
  readonly fix?: string;
}

/** Exit codes of the CLI: usage errors, data errors, a server that is not there, everything else. */
export const EXIT_CODES = { usage: 2, data: 3, unreachable: 4, other: 1 } as const;

function renderParts(parts: ErrorParts): string {
  const lines = [parts.what];
  if (parts.got !== undefined) lines.push(`  got:      ${parts.got}`);
  if (parts.expected !== undefined) lines.push(`  expected: ${parts.expected}`);
  if (parts.fix !== undefined) lines.push(`  fix:      ${parts.fix}`);
  return lines.join('\n');
}

/** Base of the five classes; carries the parts (for `--json`) and the exit code (for the CLI). */
export abstract class GapvlError extends Error {
  readonly parts: ErrorParts;
  readonly exitCode: number;

  constructor(name: string, exitCode: number, parts: ErrorParts, cause?: unknown) {
    super(renderParts(parts), cause === undefined ? undefined : { cause });
    this.name = name;
    this.parts = parts;
    this.exitCode = exitCode;
  }
}

/** A setting, flag or recipe that cannot be used; found before any weight loads. Exit code 2. */
export class ConfigError extends GapvlError {
  constructor(parts: ErrorParts, cause?: unknown) {
    super('ConfigError', EXIT_CODES.usage, parts, cause);
  }
}

/** A dataset, picture or record that cannot be used; names file and line. Exit code 3. */
export class DataError extends GapvlError {
  constructor(parts: ErrorParts, cause?: unknown) {
    super('DataError', EXIT_CODES.data, parts, cause);
  }
}

/** Tensor shapes or types that do not fit each other. Exit code 1. */
export class ShapeError extends GapvlError {
  constructor(parts: ErrorParts, cause?: unknown) {
    super('ShapeError', EXIT_CODES.other, parts, cause);
  }
}

/** A checkpoint or basis that is truncated, incomplete or of another model. Exit code 3. */
export class CheckpointError extends GapvlError {
  constructor(parts: ErrorParts, cause?: unknown) {
    super('CheckpointError', EXIT_CODES.data, parts, cause);
  }
}

/**
 * Anything that fails while running: ONNX Runtime, disk, NaN loss, interruption. Exit code 1, or 4 where a
 * model or a judge behind an endpoint does not answer.
 */
export class RuntimeError extends GapvlError {
  constructor(parts: ErrorParts, cause?: unknown, exitCode: number = EXIT_CODES.other) {
    super('RuntimeError', exitCode, parts, cause);
  }
}
