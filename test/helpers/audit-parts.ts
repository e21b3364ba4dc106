// Owns the ten parts of a made-up but plausible audit; audit-data.ts puts them together.
import type {
  AuditPart,
  AuditTable,
  Column,
  Measured,
  PartName,
  PictureRow,
} from '../../src/audit/types.ts';
import { encodePng } from '../../src/data/png.ts';
import { tasks } from '../../src/data/tasks/index.ts';
import { Rng } from '../../src/rng.ts';
import { cells, facetedBars, forest, groupedBars, HOSTILE, lines, pair } from './audit-charts.ts';

/** Questions of the audit. */
export const ITEMS = 400;

/** A fraction with a plausible interval. */
export function share(value: number, n = ITEMS): Measured {
  const half = 1.96 * Math.sqrt((value * (1 - value)) / n) + 0.004;
  return { value, low: Math.max(0, value - half), high: Math.min(1, value + half) };
}

/** A difference of fractions with a plausible interval. */
export function gap(value: number): Measured {
  return { value, low: value - 0.041, high: value + 0.043 };
}

function text(key: string, title: string): Column {
  return { key, title, format: 'text' };
}

/** Arms by title and accuracy. */
export const ARMS: readonly (readonly [string, number])[] = [
  ['identity', 0.853],
  ['zero vectors', 0.339],
  ['noise of the target law', 0.314],
  ['noise of the same norm', 0.326],
  ['first latent repeated', 0.498],
  ['permuted', 0.612],
  ["another example's", 0.301],
  ['mean latent', 0.341],
  ['oracle', 0.971],
  ['markers only, K = 0', 0.358],
  ['zero-latent', 0.364],
];

function replacement(): AuditPart {
  const rows = [['clean', 0.853] as const, ...ARMS].map(([arm, accuracy]) => ({
    arm,
    n: ITEMS,
    accuracy: share(accuracy),
    difference: arm === 'clean' ? null : gap(accuracy - 0.853),
    p: arm === 'clean' ? null : arm === 'identity' ? 1 : arm === 'oracle' ? 0.0042 : 1.3e-9,
    retention: arm === 'clean' ? 1 : (accuracy - 0.364) / 0.489,
  }));
  const table: AuditTable = {
    id: 'replacement-arms',
    title: 'Accuracy when latents are replaced',
    columns: [
      text('arm', 'latents are'),
      { key: 'n', title: 'n', format: 'count' },
      { key: 'accuracy', title: 'accuracy', format: 'percent' },
      { key: 'difference', title: 'against clean', format: 'points' },
      { key: 'p', title: 'p, Holm', format: 'p' },
      { key: 'retention', title: 'retention R', format: 'number' },
    ],
    rows,
    note: 'Pairs by question; p is exact McNemar, corrected over the ten arms.',
    items: ['items/arm-clean.jsonl', ...ARMS.map((_, i) => `items/arm-${i}.jsonl`)],
  };
  const chart = rows.map(({ arm, accuracy }) => ({
    arm,
    low: accuracy.low,
    high: accuracy.high,
    accuracy: accuracy.value,
  }));
  return {
    name: 'replacement',
    title: 'Replacement: what the latents are worth',
    definition:
      'The same checkpoint goes on from the start of the span with its latents left alone, removed or replaced; prompt, picture, budget, boundary tokens and seed stay as they are. Retention R is (accuracy of the arm − accuracy without latents) / (clean accuracy − accuracy without latents).',
    source:
      'GAP Table 6; markers-only and slot arms are ours: they part content from extra positions.',
    findings: [
      "Another example's latents cost 55.2 points (51.0 to 59.3): what helps is what they show of this picture.",
      'Markers alone are worth nothing over zero-latent: 0.6 points less (−4.7 to 3.6).',
    ],
    tables: [table],
    figures: [
      {
        id: 'replacement-arms',
        title: 'Accuracy by arm with 95 % intervals',
        alt: 'Clean answers 85.3 % of the questions; every replacement but identity and oracle falls to 30 to 61 %.',
        spec: forest(chart),
        items: ['items/arm-clean.jsonl'],
      },
    ],
    notes: ['Truncated spans were left out: the model writes K latents or none.'],
  };
}

