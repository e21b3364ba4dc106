// Owns `gapvl quantize`: a checkpoint whose matrices are packed to 4 or 8 bits, written as it is read.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '../errors.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { BLOCK_SIZE } from '../engine/ops/packed.ts';
import type { PackedBits, Packing } from '../engine/ops/packed.ts';
import { packRows } from '../engine/pack.ts';
import { INDEX_FILE, SINGLE_FILE, openModelFolder } from '../engine/safetensors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import type { TensorDescription } from '../engine/safetensors-header.ts';
import { encodeShardIndex, writeSafetensorsStream } from '../engine/safetensors-writer.ts';
import { ELEMENT_SIZES, bytesOf, numElements, tensor, toFloat32 } from '../engine/tensor.ts';
import { parseModelConfig } from '../model/config.ts';
import type { ModelConfig } from '../model/config.ts';
import { headSpec, useOf } from '../model/packed-weights.ts';
import { expectSameHead, matchParameters } from '../model/parameter-names.ts';
import { PACKED_SUFFIXES, modelSpecs, packedSpecs } from '../model/parameters.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import { readCheckpointJson } from './checkpoint.ts';
import { HEAD_FILE } from './latent-head.ts';
import { COMPANIONS, copyPart, expectEmpty, fillFolder, writeJson } from './new-folder.ts';

/** Bits of a part of the model; `none` leaves it as it is stored. */
export type PartBits = PackedBits | 'none';

