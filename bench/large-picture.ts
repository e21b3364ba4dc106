// Measures memory and time of the largest picture through a vision tower of 7B width; run `npx tsx bench/large-picture.ts [part ...]`.
//
// Weights are random bf16 in a model folder of their own, opened as any folder is. Each part is a
// fresh process: `large` encodes the picture with a tower of 4 blocks, one of them over the whole
// picture, and tells the peak of resident memory (VmHWM, mapped weights included) and the time of
// each stage, from which that of 32 blocks is computed; `repeated` encodes a smaller picture
// several times and tells resident memory after each; `true-depth` has all 32 blocks resident after
// a small picture, and takes the large one into its first whole-picture attention for a while,
// behind which no more memory is asked for (the four blocks over the whole picture are moved
// forward, so that the first comes soon); `all-blocks` takes the true order to the end, for the
// better part of an hour. Default: the first three. With --out each part replaces its own in a file. Last line
// JSON.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fitPicture } from '../src/context/prepared.ts';
import type { Raster } from '../src/data/raster.ts';
import { writeSafetensorsStream } from '../src/engine/safetensors-writer.ts';
import { f32ToBf16, numElements } from '../src/engine/tensor.ts';
import type { TowerStage } from '../src/model/chunked-tower.ts';
import { parseModelConfig } from '../src/model/config.ts';
import type { JsonObject } from '../src/model/config.ts';
import { modelSpecs, visionSpecs } from '../src/model/parameters.ts';
import { PictureEncoder } from '../src/model/picture-encoder.ts';
import { tinyConfigJson } from '../src/model/tiny.ts';
import { QWEN_MAX_PIXELS, QWEN_MIN_PIXELS, smartResize } from '../src/processor/resize.ts';
import { buildTinyTokenizer } from '../src/processor/tiny-tokenizer.ts';
import { createTokenizer } from '../src/processor/tokenizer.ts';
import { chatTokenIds } from '../src/processor/tokens.ts';
import { Rng } from '../src/rng.ts';
import { openModelBundle, writeCompanions } from '../src/store/model-folder.ts';

/** Source: vision_config of Qwen2.5-VL-7B-Instruct. */
const TOWER = {
  hidden_size: 1280,
  intermediate_size: 3420,
  num_heads: 16,
  patch_size: 14,
  spatial_merge_size: 2,
  window_size: 112,
  out_hidden_size: 3584,
};
const TRUE_DEPTH = 32;
const TRUE_FULL_BLOCKS = [7, 15, 23, 31];
/** As many, as far apart. */
const EARLY_FULL_BLOCKS = [0, 8, 16, 24];
/** Of the first whole-picture attention in `true-depth`. */
const SECONDS_OF_ATTENTION = 30;
const LARGE = { width: 4024, height: 3503 };
const SMALL = { width: 1000, height: 870 };
const TINY = { width: 280, height: 224 };
const REPEATS = 3;
const LIMIT_MB = 6000;
/** Values of random weights before they repeat; a prime, so that no two rows are the same. */
const POOL = 1_000_003;
const STRIDE = 7919;
const STD = 0.02;

const PARTS = {
  repeated: { depth: 4, fullBlocks: [1] },
  large: { depth: 4, fullBlocks: [1] },
  'true-depth': { depth: TRUE_DEPTH, fullBlocks: EARLY_FULL_BLOCKS },
  'all-blocks': { depth: TRUE_DEPTH, fullBlocks: TRUE_FULL_BLOCKS },
} as const;
type Part = keyof typeof PARTS;
const DEFAULT_PARTS: readonly Part[] = ['repeated', 'large', 'true-depth'];

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '2' },
    out: { type: 'string' },
    folder: { type: 'string' },
  },
});
const threads = Number(flags.threads);

/** The tower with a decoder of one small layer. */
function configJson({ depth, fullBlocks }: (typeof PARTS)[Part]): {
  json: JsonObject;
  files: ReturnType<typeof buildTinyTokenizer>;
} {
  const files = buildTinyTokenizer([]);
  const ids = chatTokenIds(createTokenizer(files.tokenizerJson, files.tokenizerConfig));
  const tiny = tinyConfigJson({
    vocabSize: files.numTokens,
    image: ids.imagePad,
    video: ids.imagePad,
    visionStart: ids.visionStart,
    visionEnd: ids.visionStart,
    endOfTurn: ids.visionStart,
    pad: ids.visionStart,
  });
  const json = {
    ...tiny,
    hidden_size: TOWER.out_hidden_size,
    num_hidden_layers: 1,
    num_attention_heads: 112,
    num_key_value_heads: 1,
    vision_config: {
      ...(tiny['vision_config'] as JsonObject),
      ...TOWER,
      spatial_patch_size: TOWER.patch_size,
      depth,
      fullatt_block_indexes: fullBlocks,
    },
  };
  return { json, files };
}