function norms(): AuditPart {
  const kinds = [
    ['text', 0.01, 4.6],
    ['query picture', 3.43, 4.9],
    ['latent', 3.4, 5.3],
  ] as const;
  const rows = kinds.flatMap(([series, start, end]) =>
    Array.from({ length: 29 }, (_, x) => {
      const value = start + (end - start) * (1 - Math.exp(-x / 7));
      return { series, x, value, low: value - 0.22, high: value + 0.22 };
    }),
  );
  return {
    name: 'norms',
    title: 'Norms and subspace',
    definition:
      'Mean of ln L2 norm of the residual stream by layer, for text, picture and latent positions; the band is one standard deviation. The last column is the share of a vector that lies outside of the PCA plane.',
    source: 'GAP §3, Fig. 2, Table 1.',
    findings: ['A latent that is read back has 0.97 times the norm of the query picture.'],
    tables: [
      {
        id: 'norms-injected',
        title: 'The vector that is read back',
        columns: [
          text('what', 'vector'),
          { key: 'norm', title: 'L2 norm', format: 'number' },
          { key: 'outside', title: 'outside of the plane', format: 'percent' },
          { key: 'rank', title: 'dimensions for 95 %', format: 'count' },
        ],
        rows: [
          { what: 'latent', norm: { value: 30.2, low: 27.3, high: 33.1 }, outside: 0, rank: 12 },
          { what: 'query picture', norm: 31.04, outside: 0.039, rank: 41 },
          { what: 'text input', norm: 0.5612, outside: 0.912, rank: null },
        ],
        items: ['items/part-norms.jsonl'],
      },
    ],
    figures: [
      {
        id: 'norms-by-layer',
        title: 'ln L2 norm by layer',
        alt: 'Text starts at 0 and rises to 4.6; pictures and latents start at 3.4 and rise to about 5.',
        spec: lines(rows, { x: 'layer', y: 'ln L2 norm' }),
        items: ['items/part-norms.jsonl'],
      },
    ],
    notes: [],
  };
}

function probe(): AuditPart {
  const places = ['before the span', 'latents', 'before the answer'];
  const kinds = [
    ['true labels', [0.41, 0.63, 0.88]],
    ['shuffled labels', [0.2, 0.21, 0.19]],
    ['question only', [0.37, 0.37, 0.37]],
  ] as const;
  const rows = kinds.flatMap(([kind, values]) =>
    places.map((place, i) => ({ kind, place, accuracy: values[i] ?? 0 })),
  );
  return {
    name: 'probe',
    title: 'Decodability against use',
    definition:
      'A multinomial logistic probe reads the answer from states at three places, five-fold cross-validated by question; its own regularisation is chosen inside of the folds.',
    source:
      'ours: a probe shows what is there, not that it is used; the controls bound what it makes up.',
    findings: ['The gap G between latents and the state before the answer is 25 points.'],
    tables: [
      {
        id: 'probe-sites',
        title: 'Accuracy of the probe',
        columns: [
          text('place', 'state'),
          text('kind', 'labels'),
          { key: 'accuracy', title: 'accuracy', format: 'percent' },
          { key: 'strength', title: 'regularisation', format: 'number' },
        ],
        rows: rows.map((row) => ({ ...row, accuracy: share(row.accuracy), strength: 0.00001 })),
        items: ['items/part-probe.jsonl'],
      },
    ],
    figures: [
      {
        id: 'probe-sites',
        title: 'What a probe reads from a state',
        alt: 'With true labels the probe reaches 41, 63 and 88 %; with shuffled labels 20 %.',
        spec: groupedBars(rows),
        items: ['items/part-probe.jsonl'],
      },
    ],
    notes: ['36 answers that occur once were left out.'],
  };
}

