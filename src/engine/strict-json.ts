// Owns reading JSON files without mercy: UTF-8, one object, no key twice; checkpoint readers use it.
import { CheckpointError } from '../errors.ts';

const FIX = 'get or write the file again; it is damaged';

/**
 * The JSON object in UTF-8 bytes, with every key once at every level.
 * @param place - how messages call the text.
 * @throws CheckpointError on bad UTF-8, bad JSON, another JSON value, or a duplicate key.
 */
export function parseJsonObject(bytes: Uint8Array, place: string): Record<string, unknown> {
  let text: string;
  let root: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    root = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError({ what: `${place} is not JSON in UTF-8`, fix: FIX }, error);
  }
  if (!isObject(root)) {
    throw new CheckpointError({
      what: `${place} is not a JSON object`,
      got: show(root),
      fix: FIX,
    });
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) {
    throw new CheckpointError({
      what: `${place} has a key twice`,
      got: show(duplicate),
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

/** The first key found twice in one object of a text that is valid JSON; JSON.parse hides them. */
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
