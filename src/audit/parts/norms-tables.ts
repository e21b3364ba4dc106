// Owns the tables and the figure on norms and subspaces; norms-summary.ts puts them together.
// Axes: L layers.
import { numComponentsFor } from '../../latent/pca.ts';
import { partFile } from '../journals.ts';
import { told } from '../measured.ts';
import { POSITION_KINDS } from '../row-observation.ts';
import type { PositionKind, VectorSums } from '../row-observation.ts';
import { effectiveRank } from '../spectrum.ts';
import { NO_SUMS, addSums, spreadOf } from '../sums.ts';
import type { Spread, Sums } from '../sums.ts';
import type { AuditFigure, AuditTable, Cell } from '../types.ts';
import type { NormRecord, SpectrumRecord, SpectrumSet } from './norms-records.ts';

const ITEMS = [partFile('norms')];
const KIND_NAMES: Readonly<Record<PositionKind, string>> = {
  text: 'text',
  vision: 'query picture',
  latent: 'latent',
};
/** What sets of vectors are called. */
export const SET_NAMES: Readonly<Record<SpectrumSet, string>> = {
  latents: 'injected latents',
  auxiliary: 'embeddings of auxiliary pictures',
  query: 'embeddings of query pictures',
};

/** Mean and deviation by stage (input, layers, after the final norm) of every kind of position. */
export type NormsByKind = Readonly<Record<PositionKind, readonly Spread[]>>;

/** Norm, and distance to the plane, of one kind of vector over all rows. */
export interface VectorLine {
  readonly what: string;
  readonly log: Spread;
  readonly length: Spread;
  readonly plane: Spread | undefined;
}

function pooled(sums: readonly Sums[]): Spread {
  return spreadOf(sums.reduce(addSums, NO_SUMS));
}

function layerName(layer: number, numLayers: number): string {
  if (layer === 0) return 'input';
  return layer > numLayers ? 'final norm' : String(layer);
}

/** ln norms of all rows together. */
export function normsByKind(records: readonly NormRecord[]): NormsByKind {
  const numStages = records[0]?.norms.text.log.length ?? 0;
  const ofKind = (kind: PositionKind): Spread[] =>
    Array.from({ length: numStages }, (_, layer) =>
      pooled(records.map(({ norms }) => norms[kind].log[layer] ?? NO_SUMS)),
    );
  return { text: ofKind('text'), vision: ofKind('vision'), latent: ofKind('latent') };
}

function kindsSeen(byKind: NormsByKind): PositionKind[] {
  return POSITION_KINDS.filter((kind) => byKind[kind].some(({ count }) => count > 0));
}

/** ln norm by layer, mean and deviation. */
export function layerTable(byKind: NormsByKind): AuditTable {
  const numStages = byKind.text.length;
  const kinds = kindsSeen(byKind);
  return {
    id: 'norms-layers',
    title: 'ln of the L2 norm by layer',
    columns: [
      { key: 'layer', title: 'layer', format: 'text' },
      ...kinds.flatMap((kind) => [
        { key: kind, title: `${KIND_NAMES[kind]}, mean`, format: 'number' as const },
        { key: `${kind}Std`, title: `${KIND_NAMES[kind]}, std`, format: 'number' as const },
      ]),
    ],
    rows: Array.from({ length: numStages }, (_, layer) => ({
      layer: layerName(layer, numStages - 2),
      ...Object.fromEntries(
        kinds.flatMap((kind): [string, Cell][] => [
          [kind, byKind[kind][layer]?.mean ?? null],
          [`${kind}Std`, byKind[kind][layer]?.std ?? null],
        ]),
      ),
    })),
    note: 'Over all positions of a kind in all rows, prompt and response. The last layer is before the final norm.',
    items: ITEMS,
  };
}

/** The same as lines with bars of one standard deviation. */
export function layerFigure(byKind: NormsByKind): AuditFigure {
  const numStages = byKind.text.length;
  const kinds = kindsSeen(byKind);
  const values = kinds.flatMap((kind) =>
    byKind[kind].flatMap(({ mean, std }, stage) => {
      if (mean === null) return [];
      const [low, high] = [mean - (std ?? 0), mean + (std ?? 0)];
      const layer = layerName(stage, numStages - 2);
      return [{ stage, layer, kind: KIND_NAMES[kind], mean, low, high }];
    }),
  );
  const x = {
    field: 'layer',
    type: 'ordinal',
    title: 'layer',
    sort: { field: 'stage' },
    axis: { labelAngle: 0 },
  } as const;
  const color = { field: 'kind', type: 'nominal', title: 'position' } as const;
  const title = 'ln L2 norm';
  return {
    id: 'norms-layers',
    title: 'ln of the L2 norm by layer, mean and one standard deviation',
    alt: kinds
      .map((kind) => {
        const [first, last] = [byKind[kind][0]?.mean, byKind[kind].at(-2)?.mean];
        return `${KIND_NAMES[kind]}: ${told(first ?? NaN)} at the input, ${told(last ?? NaN)} before the final norm.`;
      })
      .join(' '),
    spec: {
      data: { values },
      width: 420,
      height: 240,
      layer: [
        {
          mark: { type: 'line', point: true },
          encoding: {
            x,
            y: { field: 'mean', type: 'quantitative', title },
            color,
            strokeDash: { field: 'kind', type: 'nominal', title: 'position' },
          },
        },
        {
          mark: 'rule',
          encoding: {
            x,
            y: { field: 'low', type: 'quantitative', title },
            y2: { field: 'high' },
            color,
          },
        },
      ],
    },
    items: ITEMS,
  };
}

