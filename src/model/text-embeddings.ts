// Owns the input embeddings of token ids, whatever the table is stored as; reports call it.
// Axes: N tokens, D hidden.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { Checkpoint } from './checkpoint.ts';
import { embedTokens } from './decoder.ts';
import { int64Tensor } from './feeds.ts';
import { declareParameters, decoderSpecs } from './parameters.ts';

/** Input embeddings [N, D] of token ids, row after row. */
export async function textEmbeddings(
  { config, weights }: Checkpoint,
  ids: readonly number[],
  options: SessionOptions = {},
): Promise<Float32Array> {
  const graph = new Graph();
  const parameters = declareParameters(graph, decoderSpecs(config.text), weights.packings);
  const ids_N = graph.input('input_ids', 'i64', ['N']);
  graph.output('embeddings', embedTokens(config.text, parameters, ids_N));
  await using session = await Session.create(encodeGraph(graph, weights.constants), options);
  const { embeddings } = await session.run({ input_ids: int64Tensor([ids.length], ids) });
  return embeddings?.data as Float32Array;
}
