// Owns the part on fixed-context dependence made of journals alone: figures, sentences; dependence.ts calls it.
import { Rng } from '../../rng.ts';
import { told, toldPercent } from '../measured.ts';
import type { AuditFacts, Journals } from '../part.ts';
import type { AuditFigure, AuditPart } from '../types.ts';
import type { DependenceRecord } from './dependence-records.ts';
import {
  ITEMS,
  attentionTable,
  evenShare,
  layerAttention,
  regionLines,
  regionTable,
  stepDrops,
  stepTable,
} from './dependence-tables.ts';
import type { LayerAttention, RegionLine, StepDrop } from './dependence-tables.ts';

const ANSWER_NAMES = { own: 'own answer', gold: 'expected answer' } as const;
const ORDER_NAMES = { top: 'most attended', random: 'random' } as const;

function stepFigure(drops: readonly StepDrop[]): AuditFigure {
  const values = drops.map(({ m, answer, order, drop }) => ({
    m,
    answer: ANSWER_NAMES[answer],
    replaced: ORDER_NAMES[order],
    drop: drop.mean,
    low: drop.low,
    high: drop.high,
  }));
  const x = {
    field: 'm',
    type: 'ordinal',
    title: 'latents replaced',
    axis: { labelAngle: 0 },
  } as const;
  const color = { field: 'replaced', type: 'nominal', title: 'replaced' } as const;
  const title = 'nats lost';
  return {
    id: 'dependence-steps',
    title: 'What a fixed answer loses when latents are replaced',
    alt: values
      .map(({ m, answer, replaced, drop }) => `${answer}, ${m} ${replaced}: ${told(drop)} nats`)
      .join('; '),
    spec: {
      data: { values },
      facet: { column: { field: 'answer', type: 'nominal', title: null } },
      spec: {
        width: 220,
        height: 200,
        layer: [
          {
            mark: { type: 'line', point: true },
            encoding: {
              x,
              y: { field: 'drop', type: 'quantitative', title },
              color,
              strokeDash: { field: 'replaced', type: 'nominal', title: 'replaced' },
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
    },
    items: ITEMS,
  };
}

function attentionFigure(layers: readonly LayerAttention[]): AuditFigure {
  const series = [
    ['later text on latents', 'laterOnLatents'],
    ['answer on latents', 'answerOnLatents'],
    ['answer on picture', 'answerOnPicture'],
    ['latents on picture', 'latentsOnPicture'],
  ] as const;
  const values = series.flatMap(([from, key]) =>
    layers.flatMap((one) => {
      const share = one[key];
      return share === null ? [] : [{ layer: one.layer, from, share }];
    }),
  );
  return {
    id: 'dependence-attention',
    title: 'Where attention goes, by layer',
    alt: values
      .map(({ layer, from, share }) => `${from}, layer ${layer}: ${toldPercent(share)}`)
      .join('; '),
    spec: {
      data: { values },
      width: 420,
      height: 220,
      mark: { type: 'line', point: true },
      encoding: {
        x: { field: 'layer', type: 'ordinal', title: 'layer', axis: { labelAngle: 0 } },
        y: {
          field: 'share',
          type: 'quantitative',
          title: 'share of attention',
          axis: { format: '.0%' },
        },
        color: { field: 'from', type: 'nominal', title: null, sort: null },
        strokeDash: { field: 'from', type: 'nominal', title: null, sort: null },
      },
    },
    items: ITEMS,
  };
}

function dropFindings(drops: readonly StepDrop[]): string[] {
  const most = Math.max(0, ...drops.map(({ m }) => m));
  const of = (m: number, answer: StepDrop['answer'], order: StepDrop['order']) =>
    drops.find((d) => d.m === m && d.answer === answer && d.order === order);
  const tell = (d: StepDrop): string =>
    `${told(d.drop.mean)} nats (${told(d.drop.low)} to ${told(d.drop.high)})`;
  const [own, gold] = [of(most, 'own', 'top'), of(most, 'gold', 'top')];
  const few = Math.max(0, ...drops.map(({ m }) => m).filter((m) => m <= most / 4));
  const [top, random] = [of(few, 'own', 'top'), of(few, 'own', 'random')];
  return [
    ...(own
      ? [
          `With all ${most} latents replaced by their means, the answer that the model wrote loses ${tell(own)}${gold ? `, the expected answer ${tell(gold)}` : ''}, text before it unchanged (${own.n} rows).`,
        ]
      : []),
    ...(top && random
      ? [
          `With the ${few} most attended replaced it loses ${tell(top)}, with ${few} at random ${tell(random)}.`,
        ]
      : []),
  ];
}

function attentionFindings(
  records: readonly DependenceRecord[],
  layers: readonly LayerAttention[],
): string[] {
  const strongest = layers.toSorted(
    (a, b) => (b.answerOnLatents ?? -1) - (a.answerOnLatents ?? -1),
  )[0];
  const even = evenShare(records, 'answer');
  const share = strongest?.answerOnLatents;
  const mean = (key: 'entropy' | 'latentsOnPicture'): number =>
    layers.reduce((sum, one) => sum + (one[key] ?? NaN), 0) / layers.length;
  return [
    ...(strongest && typeof share === 'number' && even !== null
      ? [
          `Positions that predict the answer give latents at most ${toldPercent(share)} of their attention (layer ${strongest.layer}); if all that is seen got the same it were ${toldPercent(even)}.`,
        ]
      : []),
    ...(layers.length > 0
      ? [
          `Latents give the picture ${toldPercent(mean('latentsOnPicture'))} of their attention, spread over it with entropy ${told(mean('entropy'))} of 1 (mean over layers).`,
        ]
      : []),
  ];
}

function regionFindings(lines: readonly RegionLine[]): string[] {
  const [all] = lines;
  if (!all) return [];
  const { mean, low, high } = all.enrichment;
  const other = all.ofOther
    ? `; another example's attention gives the same region ${told(all.ofOther.mean)} (${told(all.ofOther.low)} to ${told(all.ofOther.high)})`
    : '';
  return [
    `Attention of latents on the deciding region is ${told(mean)} times its share of the picture (${told(low)} to ${told(high)}, ${all.n} rows)${other}.`,
  ];
}

/** How many rows were left out, by reason. */
function leftOut(records: readonly DependenceRecord[]): string[] {
  const count = (values: readonly (string | undefined)[]): [string, number][] => {
    const names = [...new Set(values.flatMap((value) => value ?? []))].sort();
    return names.map((name) => [name, values.filter((value) => value === name).length]);
  };
  return [
    ...count(records.map(({ without }) => without)).map(
      ([why, n]) => `no log-probabilities of ${n} rows: ${why}`,
    ),
    ...count(records.map(({ noRegion }) => noRegion)).map(
      ([why, n]) => `no deciding region in ${n} rows: ${why}`,
    ),
  ];
}

/** The part from its journals. */
export function summariseDependence(journals: Journals, facts: AuditFacts): AuditPart {
  const records = journals.part('dependence') as readonly DependenceRecord[];
  const rng = new Rng(facts.seed).fork('dependence');
  const drops = stepDrops(records, rng);
  const layers = layerAttention(records);
  const regions = regionLines(records, rng);
  return {
    name: 'dependence',
    title: 'Fixed-context dependence',
    definition:
      'The response stays as the model wrote it; only vectors at latents change. How many nats does ' +
      'the answer lose, log p(answer | z) - log p(answer | z with m latents replaced), for the most ' +
      'attended latents and for random ones? And: how much attention do later text and the answer ' +
      'give the latents, and where in the picture do latents look?',
    source:
      'ours; replacing by means as in mean ablation, attention as it is, not as an explanation',
    findings: [
      ...dropFindings(drops),
      ...attentionFindings(records, layers),
      ...regionFindings(regions),
    ],
    tables: [
      ...(drops.length > 0 ? [stepTable(drops)] : []),
      ...(layers.length > 0 ? [attentionTable(records, layers)] : []),
      ...(regions.length > 0 ? [regionTable(regions)] : []),
    ],
    figures: [
      ...(drops.length > 0 ? [stepFigure(drops)] : []),
      ...(layers.length > 0 ? [attentionFigure(layers)] : []),
    ],
    notes: leftOut(records),
  };
}
