// Owns option parsing for every command: typed kinds of options, all faults found at once.
import { DEVICES } from '../engine/device.ts';
import type { Device } from '../engine/device.ts';
import { ConfigError } from '../errors.ts';

/** A text turned into a value, or what would have been right instead. */
export type Parsed<T> = { readonly value: T } | { readonly expected: string };

/** One option of a command: how it is written, explained, read, and what holds without it. */
export interface CliOption<T> {
  /** As commander writes them: `--count <n>`, `-o, --out <folder>`, `--resume`. */
  readonly flags: string;
  readonly description: string;
  /** Reads the texts in the order given; one text unless the option is repeatable. */
  readonly parse: (texts: readonly string[]) => Parsed<NonNullable<T>>;
  /** Given once more, the option adds to a list; otherwise that is a fault. */
  readonly repeatable: boolean;
  readonly required: boolean;
  readonly fallback: T;
}

/** The options of a command by the name its code uses for them. */
export type OptionSet = Readonly<Record<string, CliOption<unknown>>>;

/** The values an option set reads, by the same names. */
export type OptionValues<O extends OptionSet> = {
  readonly [Name in keyof O]: O[Name] extends CliOption<infer T> ? T : never;
};

/** What commander collected by attribute name: a list of texts, or `true` for a flag. */
export type RawOptions = Readonly<Record<string, unknown>>;

type Parse<T> = (texts: readonly string[]) => Parsed<NonNullable<T>>;

function option<T>(
  flags: string,
  description: string,
  parseText: (text: string) => Parsed<NonNullable<T>>,
): CliOption<T | undefined> {
  const parse: Parse<T> = (texts) => parseText(texts[0] ?? '');
  return { flags, description, parse, repeatable: false, required: false, fallback: undefined };
}

function showDefault(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value);
}

/** The same option with a value that holds when it is not given; the help shows it. */
export function withDefault<T>(
  from: CliOption<T | undefined>,
  value: NonNullable<T>,
): CliOption<NonNullable<T>> {
  const description = `${from.description} (default: ${showDefault(value)})`;
  const parse = from.parse as Parse<NonNullable<T>>;
  return { ...from, description, parse, fallback: value };
}

/** The same option, but it has to be given. */
export function required<T>(from: CliOption<T | undefined>): CliOption<NonNullable<T>> {
  // The fallback is never read: a missing required option is a fault before values are made.
  return { ...from, required: true } as CliOption<NonNullable<T>>;
}

/** A switch: false unless given. */
export function flag(flags: string, description: string): CliOption<boolean> {
  const parse: Parse<boolean> = () => ({ value: true });
  return { flags, description, parse, repeatable: false, required: false, fallback: false };
}

/** Any non-empty text, such as a path or a label. */
export function text(flags: string, description: string): CliOption<string | undefined> {
  return option<string>(flags, description, (value) =>
    value.trim() === '' ? { expected: 'a text that is not empty' } : { value },
  );
}

/** A text that may be given several times: `--set a=1 --set b=2`; empty unless given. */
export function texts(flags: string, description: string): CliOption<readonly string[]> {
  const parse: Parse<readonly string[]> = (value) => ({ value });
  return { flags, description, parse, repeatable: true, required: false, fallback: [] };
}

/** The limits of a number, both included. */
export interface Limits {
  readonly min?: number;
  readonly max?: number;
}

function describeLimits(noun: string, { min, max }: Limits): string {
  if (min !== undefined && max !== undefined) return `${noun} from ${min} to ${max}`;
  if (min !== undefined) return `${noun} of at least ${min}`;
  return max === undefined ? noun : `${noun} of at most ${max}`;
}

function within(value: number, { min, max }: Limits): boolean {
  return value >= (min ?? -Infinity) && value <= (max ?? Infinity);
}

/** A decimal number within limits; `1e-5` is one, `NaN`, `0x10` and the empty text are not. */
export function decimal(
  flags: string,
  description: string,
  limits: Limits = {},
): CliOption<number | undefined> {
  return option<number>(flags, description, (value) => {
    const parsed = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(value) ? Number(value) : NaN;
    return Number.isFinite(parsed) && within(parsed, limits)
      ? { value: parsed }
      : { expected: describeLimits('a number', limits) };
  });
}

/** A whole number within limits, exact in a JavaScript number. */
export function integer(
  flags: string,
  description: string,
  limits: Limits = {},
): CliOption<number | undefined> {
  return option<number>(flags, description, (value) => {
    const parsed = /^[+-]?\d+$/.test(value) ? Number(value) : NaN;
    return Number.isSafeInteger(parsed) && within(parsed, limits)
      ? { value: parsed }
      : { expected: describeLimits('a whole number', limits) };
  });
}

/** A whole number of at least 1. */
export function positiveInteger(flags: string, description: string): CliOption<number | undefined> {
  return integer(flags, description, { min: 1 });
}

/** A perfect square of at least 1, such as the number of latents in a span. */
export function square(flags: string, description: string): CliOption<number | undefined> {
  const whole = positiveInteger(flags, description);
  return option<number>(flags, description, (value) => {
    const parsed = whole.parse([value]);
    return 'value' in parsed && Number.isInteger(Math.sqrt(parsed.value))
      ? parsed
      : { expected: 'a square number such as 4, 16 or 36' };
  });
}