async function writeModel(folder: string, part: Part): Promise<void> {
  const { json, files } = configJson(PARTS[part]);
  const specs = modelSpecs(parseModelConfig(json, 'the bench'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(json));
  await writeCompanions(folder, { tokenizer: files, preprocessor: {} });
  const rng = new Rng('large picture');
  const pool = f32ToBf16(Float32Array.from({ length: POOL }, () => rng.normal() * STD));
  const ones = f32ToBf16(new Float32Array(TOWER.out_hidden_size).fill(1));
  const bytes = (bits: Uint16Array): Uint8Array =>
    new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
  function* pieces(name: string): Generator<Uint8Array> {
    const index = specs.findIndex((spec) => spec.name === name);
    const size = numElements(specs[index]?.dims ?? []);
    const from = /norm|ln_q/.test(name) ? ones : pool;
    // No two tensors start alike.
    for (let done = 0, at = (index * STRIDE) % from.length; done < size; at = 0) {
      const piece = from.subarray(at, Math.min(from.length, at + size - done));
      yield bytes(piece);
      done += piece.length;
    }
  }
  const descriptions = new Map(
    specs.map(({ name, dims }) => [name, { dtype: 'bf16' as const, dims }]),
  );
  await writeSafetensorsStream(join(folder, 'model.safetensors'), descriptions, pieces);
}

function residentMb(field: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`${field}:\\s*(\\d+) kB`).exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  return Math.round((Number(found?.[1]) * 1024) / 1e6);
}

interface StageTime {
  readonly stage: TowerStage;
  readonly seconds: number;
  /** Of the processor, all threads together: what others on the machine do not change much. */
  readonly cpuSeconds: number;
  /** Resident when it ended. */
  readonly residentMb: number;
}

interface Encoded {
  readonly depth: number;
  readonly fullBlocks: readonly number[];
  readonly threads: number;
  /** Of the last picture. */
  readonly tokens: number;
  readonly patches: number;
  readonly startMb: number;
  readonly peakMb: number;
  /** After each picture that went to the end. */
  readonly residentMb: readonly number[];
  readonly seconds: number;
  /** Reckoned, not measured. */
  readonly computedCpuSecondsOfLargeAtDepth32: number | undefined;
  readonly loads: readonly number[];
  readonly stages: readonly StageTime[];
}

function draw({ width, height }: { width: number; height: number }): Raster {
  const rng = new Rng('picture');
  const line = Uint8Array.from({ length: width * 3 + 997 }, () => rng.int(256));
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = (y * 31) % 997;
    data.set(line.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, data };
}