function simple(
  name: PartName,
  title: string,
  table: Pick<AuditTable, 'columns' | 'rows'>,
  extra: Partial<AuditPart> = {},
): AuditPart {
  return {
    name,
    title,
    definition: `What the audit measures under this name, held to one paragraph: ${title.toLowerCase()}.`,
    source: 'ours: a measurement of its own, with its reason in the docs.',
    findings: [`${title}: nothing that the replacement tests had not shown.`],
    figures: [],
    notes: [],
    tables: [
      {
        id: `${name}-main`,
        title: `${title}, by kind`,
        items: [`items/part-${name}.jsonl`],
        ...table,
      },
    ],
    ...extra,
  };
}

function mediation(): AuditPart {
  return simple('mediation', 'Mediation', {
    columns: [
      text('what', 'similarity of'),
      { key: 'within', title: 'within a span', format: 'number' },
      { key: 'between', title: 'between examples', format: 'number' },
    ],
    rows: [
      { what: 'latents', within: 0.412, between: { value: 0.207, low: 0.191, high: 0.224 } },
      { what: 'picture states', within: 0.335, between: 0.301 },
      { what: 'text states', within: 0.118, between: -0.000012 },
    ],
  });
}

function counterfactual(): AuditPart {
  return simple('counterfactual', 'Counterfactual pictures', {
    columns: [
      text('edit', 'edit'),
      { key: 'n', title: 'pairs', format: 'count' },
      { key: 'flip', title: 'should flip and does', format: 'percent' },
      { key: 'moved', title: 'latents moved, against the floor', format: 'number' },
    ],
    rows: [
      { edit: 'object moved', n: 132, flip: share(0.81, 132), moved: 7.31 },
      { edit: 'object recoloured', n: 141, flip: share(0.77, 141), moved: 5.02 },
      { edit: 'deciding object removed', n: 0, flip: null, moved: null },
      { edit: HOSTILE, n: 1, flip: 1, moved: NaN },
    ],
  });
}

function dependence(): AuditPart {
  const curve = Array.from({ length: 37 }, (_, x) => {
    const value = 2.4 * (1 - Math.exp(-x / 9));
    return { series: 'most attended first', x, value, low: value - 0.2, high: value + 0.2 };
  });
  const random = curve.map((row) => ({
    ...row,
    ...{ series: 'in random order', value: (2.4 * row.x) / 36 },
    ...{ low: (2.2 * row.x) / 36, high: (2.6 * row.x) / 36 },
  }));
  const rng = new Rng('attention');
  const heat = Array.from({ length: 144 }, (_, i) => ({
    layer: Math.floor(i / 36),
    latent: (i % 36) + 1,
    attention: 0.02 + 0.2 * rng.uniform() * rng.uniform(),
  }));
  const items = ['items/part-dependence.jsonl'];
  return {
    ...simple('dependence', 'Dependence in a fixed context', {
      columns: [
        text('m', 'latents replaced'),
        { key: 'drop', title: 'nats lost', format: 'number' },
      ],
      rows: [{ m: '36 of 36', drop: { value: 2.36, low: 2.11, high: 2.6 } }],
    }),
    figures: [
      {
        id: 'dependence-curve',
        title: 'Log-probability of the answer lost, against latents replaced',
        alt: 'Replacing the nine most attended latents loses 1.5 nats, nine random ones 0.6.',
        spec: lines([...curve, ...random], { x: 'latents replaced', y: 'nats lost' }),
        items,
      },
      {
        id: 'dependence-attention',
        title: 'Attention of the answer to each latent, by layer',
        alt: 'Attention is between 0.02 and 0.22 and has no pattern over layers or latents.',
        spec: cells(heat),
        items,
      },
    ],
  };
}

