// Owns which tensor of a checkpoint is which parameter, and what is wrong when they do not match.
import { CheckpointError } from '../errors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import type { DType } from '../engine/tensor.ts';
import { canonicalName } from './checkpoint.ts';
import type { ParameterSpec } from './parameters.ts';
import { parameterFaults } from './weights.ts';

const TABLE = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';

/** What the checks need to know of a stored tensor. */
export interface TensorShape {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** Names of a checkpoint's tensors, matched. */
export interface ParameterNames {
  /** Our parameter name to the name the file uses; all parameters, and nothing else. */
  readonly fileNames: ReadonlyMap<string, string>;
  /** A stored head beside the table that is said to be the head; its values must be the table's. */
  readonly doubleHead?: string;
}

/** Weights are read from these; integers are weights only as codes of a packed matrix. */
const WEIGHT_DTYPES: readonly DType[] = ['bf16', 'f16', 'f32', 'f64'];

/**
 * Buffers that old files carry along; they are computed from config.json.
 * Source: transformers 5.23.0 modeling_utils.py, which ignores `rotary_emb.inv_freq`; the vision
 * tower's is `rotary_pos_emb.inv_freq`.
 */
const HARMLESS = /(?:^|\.)rotary_(?:pos_)?emb\.(?:original_)?inv_freq$/;

/** What unknown tensors give away about a checkpoint, and what to do about it. */
const LEFTOVERS: readonly (readonly [RegExp, string])[] = [
  [
    /\.lora_|\.base_layer\.|\.modules_to_save\.|\.ia3_/,
    'this is an adapter that is not merged; merge it into its base first (peft: merge_and_unload, then save_pretrained)',
  ],
  [
    /\.(?:qweight|qzeros|scales|g_idx|absmax|quant_map|SCB)$|\.weight_(?:scale|zero_point|packed|shape)|quant_state/,
    'this checkpoint is quantized; get the one it was made from (bf16)',
  ],
  [
    /\.packed_(?:codes|scales|zeros)$/,
    'these weights were packed by `gapvl quantize` and can be run only; use the checkpoint they were made from',
  ],
];
const UNKNOWN_FIX =
  'check that config.json and weights belong together; remove tensors that another program left there';

function fixOf(unknown: readonly string[]): string | undefined {
  if (unknown.length === 0) return undefined;
  for (const [pattern, fix] of LEFTOVERS) {
    if (unknown.some((name) => pattern.test(name))) return fix;
  }
  return UNKNOWN_FIX;
}

/** File names by our names, and the faults of names that mean the same parameter. */
function byCanonicalName(fileNames: Iterable<string>): [Map<string, string>, string[]] {
  const known = new Map<string, string>();
  const faults: string[] = [];
  for (const fileName of fileNames) {
    const name = canonicalName(fileName);
    const first = known.get(name);
    if (first === undefined) known.set(name, fileName);
    else if (!HARMLESS.test(name)) faults.push(`${first} and ${fileName} are the same parameter`);
  }
  return [known, faults];
}

/**
 * Finds every parameter among the tensors of a checkpoint. Nothing is read for it.
 *
 * A tied model may store its table under the head's name alone, as transformers reads it too, or
 * under both (`doubleHead`, see expectSameHead). Rotary buffers are passed over; any other tensor
 * that is no parameter is a fault: the model would not be the one the checkpoint's maker had.
 *
 * @param where - how messages call the checkpoint.
 * @throws CheckpointError that lists all faults: parameters that are missing, of another shape,
 * stored as integers or twice, and tensors that are no parameter.
 */
export function matchParameters(
  specs: readonly ParameterSpec[],
  stored: ReadonlyMap<string, TensorShape>,
  where: string,
): ParameterNames {
  const [known, faults] = byCanonicalName(stored.keys());
  const wanted = new Set(specs.map(({ name }) => name));
  const head = known.get(HEAD);
  const isTied = wanted.has(TABLE) && !wanted.has(HEAD);
  if (isTied && head !== undefined && !known.has(TABLE)) known.set(TABLE, head);

  const fileNames = new Map<string, string>();
  const found = new Map<string, TensorShape>();
  for (const { name, dtype } of specs) {
    const fileName = known.get(name);
    const info = fileName === undefined ? undefined : stored.get(fileName);
    if (fileName === undefined || info === undefined) continue;
    fileNames.set(name, fileName);
    found.set(name, info);
    const dtypes = dtype ? [dtype] : WEIGHT_DTYPES;
    if (dtypes.includes(info.dtype)) continue;
    faults.push(`${name} is stored as ${info.dtype}, expected ${dtypes.join(', ')}`);
  }
  faults.push(...parameterFaults(specs, found));

  const isDouble = isTied && head !== undefined && head !== fileNames.get(TABLE);
  const unknown = [...known.keys()].filter(
    (name) => !wanted.has(name) && !HARMLESS.test(name) && !(isTied && name === HEAD),
  );
  faults.push(...unknown.map((name) => `${known.get(name) ?? name} is no parameter of the model`));
  const shapes = isDouble ? [stored.get(head), found.get(TABLE)] : [];
  if (String(shapes[0]?.dims) !== String(shapes[1]?.dims)) faults.push(otherHead(head ?? HEAD));
  if (faults.length > 0) throw misfit(faults, where, fixOf(unknown));
  return isDouble ? { fileNames, doubleHead: head } : { fileNames };
}

function otherHead(head: string): string {
  return `${head} is not ${TABLE}, though config.json says tie_word_embeddings`;
}

const SHOWN_FAULTS = 8;

function misfit(faults: readonly string[], where: string, fix?: string): CheckpointError {
  const more = faults.length - SHOWN_FAULTS;
  return new CheckpointError({
    what: `the weights in ${where} do not fit its config.json`,
    got: faults.slice(0, SHOWN_FAULTS).join('; ') + (more > 0 ? `; and ${more} more` : ''),
    fix: fix ?? 'get the checkpoint again, or check that config.json and weights belong together',
  });
}

/**
 * Makes sure that a head stored beside the table of a tied model has the table's values; of
 * checkpoints without such a head nothing is read.
 * @throws CheckpointError when it differs: the checkpoint then is not tied, as transformers sees it.
 */
export async function expectSameHead(
  reader: TensorReader,
  { fileNames, doubleHead }: ParameterNames,
  where: string,
): Promise<void> {
  if (doubleHead === undefined) return;
  const table = fileNames.get(TABLE) ?? TABLE;
  const sameType = reader.infos.get(table)?.dtype === reader.infos.get(doubleHead)?.dtype;
  if (sameType && (await sameBytes(reader, table, doubleHead))) return;
  const fix = `set tie_word_embeddings to false in config.json, or remove ${doubleHead}`;
  throw misfit([otherHead(doubleHead)], where, fix);
}

async function sameBytes(reader: TensorReader, left: string, right: string): Promise<boolean> {
  const others = reader.pieces(right)[Symbol.asyncIterator]();
  for await (const piece of reader.pieces(left)) {
    const other = await others.next();
    if (other.done === true || Buffer.compare(piece, other.value) !== 0) return false;
  }
  return true;
}