function vectorLine(what: string, sums: readonly VectorSums[]): VectorLine {
  const planes = sums.flatMap(({ plane }) => plane ?? []);
  return {
    what,
    log: pooled(sums.map(({ log }) => log)),
    length: pooled(sums.map(({ length }) => length)),
    plane: planes.length > 0 ? pooled(planes) : undefined,
  };
}

/** Text embeddings, picture embeddings, latents, their states before and after the final norm. */
export function vectorLines(records: readonly NormRecord[]): readonly VectorLine[] {
  const inputs = (kind: PositionKind): VectorSums[] =>
    records.map(({ norms }) => ({
      log: norms[kind].log[0] ?? NO_SUMS,
      length: norms[kind].length[0] ?? NO_SUMS,
    }));
  const of = (pick: (record: NormRecord) => VectorSums): VectorSums[] => records.map(pick);
  return [
    vectorLine('text input embedding', inputs('text')),
    vectorLine('query picture embedding', inputs('vision')),
    vectorLine(
      'injected latent',
      of(({ injected }) => injected),
    ),
    vectorLine(
      'state it was made of, before the final norm',
      of(({ sources }) => sources.raw),
    ),
    vectorLine(
      'that state after the final norm',
      of(({ sources }) => sources.normed),
    ),
  ];
}

/** Norms of what is read, against query picture embeddings. */
export function vectorTable(lines: readonly VectorLine[]): AuditTable {
  const vision = lines[1]?.length.mean ?? 0;
  return {
    id: 'norms-vectors',
    title: 'What is read at latents, against what else is read',
    columns: [
      { key: 'what', title: 'vector', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'log', title: 'ln norm, mean', format: 'number' },
      { key: 'logStd', title: 'ln norm, std', format: 'number' },
      { key: 'length', title: 'norm, mean', format: 'number' },
      { key: 'ratio', title: 'over query picture', format: 'number' },
      { key: 'plane', title: 'distance to the plane, mean', format: 'number' },
      { key: 'planeStd', title: 'distance to the plane, std', format: 'number' },
    ],
    rows: lines.map(({ what, log, length, plane }) => ({
      what,
      n: log.count,
      log: log.mean,
      logStd: log.std,
      length: length.mean,
      ratio: length.mean === null || vision === 0 ? null : length.mean / vision,
      plane: plane?.mean ?? null,
      planeStd: plane?.std ?? null,
    })),
    note: 'Distance to the plane that the head writes in, over the distance to its mean: 0 on the plane, 1 at a right angle to it.',
    items: ITEMS,
  };
}

/** What the spectrum of a set comes to; undefined where its vectors do not differ. */
export function spectrumNumbers({ variances }: SpectrumRecord):
  | {
      readonly rank: number;
      readonly dims90: number;
      readonly dims95: number;
      readonly dims99: number;
    }
  | undefined {
  if (variances.length === 0) return undefined;
  const values = Float64Array.from(variances);
  return {
    rank: effectiveRank(values.map(Math.sqrt)),
    dims90: numComponentsFor(values, 0.9),
    dims95: numComponentsFor(values, 0.95),
    dims99: numComponentsFor(values, 0.99),
  };
}

const NO_SPECTRUM = { rank: null, dims90: null, dims95: null, dims99: null };

/** Effective rank and directions for shares of the variance. */
export function spectrumTable(records: readonly SpectrumRecord[]): AuditTable {
  const thinned = records.filter(({ available, count }) => available > count);
  return {
    id: 'norms-spectrum',
    title: 'How many directions vectors use',
    columns: [
      { key: 'set', title: 'vectors', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'rank', title: 'effective rank', format: 'number' },
      { key: 'dims90', title: 'directions for 90 %', format: 'count' },
      { key: 'dims95', title: 'directions for 95 %', format: 'count' },
      { key: 'dims99', title: 'directions for 99 %', format: 'count' },
    ],
    rows: records.map((record) => ({
      set: SET_NAMES[record.set],
      n: record.count,
      ...(spectrumNumbers(record) ?? NO_SPECTRUM),
    })),
    ...(thinned.length > 0
      ? {
          note: thinned
            .map(
              ({ set, available, count }) =>
                `${SET_NAMES[set]}: ${count} of ${available}, evenly spread.`,
            )
            .join(' '),
        }
      : {}),
    items: ITEMS,
  };
}
