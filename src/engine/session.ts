// Owns running encoded graphs in ONNX Runtime: sessions, bound tensors, in-place outputs, live handles.

import { createRequire } from 'node:module';
import type * as ort from 'onnxruntime-node';
import { ConfigError, RuntimeError, ShapeError } from '../errors.ts';
import { checkBound, checkOutput, declaredSizes, readSymbols } from './declared-sizes.ts';
import type { DeclaredSizes, SymbolSizes } from './declared-sizes.ts';
import { deviceFault, missingProvider } from './device.ts';
import type { Device } from './device.ts';
import { ProfileFolder, cpuOperators } from './placement.ts';
import type { CpuOperators } from './placement.ts';
import { STOP_OUTPUT, encodeGraph } from './encode.ts';
import type { EncodedGraph } from './encode.ts';
import { Graph } from './graph.ts';
import { add } from './ops/elementwise.ts';
import { rewriteFor } from './rewrite.ts';
import { tensor } from './tensor.ts';
import type { DType, Tensor } from './tensor.ts';

export type { Device } from './device.ts';

/** How a session runs. */
export interface SessionOptions {
  /** Threads inside one operator; default: all physical cores (ONNX Runtime's choice). */
  readonly threads?: number;
  readonly device?: Device;
  /**
   * Let waiting threads spin. Default false, unlike ONNX Runtime's: spinning gained nothing alone
   * and costs up to a factor of ten beside other busy processes (docs/LOG.md).
   */
  readonly spinning?: boolean;
  /**
   * Let temporaries come from an arena that only grows. Default true; false gives them back after
   * every run, which costs little where operators are large.
   */
  readonly arena?: boolean;
  /**
   * Let runs after the first take all temporaries as one block planned from it. Default true; false
   * saves that block, which comes on top of the arena of the first run, at the same speed where
   * operators are large.
   */
  readonly memoryPattern?: boolean;
  /** Path prefix: writes ONNX Runtime's profile there, and nobody else looks where nodes ran. */
  readonly profile?: string;
}

/** What only the maker of a session knows about its graph. */
export interface GraphOptions {
  /** Lets arithmetic run on the CPU beside another device; `cpuOperators` then tells which. */
  readonly allowCpu?: boolean;
}

type OrtType = 'float32' | 'float64' | 'float16' | 'int64' | 'int32' | 'uint8' | 'bool';
const ORT_TYPES: Record<Exclude<DType, 'bf16'>, OrtType> = {
  f32: 'float32',
  f64: 'float64',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  u8: 'uint8',
  bool: 'bool',
};
const DTYPES = new Map<string, DType>(Object.entries(ORT_TYPES).map(([k, v]) => [v, k as DType]));

/** What onnxruntime-node says at an output that is a sequence, after the run. */
const NO_SEQUENCES = 'Non tensor type is temporarily not supported';

let liveSessions = 0;

/** Loaded by the first session: its libraries are large, and what computes nothing starts sooner. */
function runtime(): typeof ort {
  loaded ??= createRequire(import.meta.url)('onnxruntime-node') as typeof ort;
  return loaded;
}
let loaded: typeof ort | undefined;

/**
 * Makes sure that a device is here by computing two numbers on it.
 *
 * @throws ConfigError that says what is missing and what to install.
 */
export async function requireDevice(device: Device): Promise<void> {
  const graph = new Graph();
  const x = graph.input('x', 'float', [2]);
  graph.output('y', add(x, x));
  await using session = await Session.create(encodeGraph(graph), { device });
  await session.run({ x: tensor('f32', [2], Float32Array.of(1, 2)) });
}

/** Number of sessions not yet disposed; tests bring it back to zero. */
export function countLiveSessions(): number {
  return liveSessions;
}

function toOrt(name: string, value: Tensor): ort.Tensor {
  if (value.dtype === 'bf16') {
    throw new ShapeError({
      what: `tensor ${name} is bf16, a storage type`,
      fix: 'cast it to f32 first',
    });
  }
  if (value.dtype === 'f16') {
    // Node.js 24 has Float16Array, which onnxruntime-common then insists on and whose size
    // onnxruntime-node 1.30 reads as 0; raw bits under their own type name work everywhere.
    const bits = new (runtime().Tensor)('uint16', value.data as Uint16Array, value.dims);
    return Object.defineProperty(bits, 'type', { value: ORT_TYPES.f16 });
  }
  return new (runtime().Tensor)(ORT_TYPES[value.dtype], value.data as never, value.dims);
}

function fromOrt(name: string, value: ort.Tensor): Tensor {
  const dtype = DTYPES.get(value.type);
  if (!dtype)
    throw new RuntimeError({
      what: `output ${name} has a type gapvl does not use`,
      got: value.type,
    });
  return tensor(dtype, value.dims, rawBits(value.data) as never);
}

