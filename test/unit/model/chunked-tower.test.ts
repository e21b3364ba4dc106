// Owns the checks of the chunked vision tower against the tower in one graph of plain operations.
import { describe, expect, it } from 'vitest';
import type { Raster } from '../../../src/data/raster.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { Session, countLiveSessions } from '../../../src/engine/session.ts';
import { ChunkedTower } from '../../../src/model/chunked-tower.ts';
import type { TowerStage } from '../../../src/model/chunked-tower.ts';
import type { VisionConfig } from '../../../src/model/config.ts';
import { visionFeeds } from '../../../src/model/feeds.ts';
import { declareParameters, visionSpecs } from '../../../src/model/parameters.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { declareVisionInputs, visionTower } from '../../../src/model/vision.ts';
import { visionSpans } from '../../../src/model/vision-spans.ts';
import type { Weights } from '../../../src/model/weights.ts';
import { patchify } from '../../../src/processor/patches.ts';
import type { Patches } from '../../../src/processor/patches.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { miniBundle, randomWeights } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const SIDES: readonly (readonly [width: number, height: number])[] = [
  [8, 8],
  [104, 72],
  [16, 16],
  [8, 120],
  [120, 96],
];

function draw(rng: Rng, [width, height]: readonly [number, number]): Raster {
  const data = Uint8Array.from({ length: width * height * 3 }, () => rng.int(256));
  return { width, height, data };
}

async function plain(
  config: VisionConfig,
  weights: Weights,
  patches: Patches,
): Promise<Float32Array> {
  const graph = new Graph();
  const parameters = declareParameters(graph, visionSpecs(config));
  const inputs = declareVisionInputs(graph, config, { kind: 'ragged' });
  graph.output('rows', visionTower(config, parameters, inputs));
  await using session = await Session.create(encodeGraph(graph, weights.constants), SESSION);
  const { pixelValues_PF, grids } = patches;
  const { rows } = await session.run(visionFeeds(config, pixelValues_PF, grids, 'ragged'));
  return rows?.data as Float32Array;
}

describe('the spans of a vision tower', () => {
  it('go from one whole-picture attention to the next', () => {
    const { vision } = miniBundle().checkpoint.config;
    const spans = (depth: number, fullAttentionBlocks: number[]) =>
      visionSpans({ ...vision, depth, fullAttentionBlocks });
    expect(spans(5, [1, 3])).toEqual([{ to: 1 }, { from: 1, to: 3 }, { from: 3 }]);
    expect(spans(2, [1, 0, 1])).toEqual([{ to: 0 }, { from: 0, to: 1 }, { from: 1 }]);
    expect(spans(2, [])).toEqual([{}]);
    expect(spans(2, [2])).toEqual([{}]);
  });
});

describe('a chunked vision tower', () => {
  it.each([
    { fullAttentionBlocks: [1, 3] },
    { fullAttentionBlocks: [0, 1, 2, 3] },
    { fullAttentionBlocks: [2] },
    { fullAttentionBlocks: [] },
  ])('gives what the plain tower gives, whole pictures in $fullAttentionBlocks', async (blocks) => {
    const before = countLiveSessions();
    const bundle = miniBundle({ window: 3 });
    const config: VisionConfig = { ...bundle.checkpoint.config.vision, depth: 4, ...blocks };
    const rng = new Rng('chunks');
    const weights = randomWeights(visionSpecs(config), rng);
    const pictures = SIDES.map((sides) => draw(rng, sides));
    await using tower = new ChunkedTower(config, weights, { ...SESSION, chunkPatches: 300 });
    const together = patchify(pictures, bundle.patches);
    const rows = await tower.encode(together);
    expect(relativeError(rows, await plain(config, weights, together))).toBeLessThan(1e-5);
    const compiled = countLiveSessions();
    let start = 0;
    for (const picture of pictures) {
      const patches = patchify([picture], bundle.patches);
      const alone = await tower.encode(patches);
      expect(relativeError(alone, await plain(config, weights, patches))).toBeLessThan(1e-5);
      expect(relativeError(alone, rows.subarray(start, start + alone.length))).toBeLessThan(1e-5);
      start += alone.length;
    }
    expect(start).toBe(rows.length);
    // Pictures of every size share what was compiled for the first.
    expect(countLiveSessions()).toBe(compiled);
    await tower[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(before);
  });
});

describe('ending a chunked encoding', () => {
  it('happens before the next chunk, with the reason of the signal', async () => {
    const bundle = miniBundle();
    const { config, weights } = bundle.checkpoint;
    const patches = patchify([draw(new Rng('end'), [104, 72])], bundle.patches);
    for (const last of ['span', 'attention'] as const) {
      const ending = new AbortController();
      const stages: TowerStage['kind'][] = [];
      const onStage = ({ kind }: TowerStage): void => {
        stages.push(kind);
        if (kind === last) ending.abort(new Error('enough'));
      };
      const options = { ...SESSION, onStage, signal: ending.signal };
      await using tower = new ChunkedTower(config.vision, weights, options);
      await expect(tower.encode(patches)).rejects.toThrow('enough');
      expect(stages.at(-1)).toBe(last);
    }
  });
});

describe('the picture encoder, over many pictures', () => {
  it('compiles spans once and runs large pictures one after the other', async () => {
    const bundle = miniBundle();
    const stages: TowerStage['kind'][] = [];
    const onStage = ({ kind }: TowerStage): number => stages.push(kind);
    await using encoder = new PictureEncoder(bundle, { ...SESSION, onStage });
    const rng = new Rng('many');
    const pictures = [draw(rng, [24, 8]), draw(rng, [360, 360]), draw(rng, [400, 400])];
    const rows = await encoder.encode(pictures);
    const run = ['span', 'attention', 'span'];
    expect(stages.filter((kind) => kind === 'compile')).toHaveLength(2);
    expect(stages.filter((kind) => kind !== 'compile')).toEqual([...run, ...run]);
    const alone = await encoder.encode(pictures.slice(2));
    expect(relativeError(rows.subarray(rows.length - alone.length), alone)).toBeLessThan(1e-6);
  });
});
