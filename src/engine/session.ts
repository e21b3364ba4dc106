// Owns running encoded graphs in ONNX Runtime: sessions, bound tensors, in-place outputs, live handles.

import * as ort from 'onnxruntime-node';
import { ConfigError, RuntimeError, ShapeError } from '../errors.ts';
import { tensor } from './tensor.ts';
import type { DType, Tensor } from './tensor.ts';

/** Execution providers a session can run on; `cpu` is always there. */
export type Device = 'cpu' | 'webgpu' | 'cuda' | 'coreml' | 'dml';

/** How a session runs. */
export interface SessionOptions {
  /** Threads inside one operator; default: all physical cores (ONNX Runtime's choice). */
  readonly threads?: number;
  readonly device?: Device;
  /** Let waiting threads spin: faster alone, ten times slower with other busy processes. Default true. */
  readonly spinning?: boolean;
  /** Path prefix: writes ONNX Runtime's profile there. */
  readonly profile?: string;
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

let liveSessions = 0;

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
  return new ort.Tensor(ORT_TYPES[value.dtype], value.data as never, value.dims);
}

function fromOrt(name: string, value: ort.Tensor): Tensor {
  const dtype = DTYPES.get(value.type);
  if (!dtype)
    throw new RuntimeError({
      what: `output ${name} has a type gapvl does not use`,
      got: value.type,
    });
  return tensor(dtype, value.dims, value.data as never);
}

/** A compiled graph. Dispose it (`await using`): its memory is outside of JavaScript's heap. */
export class Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  private readonly inner: ort.InferenceSession;
  private readonly boundInputs = new Map<string, ort.Tensor>();
  private readonly boundOutputs = new Map<string, ort.Tensor>();
  private disposed = false;

  private constructor(inner: ort.InferenceSession) {
    this.inner = inner;
    this.inputNames = inner.inputNames;
    this.outputNames = inner.outputNames;
    liveSessions += 1;
  }

  /** Compiles an encoded graph. */
  static async create(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    const device = options.device ?? 'cpu';
    const settings: ort.InferenceSession.SessionOptions = {
      executionProviders: device === 'cpu' ? ['cpu'] : [device],
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: options.spinning === false ? '0' : '1' } } },
    };
    if (options.threads !== undefined) settings.intraOpNumThreads = options.threads;
    if (options.profile !== undefined) {
      settings.enableProfiling = true;
      settings.profileFilePrefix = options.profile;
    }
    try {
      return new Session(await ort.InferenceSession.create(model, settings));
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      if (device !== 'cpu') {
        throw new ConfigError(
          {
            what: `device ${device} cannot run this graph here`,
            got,
            fix: 'run `gapvl doctor`, or use --device cpu',
          },
          cause,
        );
      }
      throw new RuntimeError({ what: 'ONNX Runtime refused a graph', got }, cause);
    }
  }

  /** Feeds this tensor to every run until bound anew; the data is not copied. */
  bindInput(name: string, value: Tensor): void {
    this.boundInputs.set(name, toOrt(name, value));
  }

  /** Makes every run write this output into the given tensor, in place. */
  bindOutput(name: string, value: Tensor): void {
    this.boundOutputs.set(name, toOrt(name, value));
  }

  /**
   * Runs once. Bound outputs are written in place and returned as they are; others are new
   * tensors owned by the caller. `wanted` limits the run to some outputs.
   */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    wanted?: readonly string[],
  ): Promise<Record<string, Tensor>> {
    const inputs: Record<string, ort.Tensor> = {};
    for (const name of this.inputNames) {
      const fed = feeds[name];
      const value = fed ? toOrt(name, fed) : this.boundInputs.get(name);
      if (!value) {
        throw new ShapeError({
          what: `input ${name} was neither fed nor bound`,
          got: Object.keys(feeds).join(', '),
        });
      }
      inputs[name] = value;
    }
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of wanted ?? this.outputNames)
      fetches[name] = this.boundOutputs.get(name) ?? null;
    let results: ort.InferenceSession.OnnxValueMapType;
    try {
      results = await this.inner.run(inputs, fetches);
    } catch (cause) {
      throw new RuntimeError(
        {
          what: 'a graph failed while running',
          got: cause instanceof Error ? cause.message : String(cause),
        },
        cause,
      );
    }
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => [name, fromOrt(name, value as ort.Tensor)]),
    );
  }

  /** Frees the native memory; a second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    liveSessions -= 1;
    await this.inner.release();
  }
}
