// Tests the index tables fed to graphs, and the flat memory of weights, with worked examples.
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../../src/errors.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import { pictureLayout, placementFeeds, placesOf, visionFeeds } from '../../../src/model/feeds.ts';
import { forwardFeeds } from '../../../src/model/forward.ts';
import { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { makeInputs } from '../../helpers/mini-inputs.ts';
import { miniConfigJson } from '../../helpers/mini-model.ts';

const CONFIG = parseModelConfig(miniConfigJson({ window: 2 }), 'the mini model');

function numbers(found: { readonly data: ArrayLike<number | bigint> } | undefined): number[] {
  return Array.from(found?.data ?? [], Number);
}

describe('placementFeeds', () => {
  it('gives the worked example: 4 places, rows at 2 and 1', () => {
    const { rows_to, rows_back } = placementFeeds('rows', 2, 2, Int32Array.of(2, 1));
    expect(numbers(rows_to)).toEqual([2, 1, 0, 2]);
    expect(rows_to?.dims).toEqual([2, 2]);
    expect(numbers(rows_back)).toEqual([2, 1]);
  });

  it('puts no rows nowhere', () => {
    const { rows_to, rows_back } = placementFeeds('rows', 1, 3, new Int32Array(0));
    expect(numbers(rows_to)).toEqual([0, 0, 0]);
    expect(rows_back?.dims).toEqual([0]);
    expect([...placesOf([5, 9, 5, 1], 5)]).toEqual([0, 2]);
  });
});

describe('the layout of pictures', () => {
  it('is uniform for equal pictures of whole windows, ragged otherwise', () => {
    const uniform = { kind: 'uniform', windowLength: 16, pictureLength: 32 };
    expect(
      pictureLayout(CONFIG.vision, [
        [1, 4, 8],
        [1, 4, 8],
      ]),
    ).toEqual(uniform);
    expect(
      pictureLayout(CONFIG.vision, [
        [1, 4, 8],
        [1, 8, 4],
      ]),
    ).toEqual(uniform);
    expect(pictureLayout(CONFIG.vision, [[1, 4, 6]])).toEqual({ kind: 'ragged' });
    expect(
      pictureLayout(CONFIG.vision, [
        [1, 4, 4],
        [1, 4, 8],
      ]),
    ).toEqual({ kind: 'ragged' });
    expect(pictureLayout(CONFIG.vision, [])).toEqual({ kind: 'ragged' });
  });

  it('puts patches in window order with their positions, and says how to undo it', () => {
    // 2 x 3 merged tokens of 4 patches; windows take units 0 1 3 4, then 2 5.
    const pixels = Float32Array.from({ length: 24 }, (_, patch) => patch);
    const feeds = visionFeeds(CONFIG.vision, pixels, [[1, 4, 6]], 'ragged');
    const patches = [0, 1, 3, 4, 2, 5].flatMap((unit) => [0, 1, 2, 3].map((i) => 4 * unit + i));
    expect(numbers(feeds['pixel_values'])).toEqual(patches);
    expect(numbers(feeds['merged_order'])).toEqual([0, 1, 4, 2, 3, 5]);
    expect(numbers(feeds['merged_back'])).toEqual([0, 1, 3, 4, 2, 5]);
    // Patch 8 is the first of unit 2: row 0, column 4; it comes at place 16.
    expect(numbers(feeds['patch_positions']).slice(32, 34)).toEqual([0, 4]);
    // Windows of 16 and 8 patches; 24 marks padding.
    expect(feeds['window_to']?.dims).toEqual([2, 16]);
    expect(numbers(feeds['window_to']).slice(16)).toEqual([
      16,
      17,
      18,
      19,
      20,
      21,
      22,
      23,
      ...Array<number>(8).fill(24),
    ]);
    expect(numbers(feeds['picture_back'])).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  it('refuses pixels that do not fit the grids', () => {
    expect(() => visionFeeds(CONFIG.vision, new Float32Array(25), [[1, 4, 6]], 'ragged')).toThrow(
      ShapeError,
    );
  });
});

describe('the feeds of a batch', () => {
  it('refuse picture tokens that do not match the pictures', () => {
    const inputs = makeInputs(CONFIG, { rows: [{ text: 3, picture: [2, 2] }] }, new Rng(1));
    const [first, ...others] = numbers(inputs.input_ids);
    const missing = {
      ...inputs.input_ids,
      data: BigInt64Array.from(
        [first ?? 0, ...others].map((id) => BigInt(id === CONFIG.tokens.image ? 1 : id)),
      ),
    };
    expect(() => forwardFeeds(CONFIG, { ...inputs, input_ids: missing })).toThrow();
    const mask = { ...inputs.input_ids, dims: [1, 2], data: BigInt64Array.of(1n, 1n) };
    expect(() => forwardFeeds(CONFIG, { ...inputs, attention_mask: mask })).toThrow(ShapeError);
  });
});

describe('weights', () => {
  const specs = [
    { name: 'a', dims: [2, 2] },
    { name: 'b', dims: [3] },
    { name: 'c', dims: [] },
  ];
  const [a, b, c] = specs;
  if (!a || !b || !c) throw new Error('three specs');

  it('are views of one flat array, one after the other', () => {
    const weights = new Weights(specs);
    weights.flat.set([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...weights.get('b').data]).toEqual([5, 6, 7]);
    weights.get('a').data[1] = 20;
    expect(weights.flat[1]).toBe(20);
    const copy = weights.clone();
    copy.flat[1] = 0;
    expect(weights.flat[1]).toBe(20);
    expect(() => weights.get('d')).toThrow(/no parameter is called d/);
  });

  it('give stretches of neighbours as one array, and refuse others', () => {
    const weights = new Weights(specs, Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]));
    expect([...weights.range([b, c])]).toEqual([5, 6, 7, 8]);
    expect([...weights.range([])]).toEqual([]);
    expect(() => weights.range([a, c])).toThrow(/side by side/);
    expect(() => weights.range([b, a])).toThrow(/side by side/);
  });
});
