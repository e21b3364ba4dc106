// Owns reading weights of an open checkpoint when they are needed and no sooner; by-layer.ts calls it.
import type { TensorReader } from '../engine/safetensors.ts';
import {
  ELEMENT_SIZES,
  bf16ToF32,
  numElements,
  tensor,
  tensorFromBytes,
  toFloat32,
} from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { expectSameHead, matchParameters } from './parameter-names.ts';
import type { ParameterNames } from './parameter-names.ts';
import type { ParameterSpec } from './parameters.ts';

/** Weights on the disk under our names. What it hands out is the caller's to drop. */
export class LayerWeights {
  private readonly reader: TensorReader;
  private readonly names: ParameterNames;
  private readonly where: string;

  /**
   * Checks names and shapes of all parameters; reads none.
   * @param where - how messages call the checkpoint.
   * @throws CheckpointError when a parameter is missing, has another shape, or a tensor is none.
   */
  constructor(reader: TensorReader, specs: readonly ParameterSpec[], where: string) {
    this.reader = reader;
    this.names = matchParameters(specs, reader.infos, where);
    this.where = where;
  }

  /** Compares a head stored beside a tied table with it. @throws CheckpointError when it differs. */
  async expectSameHead(): Promise<void> {
    await expectSameHead(this.reader, this.names, this.where);
  }

  private fileName(name: string): string {
    return this.names.fileNames.get(name) ?? name;
  }

  /**
   * Reads parameters as f32, one after the other.
   * @param as - the names they are returned under, in the same order; default their own.
   */
  async read(
    specs: readonly ParameterSpec[],
    as: readonly ParameterSpec[] = specs,
  ): Promise<Record<string, Tensor>> {
    const read: Record<string, Tensor> = {};
    for (const [i, { name, dims }] of specs.entries()) {
      const stored = await this.reader.read(this.fileName(name));
      read[as[i]?.name ?? name] = tensor('f32', dims, toFloat32(stored));
    }
    return read;
  }

  /**
   * Reads parameters as f32 over what was read before, so that memory does not grow from layer to
   * layer: what came of an earlier call with the same memory is gone.
   * @param as - the names they are returned under, in the same order; memory is kept by them.
   */
  async readOver(
    memory: Map<string, Float32Array>,
    specs: readonly ParameterSpec[],
    as: readonly ParameterSpec[],
  ): Promise<Record<string, Tensor>> {
    const read: Record<string, Tensor> = {};
    for (const [i, { name, dims }] of specs.entries()) {
      const key = as[i]?.name ?? name;
      const size = numElements(dims);
      const known = memory.get(key);
      const target = known?.length === size ? known : new Float32Array(size);
      memory.set(key, target);
      await this.readAsF32(this.fileName(name), target);
      read[key] = tensor('f32', dims, target);
    }
    return read;
  }

  private async readAsF32(fileName: string, target: Float32Array): Promise<void> {
    const dtype = this.reader.infos.get(fileName)?.dtype ?? 'f32';
    let at = 0;
    for await (const piece of this.reader.pieces(fileName)) {
      const count = piece.byteLength / ELEMENT_SIZES[dtype];
      const part = target.subarray(at, at + count);
      if (dtype === 'bf16') {
        bf16ToF32(new Uint16Array(piece.buffer, piece.byteOffset, count), part);
      } else {
        part.set(toFloat32(tensorFromBytes(dtype, [count], piece)));
      }
      at += count;
    }
  }

  /** Reads single rows of a table [V, D] as f32, each once. */
  async rows(name: string, indices: Iterable<number>): Promise<Map<number, Float32Array>> {
    const rows = new Map<number, Float32Array>();
    for (const index of new Set(indices)) {
      rows.set(index, toFloat32(await this.reader.readRows(this.fileName(name), index, 1)));
    }
    return rows;
  }
}
