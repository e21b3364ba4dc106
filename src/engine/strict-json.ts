// Owns reading JSON files without mercy: UTF-8, one object, no key twice; checkpoint readers use it.
import { CheckpointError } from '../errors.ts';

const FIX = 'get or write the file again; it is damaged';
/** ours: the files of a checkpoint nest 8 deep at most (tokenizer.json). */
const MAX_DEPTH = 64;
/** ours: values and containers of one file; tokenizer.json of Qwen2.5 has 0.8 million of them. */
const MAX_PARTS = 1 << 22;

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * The JSON object in UTF-8 bytes, with every key once at every level.
 * @param place - how messages call the text.
 * @throws CheckpointError on bad UTF-8, bad JSON, another JSON value, a duplicate key, and on
 * nesting or numbers of values that no checkpoint has, before memory is spent on them.
 */
export function parseJsonObject(bytes: Uint8Array, place: string): Record<string, unknown> {
  const numKeys = measure(bytes, place);
  let text: string;
  let root: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    root = JSON.parse(text);
  } catch (error) {
    const got = (error as Error).message;
    throw new CheckpointError({ what: `${place} is not JSON in UTF-8`, got, fix: FIX }, error);
  }
  if (!isObject(root)) {
    throw new CheckpointError({
      what: `${place} is not a JSON object`,
      got: show(root),
      fix: FIX,
    });
  }
  if (countKeys(root) !== numKeys) {
    throw new CheckpointError({
      what: `${place} has a key twice`,
      got: show(findDuplicateKey(text)),
      fix: FIX,
    });
  }
  return root;
}

/** Whether a JSON value is an object (no array, no null). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A JSON value as short text for messages. */
export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The number of keys in a text, should it be JSON; refuses what would cost too much to parse. */
function measure(bytes: Uint8Array, place: string): number {
  let [depth, numParts, numKeys] = [0, 0, 0];
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      i++;
      while (i < bytes.length && bytes[i] !== QUOTE) i += bytes[i] === BACKSLASH ? 2 : 1;
    } else if (byte === COLON) numKeys++;
    else if (byte === COMMA) numParts++;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      numParts++;
      depth++;
      if (depth > MAX_DEPTH) {
        throw new CheckpointError({
          what: `${place} nests too deep`,
          expected: `at most ${String(MAX_DEPTH)} levels`,
          fix: FIX,
        });
      }
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
  }
  if (numParts <= MAX_PARTS) return numKeys;
  throw new CheckpointError({
    what: `${place} has more values than any checkpoint`,
    got: `${String(numParts)} values and containers`,
    expected: `at most ${String(MAX_PARTS)}`,
    fix: FIX,
  });
}

/** Keys of all objects in a JSON value; JSON.parse keeps one of two equal keys. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const part of Object.values(value)) count += countKeys(part);
  return count;
}

/** The first key found twice in one object of a text that is valid JSON. */
function findDuplicateKey(json: string): string | undefined {
  const scopes: Set<string>[] = [];
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '{') scopes.push(new Set());
    else if (char === '}') scopes.pop();
    else if (char === '"') {
      const start = i++;
      while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
      let next = i + 1;
      while (/\s/.test(json.charAt(next))) next++;
      if (json[next] !== ':') continue;
      const key = String(JSON.parse(json.slice(start, i + 1)));
      const scope = scopes.at(-1);
      if (scope?.has(key) === true) return key;
      scope?.add(key);
    }
  }
  return undefined;
}
