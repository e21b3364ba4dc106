// Owns turning pictures into their embeddings with a frozen vision tower; every folder below uses it.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { Session } from '../engine/session.ts';
import { numElements } from '../engine/tensor.ts';
import type { Raster } from '../data/raster.ts';
import { patchify } from '../processor/patches.ts';
import type { Patches } from '../processor/patches.ts';
import type { ModelBundle } from './bundle.ts';
import { ChunkedTower } from './chunked-tower.ts';
import type { ChunkedTowerOptions } from './chunked-tower.ts';
import { pictureLayout, visionFeeds } from './feeds.ts';
import { declareParameters, visionSpecs } from './parameters.ts';
import { declareVisionInputs, visionTower } from './vision.ts';
import type { PictureLayout } from './vision.ts';

/** Pictures run at once; ours: more does not get faster on two cores. */
const PICTURES_AT_ONCE = 32;
/** Patches run at once, unless one picture has more; ours: a quarter of the largest picture's. */
const PATCHES_AT_ONCE = 1 << 14;
/**
 * Parameters of a tower, and attention scores of a run, up to which a graph of the whole tower is
 * made for a layout. ours: such a graph is the fastest for many small equal pictures, but each
 * holds a copy of the weights and writes out all scores.
 */
const WHOLE_TOWER = { parameters: 1 << 24, scores: 1 << 24 } as const;

/** Pictures in runs of at most so many pictures and patches; a picture is never cut. */
function* runsOf(pictures: readonly Raster[], patchSize: number): Generator<readonly Raster[]> {
  let run: Raster[] = [];
  let patches = 0;
  for (const picture of pictures) {
    const own = (picture.width * picture.height) / patchSize ** 2;
    if (run.length === PICTURES_AT_ONCE || (run.length > 0 && patches + own > PATCHES_AT_ONCE)) {
      yield run;
      [run, patches] = [[], 0];
    }
    run.push(picture);
    patches += own;
  }
  if (run.length > 0) yield run;
}

/**
 * Encodes pictures; weights are copied in as constants. On the CPU memory is bounded: all but
 * small pictures of one size go through the tower in chunks. Dispose it.
 */
export class PictureEncoder implements AsyncDisposable {
  private readonly bundle: ModelBundle;
  private readonly options: ChunkedTowerOptions;
  private readonly sessions = new Map<string, Session>();
  private readonly tower: ChunkedTower;

  constructor(bundle: ModelBundle, options: ChunkedTowerOptions = {}) {
    const { config, weights } = bundle.checkpoint;
    this.bundle = bundle;
    this.options = options;
    this.tower = new ChunkedTower(config.vision, weights, options);
  }

  private async session(layout: PictureLayout): Promise<Session> {
    const key = JSON.stringify(layout);
    const known = this.sessions.get(key);
    if (known) return known;
    const { config, weights } = this.bundle.checkpoint;
    const graph = new Graph();
    const parameters = declareParameters(graph, visionSpecs(config.vision), weights.packings);
    const inputs = declareVisionInputs(graph, config.vision, layout);
    graph.output('picture_embeddings', visionTower(config.vision, parameters, inputs));
    const session = await Session.create(encodeGraph(graph, weights.constants), this.options);
    this.sessions.set(key, session);
    return session;
  }

  /** Whether these pictures go through a graph of the whole tower, made for their layout. */
  private isWhole(layout: PictureLayout, { grids, numPatches }: Patches): boolean {
    if ((this.options.device ?? 'cpu') !== 'cpu') return true;
    if (layout.kind !== 'uniform' || grids.length === 1) return false;
    const { vision } = this.bundle.checkpoint.config;
    const parameters = visionSpecs(vision).reduce((sum, { dims }) => sum + numElements(dims), 0);
    const scores = vision.numHeads * numPatches * layout.pictureLength;
    return parameters <= WHOLE_TOWER.parameters && scores <= WHOLE_TOWER.scores;
  }

  private async encodeRun(patches: Patches): Promise<Float32Array> {
    const { vision } = this.bundle.checkpoint.config;
    const layout = pictureLayout(vision, patches.grids);
    if (!this.isWhole(layout, patches)) return this.tower.encode(patches);
    const session = await this.session(layout);
    const feeds = visionFeeds(vision, patches.pixelValues_PF, patches.grids, layout.kind);
    const { picture_embeddings: rows } = await session.run(feeds);
    return rows?.data as Float32Array;
  }

  /** Embeddings [M, D] of pictures whose sides are multiples of patch x merge, one after the other. */
  async encode(pictures: readonly Raster[]): Promise<Float32Array> {
    const width = this.bundle.checkpoint.config.text.hiddenSize;
    const parts: Float32Array[] = [];
    for (const run of runsOf(pictures, this.bundle.patches.patchSize))
      parts.push(await this.encodeRun(patchify(run, this.bundle.patches)));
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    if (all.length % width !== 0) throw new RangeError('picture embeddings have a wrong width');
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
    this.sessions.clear();
    await this.tower[Symbol.asyncDispose]();
  }
}
