// Owns the tables of fixed-context dependence; dependence-summary.ts puts them together.
// Axes: L layers.
import { clusteredInterval } from '../../evaluate/effects.ts';
import type { MeanInterval } from '../../evaluate/statistics.ts';
import type { Rng } from '../../rng.ts';
import { partFile } from '../journals.ts';
import { measured } from '../measured.ts';
import { spreadOf, sumsOf } from '../sums.ts';
import type { AuditTable, Cell } from '../types.ts';
import type { DependenceRecord } from './dependence-records.ts';

/** Journal of the part. */
export const ITEMS = [partFile('dependence')];

/** How many nats an answer loses when m latents are replaced. */
export interface StepDrop {
  readonly m: number;
  readonly answer: 'own' | 'gold';
  readonly order: 'top' | 'random';
  readonly n: number;
  readonly drop: MeanInterval;
}

const ANSWERS = ['own', 'gold'] as const;
const ORDERS = ['top', 'random'] as const;

/** Drops log p(answer | z) - log p(answer | z with m latents replaced), mean over rows, for every m above 0. */
export function stepDrops(records: readonly DependenceRecord[], rng: Rng): StepDrop[] {
  const steps = records.find((record) => record.steps)?.steps ?? [];
  return ANSWERS.flatMap((answer) =>
    ORDERS.flatMap((order) =>
      steps.flatMap((m, i): StepDrop[] => {
        if (m === 0) return [];
        const own = records.flatMap((record) => {
          const values = record[answer]?.[order];
          const [before, after] = [values?.[0], values?.[i]];
          if (before === undefined || after === undefined) return [];
          return [{ id: record.id, drop: before - after }];
        });
        if (own.length === 0) return [];
        const drop = clusteredInterval(
          own.map((one) => one.drop),
          own.map(({ id }) => id),
          // The same draws for all: the last step is the same in both orders, to the last digit.
          rng.fork(answer),
        );
        return [{ m, answer, order, n: own.length, drop }];
      }),
    ),
  );
}

/** Drops by number of replaced latents. */
export function stepTable(drops: readonly StepDrop[]): AuditTable {
  const steps = [...new Set(drops.map(({ m }) => m))];
  const of = (m: number, answer: StepDrop['answer'], order: StepDrop['order']): Cell => {
    const found = drops.find((d) => d.m === m && d.answer === answer && d.order === order);
    return found ? measured(found.drop) : null;
  };
  return {
    id: 'dependence-steps',
    title: 'Nats that a fixed answer loses when m latents are replaced',
    columns: [
      { key: 'm', title: 'm', format: 'count' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'ownTop', title: 'own answer, most attended', format: 'number' },
      { key: 'ownRandom', title: 'own answer, random', format: 'number' },
      { key: 'goldTop', title: 'expected answer, most attended', format: 'number' },
      { key: 'goldRandom', title: 'expected answer, random', format: 'number' },
    ],
    rows: steps.map((m) => ({
      m,
      n: drops.find((d) => d.m === m)?.n ?? null,
      ownTop: of(m, 'own', 'top'),
      ownRandom: of(m, 'own', 'random'),
      goldTop: of(m, 'gold', 'top'),
      goldRandom: of(m, 'gold', 'random'),
    })),
    note:
      'Positive: the answer becomes less likely. A latent is replaced by the mean, over all rows with ' +
      'a whole span, of the latents at its place. Text before the answer stays as the model wrote it, ' +
      'so what it already says is not lost; latents still attend to the picture. Most attended: by the ' +
      'positions that predict the answer, mean over layers and heads. All K is the same in both orders.',
    items: ITEMS,
  };
}

function meanOf(values: readonly (number | null | undefined)[]): number | null {
  return spreadOf(sumsOf(values.flatMap((value) => value ?? []))).mean;
}

/** Number of layers that records know of. */
export function numLayersOf(records: readonly DependenceRecord[]): number {
  return records.find(({ onPicture }) => onPicture)?.onPicture?.length ?? 0;
}

/** Means over rows of where attention goes, by layer. */
export interface LayerAttention {
  readonly layer: number;
  readonly laterOnLatents: number | null;
  readonly answerOnLatents: number | null;
  readonly answerOnPicture: number | null;
  readonly answerOnQuestion: number | null;
  readonly latentsOnPicture: number | null;
  readonly entropy: number | null;
}

/** Attention by layer, mean over rows; layers from 1. */
export function layerAttention(records: readonly DependenceRecord[]): LayerAttention[] {
  return Array.from({ length: numLayersOf(records) }, (_, at) => {
    const of = (pick: (record: DependenceRecord) => number | null | undefined): number | null =>
      meanOf(records.map(pick));
    return {
      layer: at + 1,
      laterOnLatents: of(({ later }) => later?.latents[at]),
      answerOnLatents: of(({ answer }) => answer?.latents[at]),
      answerOnPicture: of(({ answer }) => answer?.picture[at]),
      answerOnQuestion: of(({ answer }) => answer?.question[at]),
      latentsOnPicture: of(({ onPicture }) => onPicture?.[at]),
      entropy: of(({ entropy }) => entropy?.[at]),
    };
  });
}

