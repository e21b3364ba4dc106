// Owns prepared examples and training batches of mini models; training tests call it.
// Axes: K latents of a span, L latents of a batch, M picture tokens, D hidden.
import type { PreparedExample } from '../../src/context/prepared.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { tensor } from '../../src/engine/tensor.ts';
import { promptIds, positionConfig } from '../../src/model/bundle.ts';
import type { ModelBundle } from '../../src/model/bundle.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { assembleRow, batchRows } from '../../src/processor/sequence.ts';
import type { Batch } from '../../src/processor/sequence.ts';
import type { Rng } from '../../src/rng.ts';
import { latentFeeds, textFeeds } from '../../src/train/text-batch.ts';
import { MINI_LATENTS } from './mini-gap.ts';
import { MINI_WORDS, randomRows } from './mini-model.ts';

/** Examples with random picture embeddings; auxiliary ones lie around a mean, as real ones do. */
export function miniExamples(bundle: ModelBundle, count: number, rng: Rng): PreparedExample[] {
  const { hiddenSize } = bundle.checkpoint.config.text;
  return Array.from({ length: count }, (_, i) => {
    const grid: GridThw = i % 3 === 0 ? [1, 2, 4] : [1, 4, 4];
    const numTokens = (grid[1] * grid[2]) / 4;
    const word = (): string => rng.pick(MINI_WORDS);
    const question = `what is ${word()}`;
    return {
      example: {
        id: `example-${i}`,
        question,
        answer: word(),
        think: `it is ${word()}`,
        parser: word(),
        image: 'query.png',
        auxiliary: 'auxiliary.png',
      },
      grid,
      promptIds: promptIds(bundle, question, [grid]),
      pictureRows_MD: randomRows(rng, numTokens * hiddenSize),
      auxiliaryRows_KD: randomRows(rng, MINI_LATENTS * hiddenSize).map((x) => 0.5 + 0.3 * x),
    };
  });
}

/** A batch of rows with what a training graph is fed, frozen pictures and latents included. */
export interface MiniFeeds {
  readonly batch: Batch;
  readonly grids: readonly GridThw[];
  readonly feeds: Record<string, Tensor>;
  readonly targets_LD: Float32Array;
}

/** Rows of one span each (or none), teacher inputs and targets drawn at random. */
export function miniFeeds(
  bundle: ModelBundle,
  rng: Rng,
  options: { readonly numSpans: number; readonly latentWeight?: number; readonly rows?: number },
): MiniFeeds {
  const { hiddenSize } = bundle.checkpoint.config.text;
  const { latentStart, latentPad, latentEnd } = bundle.sequence;
  const span = [latentStart, ...Array<number>(MINI_LATENTS).fill(latentPad), latentEnd];
  const text = (words: string): number[] =>
    bundle.tokenizer.encodePieces([{ text: words, trusted: true }]);
  const examples = miniExamples(bundle, options.rows ?? 3, rng);
  const rows = examples.map((item, i) => {
    const spans = Array.from({
      length: i === 0 ? options.numSpans : Math.min(1, options.numSpans),
    });
    const response = [...text('it is'), ...spans.flatMap(() => [...span, ...text('red')])];
    return assembleRow(item.promptIds, response, bundle.sequence);
  });
  const batch = batchRows(rows, { padId: bundle.padId, side: 'right', multiple: 4 });
  const grids = examples.map((item) => item.grid);
  const pictures = Float32Array.from(examples.flatMap((item) => [...item.pictureRows_MD]));
  const size = batch.latentInputs_L.length * hiddenSize;
  const [inputs_LD, targets_LD] = [randomRows(rng, size), randomRows(rng, size)];
  const latents =
    size === 0 ? {} : latentFeeds(batch, inputs_LD, targets_LD, options.latentWeight ?? 1);
  return {
    batch,
    grids,
    targets_LD,
    feeds: {
      ...textFeeds(batch, grids, positionConfig(bundle)),
      ...latents,
      picture_rows: tensor('f32', [pictures.length / hiddenSize, hiddenSize], pictures),
    },
  };
}
