// Owns taking many batches through the layers of a model on the disk, each layer read once for all
// of them; frozen-backbone.ts calls it.
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { STATE, encodeForward } from './layer-graphs.ts';
import type { Stage } from './layer-graphs.ts';
import { f32 } from './layer-run.ts';
import type { Layer, NamedTensors } from './layer-run.ts';
import type { LayerWeights } from './layer-weights.ts';

/** One batch on its way through the layers. */
export interface SweptBatch {
  /** What the graphs of the layers read beside weights and state; more may be there. */
  readonly feeds: NamedTensors;
  /** State before the first layer; absent when that layer reads pixels. */
  readonly first?: Tensor<'f32'>;
}

/** How layers are swept. */
export interface SweepOptions extends SessionOptions {
  readonly signal?: AbortSignal;
}

/**
 * The state of each batch after the last layer. Memory: the weights of one layer, which every layer
 * fills anew, one compiled graph, and one state a batch.
 */
export async function sweepLayers(
  layers: readonly Layer[],
  weights: LayerWeights,
  batches: readonly SweptBatch[],
  options: SweepOptions = {},
): Promise<Tensor<'f32'>[]> {
  let states: (Tensor<'f32'> | undefined)[] = batches.map(({ first }) => first);
  let open: { readonly stage: Stage; readonly session: Session } | undefined;
  const close = async (): Promise<void> => {
    await open?.session[Symbol.asyncDispose]();
    open = undefined;
  };
  const memory = new Map<string, Float32Array>();
  try {
    for (const { stage, specs } of layers) {
      if (open?.stage !== stage) {
        await close();
        open = { stage, session: await Session.create(encodeForward(stage), options) };
      }
      const { session } = open;
      const read = await weights.readOver(memory, specs, stage.specs);
      const after: Tensor<'f32'>[] = [];
      for (const [i, { feeds }] of batches.entries()) {
        options.signal?.throwIfAborted();
        const before = states[i];
        const names = session.inputNames.filter((name) => name in feeds);
        const own = Object.fromEntries(names.map((name) => [name, feeds[name] as Tensor]));
        const given = before ? { [STATE.before]: before } : {};
        const results = await session.run({ ...own, ...given, ...read });
        after.push(f32(results[STATE.after], STATE.after));
      }
      states = after;
    }
  } finally {
    await close();
  }
  return states.map((state) => f32(state, STATE.after));
}
