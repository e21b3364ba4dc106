// Owns turning pictures into their embeddings with a frozen vision tower; every folder below uses it.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { Raster } from '../data/raster.ts';
import { patchify } from '../processor/patches.ts';
import type { ModelBundle } from './bundle.ts';
import { pictureLayout, visionFeeds } from './feeds.ts';
import { declareParameters, visionSpecs } from './parameters.ts';
import { declareVisionInputs, visionTower } from './vision.ts';
import type { PictureLayout } from './vision.ts';

/** Pictures run at once; ours: more does not get faster on two cores. */
const PICTURES_AT_ONCE = 32;

/** Encodes pictures; compiled once a layout, weights copied in as constants. Dispose it. */
export class PictureEncoder implements AsyncDisposable {
  private readonly bundle: ModelBundle;
  private readonly options: SessionOptions;
  private readonly sessions = new Map<string, Session>();

  constructor(bundle: ModelBundle, options: SessionOptions = {}) {
    this.bundle = bundle;
    this.options = options;
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

  /** Embeddings [M, D] of pictures whose sides are multiples of patch x merge, one after the other. */
  async encode(pictures: readonly Raster[]): Promise<Float32Array> {
    const width = this.bundle.checkpoint.config.text.hiddenSize;
    const parts: Float32Array[] = [];
    for (let start = 0; start < pictures.length; start += PICTURES_AT_ONCE) {
      const patches = patchify(
        pictures.slice(start, start + PICTURES_AT_ONCE),
        this.bundle.patches,
      );
      const { vision } = this.bundle.checkpoint.config;
      const layout = pictureLayout(vision, patches.grids);
      const session = await this.session(layout);
      const feeds = visionFeeds(vision, patches.pixelValues_PF, patches.grids, layout.kind);
      const { picture_embeddings: rows } = await session.run(feeds);
      parts.push(rows?.data as Float32Array);
    }
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
  }
}
