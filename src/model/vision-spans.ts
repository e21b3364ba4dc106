// Owns the graphs of the vision tower cut at its whole-picture attention; chunked-tower.ts runs them.
// Axes: P patches of a chunk in window order, M merged units of it, C vision width, D decoder
// width, L queries, S keys.
//
// All but whole-picture attention looks at one window of 64 patches at most. So the tower is cut
// there: a span takes any number of whole windows from one whole-picture attention to the next.
import { mulDims, toDim } from '../engine/dims.ts';
import { Graph } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { fusedAttention } from '../engine/ops/attention.ts';
import type { Packing } from '../engine/ops/packed.ts';
import type { VisionConfig } from './config.ts';
import { declareParameters, visionSpecs } from './parameters.ts';
import * as vision from './vision.ts';

/**
 * A stretch of the tower. With full attention in blocks 1 and 3 of 5 (0 to 4) the spans are
 * { to: 1 }, { from: 1, to: 3 }, { from: 3 }.
 */
export interface Span {
  /** Starts after the attention of this block; absent: starts with pixels. */
  readonly from?: number;
  /** Ends before the attention of this block; absent: ends with picture tokens. */
  readonly to?: number;
}

/** Names of a span's inputs and outputs, and of those of the attention between spans. */
export const SPAN = {
  pixels: 'pixel_values',
  state: 'state',
  mixed: 'mixed',
  after: 'state_after',
  query: 'query',
  key: 'key',
  value: 'value',
  tokens: 'picture_embeddings',
} as const;

/** The spans of a tower, first to last. */
export function visionSpans({ depth, fullAttentionBlocks }: VisionConfig): Span[] {
  const cuts = [...new Set(fullAttentionBlocks)].filter((block) => block < depth);
  cuts.sort((a, b) => a - b);
  return [...cuts, undefined].map((to, i) => {
    const from = cuts[i - 1];
    return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  });
}

/** The graph of a span over whole windows: `patch_positions`, `window_to` and `window_back` besides. */
export function spanGraph(
  config: VisionConfig,
  { from, to }: Span,
  packings: ReadonlyMap<string, Packing>,
): Graph {
  const graph = new Graph();
  const parameters = declareParameters(graph, visionSpecs(config), packings);
  const merged = toDim('merged');
  const patches = mulDims(config.mergeSize * config.mergeSize, merged);
  const { inChannels, temporalPatchSize, patchSize, hiddenSize } = config;
  const positions_P2 = graph.input('patch_positions', 'i64', [patches, 2]);
  const window = vision.raggedSegments(graph, 'window', patches);
  const patchLength = inChannels * temporalPatchSize * patchSize * patchSize;
  let x_PC =
    from === undefined
      ? vision.embedPatches(
          config,
          parameters,
          graph.input(SPAN.pixels, 'float', [patches, patchLength]),
        )
      : vision.finishBlock(
          parameters,
          from,
          graph.input(SPAN.state, 'float', [patches, hiddenSize]),
          graph.input(SPAN.mixed, 'float', [patches, hiddenSize]),
        );
  for (let block = (from ?? -1) + 1; block < (to ?? config.depth); block++) {
    const heads = vision.visionHeads(config, parameters, block, x_PC, positions_P2);
    const mixed_PC = vision.attendWithin(config, heads, window);
    x_PC = vision.finishBlock(parameters, block, x_PC, mixed_PC);
  }
  if (to === undefined) {
    graph.output(SPAN.tokens, vision.mergeUnits(config, parameters, x_PC, merged));
    return graph;
  }
  const heads = vision.visionHeads(config, parameters, to, x_PC, positions_P2);
  graph.output(SPAN.after, x_PC);
  graph.output(SPAN.query, heads.query_PC);
  graph.output(SPAN.key, heads.key_PC);
  graph.output(SPAN.value, heads.value_PC);
  return graph;
}

/** The graph of attention between spans: some queries of one picture over all of its keys. */
export function spanAttentionGraph({ hiddenSize, numHeads }: VisionConfig): Graph {
  const graph = new Graph();
  const query = graph.input(SPAN.query, 'float', ['queries', hiddenSize]);
  const key = graph.input(SPAN.key, 'float', ['keys', hiddenSize]);
  const value = graph.input(SPAN.value, 'float', ['keys', hiddenSize]);
  const one = (rows: typeof query): typeof query => reshape(rows, [1, ...rows.shape]);
  const mixed = fusedAttention(one(query), one(key), one(value), numHeads);
  graph.output(SPAN.mixed, reshape(mixed, query.shape));
  return graph;
}
