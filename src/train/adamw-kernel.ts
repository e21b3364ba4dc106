// Owns AdamW on the CPU: one pass over weights, moments and gradients in pieces that stay in a cache,
// by the WebAssembly of adamw.wat; optimizer.ts calls it.
import { instantiate } from '../engine/wasm.ts';
import type { WasmMemory } from '../engine/wasm.ts';
import { ADAMW_WASM } from './adamw-wasm.ts';

/** The factors of one update; each is rounded to f32. */
export interface UpdateFactors {
  readonly gradientScale: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** 1 over the square root of the second moment's bias correction. */
  readonly secondCorrection: number;
  /** Learning rate over the first moment's bias correction. */
  readonly stepSize: number;
  /** 1 - learning rate x weight decay. */
  readonly decay: number;
}

interface Exports {
  readonly memory: WasmMemory;
  /** Addresses in bytes; the count is a multiple of LANES. */
  readonly update: (
    weights: number,
    first: number,
    second: number,
    gradients: number,
    count: number,
    gradientScale: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    correction: number,
    epsilon: number,
    stepSize: number,
    decay: number,
  ) => void;
  readonly sumOfSquares: (at: number, count: number) => number;
}

const LANES = 4;
/** Numbers of a piece; ours: four arrays of them fill the module's 128 KB, a part of the L2 cache. */
const PIECE = 8192;

interface Kernel extends Exports {
  /** Rooms for pieces: weights, first and second moments, gradients. */
  readonly rooms: readonly [Float32Array, Float32Array, Float32Array, Float32Array];
}

let opened: Kernel | undefined;

function openKernel(): Kernel {
  if (opened) return opened;
  const instance = instantiate(ADAMW_WASM) as Exports;
  const room = (at: number): Float32Array =>
    new Float32Array(instance.memory.buffer, 4 * PIECE * at, PIECE);
  opened = { ...instance, rooms: [room(0), room(1), room(2), room(3)] };
  return opened;
}

function padded(count: number): number {
  return Math.ceil(count / LANES) * LANES;
}

/** The sum of the squares of an array, in doubles. */
export function sumOfSquares(values: Float32Array): number {
  const { sumOfSquares: ofPiece, rooms } = openKernel();
  const [room] = rooms;
  let total = 0;
  for (let at = 0; at < values.length; at += PIECE) {
    const piece = values.subarray(at, at + PIECE);
    room.set(piece);
    room.fill(0, piece.length, padded(piece.length));
    total += ofPiece(room.byteOffset, padded(piece.length));
  }
  return total;
}

/** Updates weights and moments in place. */
export function updateAdamW(
  weights: Float32Array,
  first: Float32Array,
  second: Float32Array,
  gradients: Float32Array,
  factors: UpdateFactors,
): void {
  const { update, rooms } = openKernel();
  const arrays = [weights, first, second, gradients] as const;
  const [toWeights, toFirst, toSecond, toGradients] = rooms;
  for (let at = 0; at < weights.length; at += PIECE) {
    const pieces = arrays.map((array) => array.subarray(at, at + PIECE));
    const count = pieces[0]?.length ?? 0;
    pieces.forEach((piece, i) => {
      rooms[i]?.set(piece);
    });
    // What lies behind a short last piece is updated too and read by nobody.
    update(
      toWeights.byteOffset,
      toFirst.byteOffset,
      toSecond.byteOffset,
      toGradients.byteOffset,
      padded(count),
      factors.gradientScale,
      factors.beta1,
      1 - factors.beta1,
      factors.beta2,
      1 - factors.beta2,
      factors.secondCorrection,
      factors.epsilon,
      factors.stepSize,
      factors.decay,
    );
    const isWhole = count === PIECE;
    pieces.slice(0, 3).forEach((piece, i) => {
      const room = rooms[i] as Float32Array;
      piece.set(isWhole ? room : room.subarray(0, count));
    });
  }
}