/** Half floats as raw bits, also where JavaScript has an array type for them (Node.js 24). */
function rawBits(data: ort.Tensor['data']): ort.Tensor['data'] {
  const isHalf = Object.prototype.toString.call(data) === '[object Float16Array]';
  if (!isHalf || !ArrayBuffer.isView(data)) return data;
  return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
}

/** A tensor and the same memory as ONNX Runtime sees it. */
interface Bound {
  readonly own: Tensor;
  readonly ort: ort.Tensor;
}

function requireName(name: string, known: readonly string[], what: 'input' | 'output'): void {
  if (known.includes(name)) return;
  throw new ShapeError({
    what: `the graph has no ${what} ${name}`,
    expected: known.join(', '),
  });
}

/** A compiled graph. Dispose it (`await using`): its memory is outside of JavaScript's heap. */
export class Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  private readonly inner: ort.InferenceSession;
  private readonly boundInputs = new Map<string, ort.Tensor>();
  private readonly boundOutputs = new Map<string, Bound>();
  private readonly inputSizes: DeclaredSizes;
  private readonly outputSizes: DeclaredSizes;
  private readonly device: Device;
  private readonly graph: GraphOptions;
  /** Whether a run can end before outputs are copied. */
  private readonly stops: boolean;
  /** Until the first run: where its profile goes, which tells on what device each node ran. */
  private placement: ProfileFolder | undefined;
  private placed: CpuOperators | undefined;
  private disposed = false;

  private constructor(
    inner: ort.InferenceSession,
    device: Device,
    graph: GraphOptions,
    placement: ProfileFolder | undefined,
  ) {
    this.inner = inner;
    this.device = device;
    this.graph = graph;
    this.placement = placement;
    this.inputNames = inner.inputNames;
    this.outputNames = inner.outputNames.filter((name) => name !== STOP_OUTPUT);
    this.stops = device === 'cpu' && inner.outputNames[0] === STOP_OUTPUT;
    this.inputSizes = declaredSizes(inner.inputMetadata);
    this.outputSizes = declaredSizes(inner.outputMetadata);
    liveSessions += 1;
  }

  /**
   * Compiles an encoded graph. On a device other than the CPU the first run checks that all
   * arithmetic ran there: ONNX Runtime puts operators without a kernel on the CPU and says nothing.
   *
   * @throws ConfigError when the device is not here, with what to install.
   */
  static async create(
    encoded: EncodedGraph,
    options: SessionOptions = {},
    graph: GraphOptions = {},
  ): Promise<Session> {
    const device = options.device ?? 'cpu';
    const missing = missingProvider(device);
    if (missing && device !== 'cpu') throw new ConfigError(missing);
    const settings: ort.InferenceSession.SessionOptions = {
      executionProviders: [device],
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      extra: {
        session: {
          intra_op: { allow_spinning: options.spinning === true ? '1' : '0' },
          ...(encoded.folder === undefined
            ? {}
            : { model_external_initializers_file_folder_path: encoded.folder }),
        },
      },
    };
    if (options.arena === false) settings.enableCpuMemArena = false;
    if (options.memoryPattern === false) settings.enableMemPattern = false;
    if (options.threads !== undefined) settings.intraOpNumThreads = options.threads;
    const isWatched = device !== 'cpu' && options.profile === undefined;
    const placement = isWatched ? await ProfileFolder.create() : undefined;
    const profile = options.profile ?? placement?.prefix;
    if (profile !== undefined) {
      settings.enableProfiling = true;
      settings.profileFilePrefix = profile;
    }
    try {
      const inner = await runtime().InferenceSession.create(
        rewriteFor(device, encoded.bytes),
        settings,
      );
      return new Session(inner, device, graph, placement);
    } catch (cause) {
      await placement?.drop();
      const got = cause instanceof Error ? cause.message : String(cause);
      if (device !== 'cpu') throw new ConfigError(deviceFault(device, got), cause);
      throw new RuntimeError({ what: 'ONNX Runtime refused a graph', got }, cause);
    }
  }

  /** After the first run on a device other than the CPU: what ran on the CPU all the same. */
  get cpuOperators(): CpuOperators | undefined {
    return this.placed;
  }

  /** Feeds this tensor to every run until bound anew; the data is not copied. */
  bindInput(name: string, value: Tensor): void {
    requireName(name, this.inputNames, 'input');
    this.boundInputs.set(name, toOrt(name, value));
  }

  /**
   * Makes every run write this output into the given tensor, in place. The memory may be that of
   * an input (an update in place) if nothing in the graph reads that input after the output is
   * written: the node that makes the output is the input's only reader, or depends on all others.
   */
  bindOutput(name: string, value: Tensor): void {
    requireName(name, this.outputNames, 'output');
    this.boundOutputs.set(name, { own: value, ort: toOrt(name, value) });
  }

  /**
   * Runs once. Bound outputs are written in place and returned as they are; others are new
   * tensors owned by the caller. `wanted` limits what comes back; ONNX Runtime computes all of the
   * graph in any case, so what is often wanted alone deserves a graph of its own. onnxruntime-node
   * copies every output once more, bound or not, so a graph should give out little.
   */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    wanted?: readonly string[],
  ): Promise<Record<string, Tensor>> {
    const inputs = this.gatherInputs(feeds);
    const sizes = this.symbolSizes(inputs);
    const names = wanted ?? this.outputNames;
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of names) {
      requireName(name, this.outputNames, 'output');
      const bound = this.boundOutputs.get(name);
      if (bound) checkBound(this.outputSizes, name, bound.own.dims, sizes);
      fetches[name] = bound?.ort ?? null;
    }
    const results = names.length === 0 ? {} : await this.runInner(inputs, fetches);
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => {
        const bound = this.boundOutputs.get(name)?.own;
        const result = bound ?? fromOrt(name, value);
        checkOutput(this.outputSizes, name, result.dims, sizes);
        return [name, result];
      }),
    );
  }

  /**
   * Runs once and writes the named outputs where they are bound. Of a graph encoded with `bound` this
   * costs no copies of them on the CPU. Numbers that stand alone are set to NaN before, so that a
   * runtime that stops too early cannot pass old ones off as results.
   */
  async runBound(feeds: Readonly<Record<string, Tensor>>, names: readonly string[]): Promise<void> {
    if (!this.stops) {
      await this.run(feeds, names);
      return;
    }
    const inputs = this.gatherInputs(feeds);
    const sizes = this.symbolSizes(inputs);
    const fetches: Record<string, ort.Tensor | null> = { [STOP_OUTPUT]: null };
    for (const name of names) {
      const bound = this.boundOutputs.get(name);
      if (!bound) throw new ShapeError({ what: `output ${name} is not bound` });
      checkBound(this.outputSizes, name, bound.own.dims, sizes);
      const { data } = bound.own;
      if (data instanceof Float32Array && data.length === 1) data.fill(NaN);
      fetches[name] = bound.ort;
    }
    try {
      await this.inner.run(inputs, fetches);
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      if (!got.includes(NO_SEQUENCES))
        throw new RuntimeError({ what: 'a graph failed while running', got }, cause);
    }
  }

  private symbolSizes(inputs: Readonly<Record<string, ort.Tensor>>): SymbolSizes {
    const dims = Object.entries(inputs).map(([name, value]) => [name, value.dims] as const);
    return readSymbols(this.inputSizes, new Map(dims));
  }

  private gatherInputs(feeds: Readonly<Record<string, Tensor>>): Record<string, ort.Tensor> {
    for (const name of Object.keys(feeds)) requireName(name, this.inputNames, 'input');
    const inputs: Record<string, ort.Tensor> = {};
    for (const name of this.inputNames) {
      const fed = feeds[name];
      const value = fed ? toOrt(name, fed) : this.boundInputs.get(name);
      if (!value) {
        throw new ShapeError({
          what: `input ${name} was neither fed nor bound`,
          got: [...Object.keys(feeds), ...this.boundInputs.keys()].join(', ') || 'nothing',
        });
      }
      inputs[name] = value;
    }
    return inputs;
  }

  private async runInner(
    inputs: Record<string, ort.Tensor>,
    fetches: Record<string, ort.Tensor | null>,
  ): Promise<ort.InferenceSession.OnnxValueMapType> {
    let results: ort.InferenceSession.OnnxValueMapType;
    try {
      results = await this.inner.run(inputs, fetches);
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      throw new RuntimeError({ what: 'a graph failed while running', got }, cause);
    }
    await this.checkPlacement();
    return results;
  }

  private async checkPlacement(): Promise<void> {
    if (!this.placement) return;
    const { placement } = this;
    this.placement = undefined;
    this.inner.endProfiling();
    this.placed = cpuOperators(await placement.take());
    const { arithmetic } = this.placed;
    if (arithmetic.length === 0 || this.graph.allowCpu === true) return;
    throw new RuntimeError({
      what: `device ${this.device} has no kernels for operators of this graph`,
      got: `${arithmetic.join(', ')} ran on the CPU`,
      expected: `all arithmetic on ${this.device}`,
      fix: '`gapvl doctor` lists what each device lacks; use --device cpu',
    });
  }

  /** Frees the native memory; a second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    liveSessions -= 1;
    await this.inner.release();
    await this.placement?.drop();
  }
}
