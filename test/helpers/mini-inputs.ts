// Owns named inputs of a forward pass for mini models; tests of whole and by-layer execution call it.
import { tensor } from '../../src/engine/tensor.ts';
import type { ModelConfig } from '../../src/model/config.ts';
import { int64Tensor } from '../../src/model/feeds.ts';
import type { ForwardInputs } from '../../src/model/forward.ts';
import type { Rng } from '../../src/rng.ts';
import { randomRows } from './mini-model.ts';

/** Rows of a batch. */
export interface MiniBatch {
  /** Text lengths before and after a picture of given merged sides, or text alone. */
  readonly rows: readonly { text: number; picture?: readonly [number, number] }[];
  readonly labels?: boolean;
}

/**
 * Rows padded on the left; every word but picture tokens and a row's first is a label. The first
 * has no token before it: padding would predict it, which sees nothing and hence has no gradient
 * that differences could find (its scores vanish beside the mask's number).
 */
export function makeInputs(config: ModelConfig, batch: MiniBatch, rng: Rng): ForwardInputs {
  const rows = batch.rows.map(({ text, picture }) => {
    const word = (): number => rng.int(config.tokens.image);
    const pads = picture ? Array<number>(picture[0] * picture[1]).fill(config.tokens.image) : [];
    const seen = picture ? [config.tokens.visionStart, ...pads] : [];
    return [word(), ...seen, ...Array.from({ length: text }, word)];
  });
  const length = Math.max(...rows.map((row) => row.length));
  const padded = rows.map((row) => [...Array<number>(length - row.length).fill(0), ...row]);
  const mask = rows.flatMap((row) => [
    ...Array<number>(length - row.length).fill(0),
    ...row.map(() => 1),
  ]);
  const ids = padded.flat();
  const grids = batch.rows.flatMap(({ picture }) =>
    picture ? [[1, 2 * picture[0], 2 * picture[1]]] : [],
  );
  const patches = grids.reduce((sum, [, h = 0, w = 0]) => sum + h * w, 0);
  const dims = [rows.length, length];
  const labels = ids.map((id, i) =>
    i % length > 0 && mask[i - 1] === 1 && id !== config.tokens.image ? id : -100,
  );
  return {
    input_ids: int64Tensor(dims, ids),
    attention_mask: int64Tensor(dims, mask),
    ...(batch.labels === false ? {} : { labels: int64Tensor(dims, labels) }),
    ...(grids.length === 0
      ? {}
      : {
          pixel_values: tensor('f32', [patches, 96], randomRows(rng, patches * 96)),
          image_grid_thw: int64Tensor([grids.length, 3], grids.flat()),
        }),
  };
}