/** Mean share of latents if all positions that are seen got the same attention. */
export function evenShare(
  records: readonly DependenceRecord[],
  group: 'later' | 'answer',
): number | null {
  return meanOf(records.map((record) => record[group]?.even));
}

/** Where attention goes by layer. */
export function attentionTable(
  records: readonly DependenceRecord[],
  layers: readonly LayerAttention[],
): AuditTable {
  return {
    id: 'dependence-attention',
    title: 'Where attention goes',
    columns: [
      { key: 'layer', title: 'layer', format: 'text' },
      { key: 'laterOnLatents', title: 'later text on latents', format: 'percent' },
      { key: 'answerOnLatents', title: 'answer on latents', format: 'percent' },
      { key: 'answerOnPicture', title: 'answer on picture', format: 'percent' },
      { key: 'answerOnQuestion', title: 'answer on question', format: 'percent' },
      { key: 'latentsOnPicture', title: 'latents on picture', format: 'percent' },
      { key: 'entropy', title: 'entropy over picture', format: 'number' },
    ],
    rows: [
      ...layers.map((one) => ({ ...one, layer: String(one.layer) })),
      {
        layer: 'if all that is seen got the same',
        laterOnLatents: evenShare(records, 'later'),
        answerOnLatents: evenShare(records, 'answer'),
        answerOnPicture: null,
        answerOnQuestion: null,
        latentsOnPicture: null,
        entropy: layers.length > 0 ? 1 : null,
      },
    ],
    note:
      'Shares of attention, mean over heads, positions of a group, and rows with a span. Later text: ' +
      'from the end of the span on. Answer: positions that predict its tokens. Entropy of attention ' +
      "over the picture's tokens, over the logarithm of their number.",
    items: ITEMS,
  };
}

function meanOverLayers(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Enrichment in the deciding region of the rows of one task, mean over layers. */
export interface RegionLine {
  readonly task: string;
  readonly n: number;
  readonly share: number | null;
  readonly enrichment: MeanInterval;
  readonly ofOther: MeanInterval | undefined;
}

/** Enrichment by task, all tasks first. */
export function regionLines(records: readonly DependenceRecord[], rng: Rng): RegionLine[] {
  const withRegion = records.filter(({ region }) => region !== undefined);
  const tasks = [...new Set(withRegion.map(({ task }) => task))].sort();
  const groups = [
    { task: 'all', own: withRegion },
    ...tasks.map((task) => ({ task, own: withRegion.filter((record) => record.task === task) })),
  ];
  return groups.flatMap(({ task, own }) => {
    const interval = (
      label: string,
      pick: (record: DependenceRecord) => readonly number[] | undefined,
    ): MeanInterval | undefined => {
      const found = own.flatMap((record) => {
        const layers = pick(record);
        return layers ? [{ id: record.id, value: meanOverLayers(layers) }] : [];
      });
      if (found.length === 0) return undefined;
      return clusteredInterval(
        found.map(({ value }) => value),
        found.map(({ id }) => id),
        rng.fork(`region ${task} ${label}`),
      );
    };
    const enrichment = interval('own', ({ region }) => region?.enrichment);
    if (!enrichment) return [];
    const ofOther = interval('other', ({ region }) => region?.ofOther);
    const share = meanOf(own.map(({ region }) => region?.share));
    return [{ task, n: own.length, share, enrichment, ofOther }];
  });
}

/** Attention of latents on the deciding region. */
export function regionTable(lines: readonly RegionLine[]): AuditTable {
  return {
    id: 'dependence-region',
    title: 'Attention of latents on the deciding region',
    columns: [
      { key: 'task', title: 'task', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'share', title: 'region, share of the picture', format: 'percent' },
      { key: 'enrichment', title: 'enrichment', format: 'number' },
      { key: 'ofOther', title: "with another example's attention", format: 'number' },
    ],
    rows: lines.map(({ task, n, share, enrichment, ofOther }) => ({
      task,
      n,
      share,
      enrichment: measured(enrichment),
      ofOther: ofOther ? measured(ofOther) : null,
    })),
    note:
      'The deciding region: tokens of the query picture whose pixels are others in the auxiliary ' +
      'picture. Enrichment: attention on it over its share of the tokens, 1 is even; mean over layers. ' +
      'The attention of the next example of the task on the same region shows what its place alone gives.',
    items: ITEMS,
  };
}