async function measure(folder: string, part: Part): Promise<Encoded> {
  const bundle = await openModelBundle(folder);
  const stages: StageTime[] = [];
  let open: { stage: TowerStage; since: number; cpu: NodeJS.CpuUsage } | undefined;
  const enough = new AbortController();
  let endsEarly = false;
  const close = (): void => {
    if (!open) return;
    const seconds = (performance.now() - open.since) / 1000;
    const { user, system } = process.cpuUsage(open.cpu);
    const cpuSeconds = (user + system) / 1e6;
    stages.push({ stage: open.stage, seconds, cpuSeconds, residentMb: residentMb('VmRSS') });
    console.error(JSON.stringify({ ...stages.at(-1), peakMb: residentMb('VmHWM') }));
    open = undefined;
  };
  const onStage = (stage: TowerStage): void => {
    close();
    open = { stage, since: performance.now(), cpu: process.cpuUsage() };
    if (endsEarly && stage.kind === 'attention')
      setTimeout(() => enough.abort(), SECONDS_OF_ATTENTION * 1000);
  };
  await using encoder = new PictureEncoder(bundle, { threads, onStage, signal: enough.signal });
  const resident: number[] = [];
  let tokens = 0;
  const encode = async (picture: Raster): Promise<void> => {
    tokens = (picture.width * picture.height) / (TOWER.patch_size * TOWER.spatial_merge_size) ** 2;
    const rows = await encoder.encode([picture]);
    close();
    if (!rows.every(Number.isFinite)) throw new Error('an embedding is not finite');
    if (rows.length !== tokens * TOWER.out_hidden_size) throw new Error('a token is missing');
    resident.push(residentMb('VmRSS'));
  };
  const startMb = residentMb('VmRSS');
  const start = performance.now();
  if (part === 'repeated') {
    const small = fitPicture(bundle, draw(SMALL));
    for (let call = 0; call < REPEATS; call++) await encode(small);
  } else {
    if (part === 'true-depth') await encode(fitPicture(bundle, draw(TINY)));
    endsEarly = part === 'true-depth';
    try {
      await encode(fitPicture(bundle, draw(LARGE)));
    } catch (thrown) {
      if (!enough.signal.aborted) throw thrown;
      close();
    }
  }
  const seconds = (performance.now() - start) / 1000;
  const { depth, fullBlocks } = PARTS[part];
  const memory = { startMb, peakMb: residentMb('VmHWM'), residentMb: resident };
  const isWhole = part === 'large' || part === 'repeated';
  const computed = isWhole ? ofTrueDepth(stages, 4 * tokens, resident.length) : undefined;
  const shape = { depth, fullBlocks, threads, tokens, patches: 4 * tokens };
  return {
    ...shape,
    ...memory,
    seconds,
    computedCpuSecondsOfLargeAtDepth32: computed,
    loads: loadavg(),
    stages,
  };
}

/**
 * Processor seconds of the large picture at the true depth: spans go with patches and weights,
 * attention with the square of patches and its blocks.
 */
function ofTrueDepth(stages: readonly StageTime[], patches: number, calls: number): number {
  const weights = (depth: number): number => {
    const { vision } = parseModelConfig(configJson(PARTS.large).json, 'the bench');
    const specs = visionSpecs({ ...vision, depth });
    return specs.reduce((sum, { dims }) => sum + numElements(dims), 0);
  };
  const spent = (kind: TowerStage['kind']): number =>
    stages.reduce((sum, { stage, cpuSeconds }) => sum + (stage.kind === kind ? cpuSeconds : 0), 0);
  const more = largePatches() / patches;
  const deeper = weights(TRUE_DEPTH) / weights(PARTS.large.depth);
  const blocks = TRUE_FULL_BLOCKS.length / PARTS.large.fullBlocks.length;
  return (spent('span') * more * deeper + spent('attention') * more ** 2 * blocks) / calls;
}

function largePatches(): number {
  const factor = TOWER.patch_size * TOWER.spatial_merge_size;
  const { width, height } = LARGE;
  const size = smartResize(height, width, factor, QWEN_MIN_PIXELS, QWEN_MAX_PIXELS);
  return (size.width * size.height) / TOWER.patch_size ** 2;
}

async function inFreshProcess(part: Part): Promise<Encoded> {
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-large-picture-'));
  try {
    await writeModel(folder, part);
    const self = fileURLToPath(import.meta.url);
    const { stdout, status } = spawnSync(
      process.execPath,
      [...process.execArgv, self, part, '--folder', folder, '--threads', String(threads)],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    if (status !== 0) throw new Error(`a benchmark process ended with ${String(status)}`);
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Encoded;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function parent(parts: readonly Part[]): Promise<void> {
  const { out } = flags;
  let results: Record<string, unknown> =
    out !== undefined && existsSync(out)
      ? (JSON.parse(readFileSync(out, 'utf8')) as Record<string, unknown>)
      : {};
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism() };
  const pictures = { large: LARGE, small: SMALL, tiny: TINY };
  for (const part of parts) {
    const found = await inFreshProcess(part);
    if (found.peakMb > LIMIT_MB) process.exitCode = 1;
    results = { ...results, ...{ bench: 'large-picture', limitMb: LIMIT_MB, machine, pictures } };
    results[part] = found;
    if (out !== undefined) writeFileSync(out, `${JSON.stringify(results)}\n`);
  }
  console.log(JSON.stringify(results));
}

const asked = positionals.map((name): Part => {
  if (name in PARTS) return name as Part;
  throw new Error(`there is no part ${name}; parts are ${Object.keys(PARTS).join(', ')}`);
});
const [only] = asked;
if (flags.folder !== undefined && only)
  console.log(JSON.stringify(await measure(flags.folder, only)));
else await parent(asked.length > 0 ? asked : DEFAULT_PARTS);