/** One of a few words. */
export function choice<const C extends string>(
  flags: string,
  description: string,
  values: readonly C[],
): CliOption<C | undefined> {
  return option<C>(flags, `${description}: ${values.join(', ')}`, (value) => {
    const found = values.find((candidate) => candidate === value);
    return found === undefined ? { expected: `one of ${values.join(', ')}` } : { value: found };
  });
}

/** Some of a few words, separated by commas; none twice, at least one. */
export function choices<const C extends string>(
  flags: string,
  description: string,
  values: readonly C[],
): CliOption<readonly C[] | undefined> {
  return option<readonly C[]>(flags, `${description}: ${values.join(', ')}`, (value) => {
    const words = value.split(',').map((word) => word.trim());
    const found = words.flatMap((word) => values.filter((candidate) => candidate === word));
    return found.length === words.length && new Set(found).size === found.length
      ? { value: found }
      : { expected: `some of ${values.join(', ')}, separated by commas, none twice` };
  });
}

/** Whole numbers of at least 1, separated by commas. */
export function positiveIntegers(
  flags: string,
  description: string,
): CliOption<readonly number[] | undefined> {
  const one = positiveInteger(flags, description);
  return option<readonly number[]>(flags, description, (value) => {
    const parsed = value.split(',').map((word) => one.parse([word.trim()]));
    const numbers = parsed.flatMap((part) => ('value' in part ? [part.value] : []));
    return numbers.length === parsed.length
      ? { value: numbers }
      : { expected: 'whole numbers of at least 1, separated by commas' };
  });
}

// GAP §5.1 (Appendix F): the seed of the paper's runs.
const DEFAULT_SEED = 12345;
const MAX_SEED = 2 ** 32 - 1;

/** `--seed`: what every random choice of a command derives from. */
export function seedOption(fallback = DEFAULT_SEED): CliOption<number> {
  const limits = { min: 0, max: MAX_SEED };
  return withDefault(integer('--seed <n>', 'seed of every random choice', limits), fallback);
}

/** `--threads`: threads inside one operation; left to ONNX Runtime unless given. */
export function threadsOption(): CliOption<number | undefined> {
  return positiveInteger('--threads <n>', 'threads inside one operation (default: all cores)');
}

/**
 * `--model` and `--offline`, for commands that run a model; `modelFolder` of running.ts turns what
 * they read into a folder.
 * @param description - what the model is for, such as `model to ask`.
 */
export function modelOptions(description: string) {
  const what = `${description}: a folder, or ORG/NAME[@REVISION] of the Hugging Face hub`;
  return { model: required(text('--model <model>', what)), offline: offlineOption() };
}

/** `--offline`: models of the hub come from the cache alone. */
export function offlineOption(): CliOption<boolean> {
  return flag('--offline', 'take models of the hub from the cache, and ask nobody');
}

/** `--device`: where a model runs; one that is not here is an error before anything is read. */
export function deviceOption(): CliOption<Device> {
  return withDefault(choice('--device <name>', 'where the model runs', DEVICES), 'cpu');
}

/** The name commander stores an option under: `--batch-size <n>` becomes `batchSize`. */
export function attributeName(flags: string): string {
  const long = /--([a-z0-9-]+)/.exec(flags)?.[1] ?? flags;
  return long.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function longFlag(flags: string): string {
  return /--[a-z0-9-]+/.exec(flags)?.[0] ?? flags;
}

interface Fault {
  readonly flag: string;
  readonly got: string;
  readonly expected: string;
}

function readOne(from: CliOption<unknown>, raw: unknown): { value: unknown } | { fault: Fault } {
  const flag = longFlag(from.flags);
  if (raw === undefined || raw === false) {
    if (!from.required) return { value: from.fallback };
    return { fault: { flag, got: 'nothing', expected: 'a value, it has to be given' } };
  }
  const written = Array.isArray(raw) ? raw.map(String) : [];
  const got = written.map((text) => JSON.stringify(text)).join(' and ');
  if (written.length > 1 && !from.repeatable) return { fault: { flag, got, expected: 'it once' } };
  const parsed = from.parse(written);
  return 'value' in parsed ? parsed : { fault: { flag, got, expected: parsed.expected } };
}

/**
 * Reads what commander collected into typed values.
 *
 * @throws ConfigError that names every fault, not only the first.
 */
export function readOptions<O extends OptionSet>(
  options: O,
  raw: RawOptions,
  command: string,
): OptionValues<O> {
  const values: Record<string, unknown> = {};
  const faults: Fault[] = [];
  for (const [name, from] of Object.entries(options)) {
    const read = readOne(from, raw[attributeName(from.flags)]);
    if ('fault' in read) faults.push(read.fault);
    else values[name] = read.value;
  }
  if (faults.length === 0) return values as OptionValues<O>;
  const several = faults.length > 1;
  throw new ConfigError({
    what: several
      ? `${faults.length} options of ${command} cannot be used: ${faults.map((f) => f.flag).join(', ')}`
      : `${faults[0]?.flag ?? ''} of ${command} cannot be used`,
    got: faults.map((f) => (several ? `${f.flag} ${f.got}` : f.got)).join('; '),
    expected: faults.map((f) => (several ? `${f.flag}: ${f.expected}` : f.expected)).join('; '),
    fix: `see ${command} --help`,
  });
}