function exposure(): AuditPart {
  const rows = [0, 4, 9, 18, 27, 36].map((forced) => ({
    forced,
    error: 0.31 * (1 - forced / 40),
    accuracy: 0.853 + (0.118 * forced) / 36,
  }));
  return {
    ...simple('exposure', 'Exposure gap', {
      columns: [
        { key: 'forced', title: 'latents forced', format: 'count' },
        { key: 'accuracy', title: 'accuracy', format: 'percent' },
      ],
      rows: rows.map(({ forced, accuracy }) => ({ forced, accuracy: share(accuracy) })),
    }),
    figures: [
      {
        id: 'exposure-forced',
        title: 'Error of the free latents and accuracy, against latents forced',
        alt: 'The error falls from 0.31 to 0.03 and accuracy rises from 85 to 97 % as all 36 are forced.',
        spec: pair(rows),
        items: ['items/part-exposure.jsonl'],
      },
    ],
  };
}

function parser(): AuditPart {
  const rng = new Rng('ranks');
  const rows = ['by the latents', 'by the parser text'].flatMap((kind, k) =>
    Array.from({ length: 10 }, (_, i) => ({
      kind,
      rank: i + 1,
      count: Math.round((k === 0 ? 260 : 190) * Math.exp(-i / (1 + k)) + 8 * rng.uniform()),
    })),
  );
  return {
    ...simple('parser', 'Faithfulness of the parser', {
      columns: [text('by', 'ranked by'), { key: 'first', title: 'rank 1', format: 'percent' }],
      rows: [
        { by: 'the latents', first: share(0.72) },
        { by: 'the parser text', first: share(0.51) },
      ],
    }),
    figures: [
      {
        id: 'parser-ranks',
        title: 'Rank of the own auxiliary picture among ten',
        alt: 'Most own pictures rank first: 268 by the latents, 195 by the parser text.',
        spec: facetedBars(rows),
        items: ['items/part-parser.jsonl'],
      },
    ],
  };
}

function oracle(): AuditPart {
  const columns = [text('id', 'example'), text('why', 'why it cannot teach')];
  const rows = [
    { id: 'rope-hard-17', why: 'right without latents already' },
    { id: HOSTILE, why: 'wrong even with the true picture' },
  ];
  const empty: AuditTable = {
    id: 'oracle-none',
    title: 'Rows without an auxiliary picture',
    columns,
    rows: [],
    items: [],
  };
  const part = simple('oracle', 'What the oracle could teach', { columns, rows });
  return { ...part, tables: [...part.tables, empty] };
}

function pictureRow(task: 'rope' | 'zoom' | 'chart', id: string): PictureRow {
  const sample = tasks[task].sample(new Rng(`audit ${task}`), 'hard');
  const png = (raster: typeof sample.picture): string =>
    Buffer.from(encodePng(raster)).toString('base64');
  return {
    title: `${sample.question} (${id})`,
    text: `The answer is ${sample.answer}; the model said so.`,
    pictures: [
      { title: 'Query picture', alt: `Query picture of ${id}`, png: png(sample.picture) },
      { title: 'Auxiliary picture', alt: `Auxiliary picture of ${id}`, png: png(sample.auxiliary) },
      {
        title: 'Latents as nearest patches',
        alt: `Mosaic of the patches nearest to the latents of ${id}`,
        png: png(sample.auxiliary),
      },
    ],
  };
}

function pictures(): AuditPart {
  return {
    ...simple('pictures', 'Pictures', { columns: [], rows: [] }),
    tables: [],
    findings: [],
    pictures: [
      pictureRow('rope', 'rope-hard-17'),
      pictureRow('zoom', HOSTILE),
      pictureRow('chart', 'chart-hard-8'),
    ],
  };
}

/** Makes each part. */
export const PARTS: Readonly<Record<PartName, () => AuditPart>> = {
  ...{ replacement, norms, probe, mediation, counterfactual },
  ...{ dependence, exposure, parser, oracle, pictures },
};
