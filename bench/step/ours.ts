// Owns our side of bench/step.ts: one process, one model, one batch, one thread count; last line JSON.
import { encodeGraph } from '../../src/engine/encode.ts';
import { Graph } from '../../src/engine/graph.ts';
import { readSafetensors } from '../../src/engine/safetensors.ts';
import { Session } from '../../src/engine/session.ts';
import { tensor } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import type { ModelConfig } from '../../src/model/config.ts';
import { pictureLayout, visionFeeds } from '../../src/model/feeds.ts';
import { declareParameters, decoderSpecs, visionSpecs } from '../../src/model/parameters.ts';
import { declareVisionInputs, visionTower } from '../../src/model/vision.ts';
import { Weights } from '../../src/model/weights.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { batchRows } from '../../src/processor/sequence.ts';
import { readCheckpoint } from '../../src/store/checkpoint.ts';
import { attentionBlocksFor, encodeObjective } from '../../src/train/objective.ts';
import { textFeeds } from '../../src/train/text-batch.ts';
import { Trainer } from '../../src/train/trainer.ts';
import type { BatchFeeds } from '../../src/train/trainer.ts';
import { peakBytes } from '../decode/peak.ts';
import { OPTIMIZER } from './shapes.ts';
import type { Measured, Work } from './shapes.ts';

interface BatchFile {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
  readonly dims: readonly number[];
  readonly grids: readonly GridThw[];
  readonly pixels: Float32Array;
}

async function readBatch(path: string): Promise<BatchFile> {
  const { tensors } = await readSafetensors(path);
  const numbers = (name: string): number[] => Array.from(tensors.get(name)?.data ?? [], Number);
  const flat = numbers('image_grid_thw');
  return {
    ids: numbers('input_ids'),
    labels: numbers('labels'),
    dims: tensors.get('input_ids')?.dims ?? [],
    grids: Array.from({ length: flat.length / 3 }, (_, i) => {
      const [time = 0, height = 0, width = 0] = flat.slice(3 * i, 3 * i + 3);
      return [time, height, width];
    }),
    pixels: tensors.get('pixel_values')?.data as Float32Array,
  };
}

/** Embeddings of the batch's pictures: the frozen tower runs once, as before every training. */
async function pictureRows(
  config: ModelConfig,
  weights: Weights,
  batch: BatchFile,
  threads: number,
): Promise<Tensor> {
  const graph = new Graph();
  const layout = pictureLayout(config.vision, batch.grids);
  const parameters = declareParameters(graph, visionSpecs(config.vision));
  const inputs = declareVisionInputs(graph, config.vision, layout);
  graph.output('rows', visionTower(config.vision, parameters, inputs));
  await using session = await Session.create(encodeGraph(graph, weights.constants), { threads });
  const feeds = visionFeeds(config.vision, batch.pixels, batch.grids, layout.kind);
  const { rows } = await session.run(feeds);
  if (!rows) throw new Error('the tower gave nothing');
  return tensor('f32', rows.dims, rows.data as Float32Array);
}

function batchFeeds(config: ModelConfig, batch: BatchFile, rows: Tensor): BatchFeeds {
  const [count = 0, length = 0] = batch.dims;
  const cut = (values: readonly number[], row: number): number[] =>
    values.slice(row * length, (row + 1) * length);
  const padded = batchRows(
    Array.from({ length: count }, (_, row) => ({
      inputIds: cut(batch.ids, row),
      labels: cut(batch.labels, row),
      numPromptTokens: 1,
      spans: [],
      picturePositions: cut(batch.ids, row).flatMap((id, at) =>
        id === config.tokens.image ? [at] : [],
      ),
    })),
    { padId: 0, side: 'right' },
  );
  const ids = { visionStart: config.tokens.visionStart, imagePad: config.tokens.image };
  const positions = { ids, mergeSize: config.vision.mergeSize };
  return {
    objective: 'text',
    feeds: { ...textFeeds(padded, batch.grids, positions), picture_rows: rows },
  };
}

/** The decoder's weights and the batch; the checkpoint is garbage afterwards. */
async function prepare(
  folder: string,
  batchPath: string,
  threads: number,
): Promise<{ config: ModelConfig; weights: Weights; feeds: BatchFeeds }> {
  const { config, weights: all } = await readCheckpoint(folder);
  const batch = await readBatch(batchPath);
  const rows = await pictureRows(config, all, batch, threads);
  const weights = new Weights(decoderSpecs(config.text));
  for (const [name, { data }] of weights.byName) data.set(all.get(name).data);
  return { config, weights, feeds: batchFeeds(config, batch, rows) };
}

async function measure(folder: string, batchPath: string, work: Work): Promise<Measured> {
  const { threads, warmSteps, repeats, profile } = work;
  const start = performance.now();
  const { config, weights, feeds } = await prepare(folder, batchPath, threads);
  const { specs } = weights;
  const attentionBlocks = attentionBlocksFor(feeds.feeds['input_ids']?.dims[1] ?? 0);
  const pictures = { kind: 'rows' as const };
  const shared = { pictures, parameters: specs, trained: specs, attentionBlocks };
  await using trainer = await Trainer.create(weights, {
    threads,
    ...(profile === undefined ? {} : { profile }),
    objectives: new Map([['text', () => encodeObjective(config, shared)]]),
    groups: [specs],
    adamw: OPTIMIZER,
  });
  const losses: number[] = [];
  const stepMs: number[] = [];
  const cpuMs: number[] = [];
  let startMs = NaN;
  for (let i = 0; i < warmSteps + repeats; i++) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    const { loss } = await trainer.step(feeds, [OPTIMIZER.learningRate]);
    const used = process.cpuUsage(cpu);
    if (i === 0) startMs = performance.now() - start;
    losses.push(loss);
    if (i < warmSteps) continue;
    stepMs.push(performance.now() - wall);
    cpuMs.push((used.user + used.system) / 1000);
  }
  return { stepMs, cpuMs, losses, startMs, peakBytes: peakBytes(), about: { threads } };
}

const [folder = '', batchPath = '', work = ''] = process.argv.slice(2);
console.log(JSON.stringify(await measure(folder, batchPath, JSON.parse(work) as Work)));
