// Owns the WebAssembly instance that runs kernel.wat and its memory; called by resize.ts and patches.ts.
import { instantiate } from '../engine/wasm.ts';
import type { WasmMemory } from '../engine/wasm.ts';
import { KERNEL_WASM } from './kernel-wasm.ts';

/** The functions of kernel.wat, where each is explained; addresses and strides are in bytes. */
export interface Kernel {
  readonly resampleWidth: (
    from: number,
    fromStride: number,
    to: number,
    toStride: number,
    rows: number,
    records: number,
    record: number,
    width: number,
  ) => void;
  readonly resampleHeight: (
    from: number,
    fromStride: number,
    to: number,
    length: number,
    rows: number,
    records: number,
    record: number,
  ) => void;
  readonly cutPatch: (
    from: number,
    stride: number,
    to: number,
    side: number,
    frames: number,
  ) => void;
}

interface Exports extends Kernel {
  readonly memory: WasmMemory;
}

const PAGE_BYTES = 65_536;
let instance: Exports | undefined;

/**
 * The kernel and the first bytes of its memory, at least as many as asked for. Both are one for
 * all callers, whose calls do not overlap: what lies in the memory holds until the next call.
 * It grows and is never given back, so callers work in strips.
 */
export function openKernel(numBytes: number): { kernel: Kernel; buffer: ArrayBuffer } {
  instance ??= instantiate(KERNEL_WASM) as Exports;
  const { memory } = instance;
  const lacking = numBytes - memory.buffer.byteLength;
  if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE_BYTES));
  return { kernel: instance, buffer: memory.buffer };
}