/** What is packed, how, and where the result goes. */
export interface QuantizeOptions {
  /** Folder of a checkpoint in Hugging Face layout; stays as it is. */
  readonly model: string;
  /** Folder to write; must not exist, or be empty. */
  readonly out: string;
  /** Matrices of the decoder's layers. */
  readonly bits: PackedBits;
  readonly symmetric: boolean;
  /** The language head; default `bits`. */
  readonly head?: PartBits;
  /** The embedding table; default `none`: its rows are read from the file, not held in memory. */
  readonly embeddings?: PartBits;
  /** The vision tower; default 8: it is small, and pictures are few. */
  readonly vision?: PartBits;
  /** Called with the parameters done so far and in all. */
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What came out. */
export interface Quantized {
  readonly numPacked: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

const TABLE = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
/** Bytes of a file of the result; codes of one file are held in memory until they are written. */
const SHARD_BYTES = 1 << 30;
/** Parameters that are read and packed at once. ours. */
const PIECE_PARAMETERS = 1 << 22;

/** How a parameter is to be packed; undefined: as it is. */
function packingOf(spec: ParameterSpec, options: QuantizeOptions): Packing | undefined {
  const { name, dims } = spec;
  if (dims.length !== 2) return undefined;
  const { bits, symmetric, head = bits, embeddings = 'none', vision = 8 } = options;
  let part: PartBits = bits;
  if (name === HEAD) part = head;
  else if (name === TABLE) part = embeddings;
  else if (name.startsWith('visual.')) part = vision;
  return part === 'none' ? undefined : { bits: part, symmetric };
}

/** One tensor of the result: a part of a packed matrix, or a parameter as it was. */
interface Target {
  readonly description: TensorDescription;
  /** The parameter it is made of, its name in the source's files, and how it is packed. */
  readonly spec: ParameterSpec;
  readonly source: string;
  readonly packing?: Packing;
}

function planTargets(
  config: ModelConfig,
  reader: TensorReader,
  options: QuantizeOptions,
  fileNames: ReadonlyMap<string, string>,
): Map<string, Target> {
  const targets = new Map<string, Target>();
  const { text } = config;
  const specs = modelSpecs(config);
  const tied = text.tieWordEmbeddings ? [headSpec(text)] : [];
  for (const spec of [...specs, ...tied]) {
    const packing = packingOf(spec, options);
    const source = fileNames.get(spec.name) ?? fileNames.get(TABLE) ?? TABLE;
    if (!packing) {
      const info = reader.infos.get(source);
      if (specs.includes(spec) && info) {
        const description = { dtype: info.dtype, dims: info.dims };
        targets.set(spec.name, { description, spec, source });
      }
      continue;
    }
    for (const { name, dims, dtype = 'f32' } of packedSpecs(spec, packing, useOf(spec.name)))
      targets.set(name, { description: { dtype, dims }, spec, source, packing });
  }
  return targets;
}

function sizeOf({ dtype, dims }: TensorDescription): number {
  return numElements(dims) * ELEMENT_SIZES[dtype];
}

/** Targets in files of about SHARD_BYTES; the parts of a matrix stay together. */
function planShards(targets: ReadonlyMap<string, Target>): string[][] {
  const shards: string[][] = [[]];
  let size = 0;
  let previous = '';
  for (const [name, { description, spec }] of targets) {
    if (size >= SHARD_BYTES && spec.name !== previous) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)?.push(name);
    size += sizeOf(description);
    previous = spec.name;
  }
  return shards;
}

/** A packed matrix in memory, as the bytes of its tensors by name. */
type PackedBytes = ReadonlyMap<string, Uint8Array>;

async function packMatrix(
  reader: TensorReader,
  target: Target & { readonly packing: Packing },
  report: (parameters: number) => void,
  signal?: AbortSignal,
): Promise<PackedBytes> {
  const { spec, source, packing } = target;
  const [rows = 0, columns = 0] = spec.dims;
  const specs = packedSpecs(spec, packing, useOf(spec.name));
  const parts = new Map(
    specs.map(({ name, dims, dtype }) => {
      const size = sizeOf({ dtype: dtype ?? 'f32', dims });
      return [name, new Uint8Array(size)];
    }),
  );
  const piece = Math.max(1, Math.floor(PIECE_PARAMETERS / columns));
  for (let first = 0; first < rows; first += piece) {
    signal?.throwIfAborted();
    const count = Math.min(piece, rows - first);
    const values = toFloat32(await reader.readRows(source, first, count));
    const packed = packRows(values, columns, packing);
    if (!packed.scales_NC.every(Number.isFinite)) {
      throw new CheckpointError({
        what: `${source} holds numbers that cannot be packed`,
        got: `NaN or infinity in rows ${first} to ${first + count - 1}`,
        fix: 'get the checkpoint again; training may have diverged',
      });
    }
    const scales = bytesOf(tensor('f32', [packed.scales_NC.length], packed.scales_NC));
    for (const [suffix, bytes] of [
      [PACKED_SUFFIXES.codes, packed.codes],
      [PACKED_SUFFIXES.scales, scales],
      [PACKED_SUFFIXES.zeros, packed.zeros],
    ] as const) {
      parts.get(spec.name + suffix)?.set(bytes, (bytes.length / count) * first);
    }
    report(count * columns);
  }
  return parts;
}

/**
 * Writes a copy of a checkpoint with its matrices packed, block by block of 32 columns. It can be
 * run and not trained. Memory is that of one file of the result and a few million parameters, so
 * the checkpoint may be of any size.
 * @throws ConfigError when `out` is not empty or the embeddings cannot be packed, CheckpointError
 * when the checkpoint is broken or packed already, RuntimeError when the disk is full; nothing is
 * left behind then.
 */
export async function quantizeCheckpoint(options: QuantizeOptions): Promise<Quantized> {
  const { model, signal, progress } = options;
  await expectEmpty(options.out);
  const configPath = join(model, 'config.json');
  const configJson = await readCheckpointJson(configPath);
  const config = parseModelConfig(configJson, configPath);
  const { hiddenSize } = config.text;
  if ((options.embeddings ?? 'none') !== 'none' && hiddenSize % BLOCK_SIZE !== 0) {
    throw new ConfigError({
      what: 'The embedding table of this model cannot be packed',
      got: `rows of ${hiddenSize}`,
      expected: `a multiple of ${BLOCK_SIZE}`,
      fix: 'leave out --embeddings',
    });
  }
  await using reader = await openModelFolder(model);
  const names = matchParameters(modelSpecs(config), reader.infos, model);
  await expectSameHead(reader, names, model);
  const targets = planTargets(config, reader, options, names.fileNames);
  const shards = planShards(targets);
  const matrices = new Map([...targets.values()].map(({ spec }) => [spec.name, spec.dims]));
  const total = [...matrices.values()].reduce((sum, dims) => sum + numElements(dims), 0);
  let done = 0;
  const report = (parameters: number): void => progress?.((done += parameters), total);
  await fillFolder(options.out, async (staging) => {
    const weightMap = new Map<string, string>();
    for (const [i, shard] of shards.entries()) {
      const file = shards.length === 1 ? SINGLE_FILE : shardName(i + 1, shards.length);
      for (const name of shard) weightMap.set(name, file);
      await writeShard(join(staging, file), shard, {
        targets,
        reader,
        report,
        ...(signal ? { signal } : {}),
      });
    }
    if (shards.length > 1) {
      const totalBytes = [...targets.values()].reduce((sum, t) => sum + sizeOf(t.description), 0);
      const index = encodeShardIndex({ weightMap, totalBytes });
      await writeFileAtomic(join(staging, INDEX_FILE), [index]);
    }
    for (const file of await readdir(model)) {
      const isOurs = file === HEAD_FILE || (COMPANIONS.test(file) && file !== 'config.json');
      if (isOurs) await copyPart(join(model, file), join(staging, file));
    }
    await writeJson(join(staging, 'config.json'), {
      ...configJson,
      // Other programs would take the missing matrices for new ones; this makes them stop.
      quantization_config: {
        quant_method: 'gapvl',
        ...{ bits: options.bits, symmetric: options.symmetric, block_size: BLOCK_SIZE },
      },
    });
  });
  const packed = [...targets.values()].filter((t) => t.packing);
  return {
    numPacked: new Set(packed.map(({ spec }) => spec.name)).size,
    bytesBefore: [...names.fileNames.values()].reduce((sum, name) => {
      const info = reader.infos.get(name);
      return sum + (info ? info.end - info.begin : 0);
    }, 0),
    bytesAfter: [...targets.values()].reduce((sum, t) => sum + sizeOf(t.description), 0),
  };
}

function shardName(index: number, count: number): string {
  const digits = (n: number): string => String(n).padStart(5, '0');
  return `model-${digits(index)}-of-${digits(count)}.safetensors`;
}

interface ShardWork {
  readonly targets: ReadonlyMap<string, Target>;
  readonly reader: TensorReader;
  readonly report: (parameters: number) => void;
  readonly signal?: AbortSignal;
}

/** Writes one file. A matrix is packed when its first part is due; the others wait in memory. */
async function writeShard(path: string, names: readonly string[], work: ShardWork): Promise<void> {
  const { targets, reader, report, signal } = work;
  const waiting = new Map<string, Uint8Array>();
  const target = (name: string): Target => {
    const found = targets.get(name);
    if (!found) throw new RangeError(`no target ${name}`);
    return found;
  };
  const produce = async function* (name: string): AsyncGenerator<Uint8Array> {
    const { packing, source, spec } = target(name);
    if (!packing) {
      for await (const piece of reader.pieces(source)) {
        signal?.throwIfAborted();
        yield piece;
      }
      report(numElements(spec.dims));
      return;
    }
    if (!waiting.has(name)) {
      const parts = await packMatrix(reader, { ...target(name), packing }, report, signal);
      for (const [part, bytes] of parts) waiting.set(part, bytes);
    }
    const bytes = waiting.get(name);
    waiting.delete(name);
    if (bytes) yield bytes;
  };
  const descriptions = new Map(names.map((name) => [name, target(name).description]));
  await writeSafetensorsStream(path, descriptions, produce, new Map([['format', 'pt']]));
}
