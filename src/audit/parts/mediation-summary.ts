// Owns the part on mediation made of journals alone: tables, figure, sentences; mediation.ts calls it.
import type { MeanInterval } from '../../evaluate/statistics.ts';
import { Rng } from '../../rng.ts';
import { partFile } from '../journals.ts';
import { measured, told, toldPercent, toldPoints } from '../measured.ts';
import type { AuditFacts, Journals } from '../part.ts';
import type { AuditFigure, AuditPart, AuditTable, Measured } from '../types.ts';
import {
  HIDDEN_ARMS,
  REPLACED_ARMS,
  answerArms,
  answerTable,
  donorShares,
  hiddenEffect,
} from './mediation-answers.ts';
import type { AnswerArm } from './mediation-answers.ts';
import { VECTOR_KINDS } from './mediation-records.ts';
import type { MediationRecord, VectorKind } from './mediation-records.ts';
import { similarityOf } from './mediation-similarity.ts';
import type { Similarity } from './mediation-similarity.ts';

const ITEMS = [partFile('mediation')];
const KIND_NAMES: Readonly<Record<VectorKind, string>> = {
  injected: 'injected latents',
  targets: 'auxiliary picture embeddings',
  query: 'query picture embeddings',
  latentStates: 'states at latents',
  pictureStates: 'states at the query picture',
  textStates: 'states at words',
};
const PAIRS = [
  { key: 'sameTask', label: 'between examples of one task' },
  { key: 'otherTask', label: 'between examples of different tasks' },
  { key: 'samePlace', label: 'at the same place, one task' },
  { key: 'within', label: 'within one example' },
] as const;

function similarityTable(similarities: readonly Similarity[]): AuditTable {
  const cell = (interval: MeanInterval | undefined): Measured | null =>
    interval ? measured(interval) : null;
  return {
    id: 'mediation-similarity',
    title: 'How alike vectors are: mean cosine over all pairs',
    columns: [
      { key: 'what', title: 'vectors', format: 'text' },
      { key: 'n', title: 'examples', format: 'count' },
      ...PAIRS.map(({ key, label }) => ({ key, title: label, format: 'number' as const })),
    ],
    rows: similarities.map((one) => ({
      what: KIND_NAMES[one.kind],
      n: one.n,
      ...Object.fromEntries(PAIRS.map(({ key }) => [key, cell(one[key])])),
    })),
    note:
      'Rows that wrote a span. States are taken after the final norm; words are those of question ' +
      'and response. Every pair of places counts, whichever the places are. Intervals resample examples.',
    items: ITEMS,
  };
}

function similarityFigure(similarities: readonly Similarity[]): AuditFigure {
  const values = similarities.flatMap((one) =>
    PAIRS.flatMap(({ key, label }) => {
      const interval = one[key];
      if (!interval) return [];
      const { mean, low, high } = interval;
      return [{ vectors: KIND_NAMES[one.kind], pairs: label, cosine: mean, low, high }];
    }),
  );
  const y = { field: 'vectors', type: 'nominal', title: null, sort: null } as const;
  const yOffset = { field: 'pairs', type: 'nominal', sort: null } as const;
  const color = { field: 'pairs', type: 'nominal', title: 'pairs', sort: null } as const;
  return {
    id: 'mediation-similarity',
    title: 'How alike vectors are',
    alt: values
      .map(({ vectors, pairs, cosine }) => `${vectors}, ${pairs}: ${told(cosine)}`)
      .join('; '),
    spec: {
      data: { values },
      width: 420,
      height: { step: 14 },
      layer: [
        {
          mark: { type: 'rule' },
          encoding: {
            y,
            yOffset,
            color,
            x: { field: 'low', type: 'quantitative', title: 'mean cosine' },
            x2: { field: 'high' },
          },
        },
        {
          mark: { type: 'point', filled: true, size: 50, tooltip: true },
          encoding: {
            y,
            yOffset,
            color,
            shape: { field: 'pairs', type: 'nominal', title: 'pairs', sort: null },
            x: { field: 'cosine', type: 'quantitative' },
          },
        },
      ],
    },
    items: ITEMS,
  };
}

function similarityFindings(similarities: readonly Similarity[]): string[] {
  const of = (kind: VectorKind): Similarity | undefined =>
    similarities.find((one) => one.kind === kind);
  const meansTold = (what: string, key: (typeof PAIRS)[number]['key']): string[] => {
    const means = VECTOR_KINDS.flatMap((kind) => {
      const interval = of(kind)?.[key];
      return interval ? [`${KIND_NAMES[kind]} ${told(interval.mean)}`] : [];
    });
    return means.length === 0 ? [] : [`${what}: ${means.join(', ')}.`];
  };
  const [injected, targets] = [of('injected')?.samePlace, of('targets')?.samePlace];
  return [
    ...(injected
      ? [
          `At the same place of the span, latents of different examples of one task have mean cosine ${told(injected.mean)}${targets ? `, their targets ${told(targets.mean)}` : ''} (1: every example of a task writes the same).`,
        ]
      : []),
    ...meansTold('Mean cosine between examples of one task', 'sameTask'),
    ...meansTold('Mean cosine within one example', 'within'),
  ];
}

function armFinding({ name, title, accuracy, changed, effect }: AnswerArm): string[] {
  if (name === 'clean' || !effect) return [];
  return [
    `With ${title}: ${toldPercent(accuracy.value)} right, ${toldPoints(effect.difference)} against own latents; ${toldPercent(changed.value)} of the answers changed (${effect.n} rows with a span).`,
  ];
}

const REPLACED_NOTE =
  'Rows that wrote a span. All latents of all examples set to one tensor, to noise, to zero: what ' +
  'answers lose is the effect that passes through the vectors. p: exact McNemar, corrected within the table.';
const HIDDEN_NOTE =
  'Rows that wrote a span. From the end of the span on, positions see neither picture nor question ' +
  'nor what stood before the latents, only latents and later text. Latents themselves still see the ' +
  'picture, so their keys and values carry more than the vectors that are read at them. A model that ' +
  'was not trained so meets what it never saw; one that was trained so is decoded so in every arm. p: exact McNemar, corrected within the table.';

/** The part from its journals. */
export function summariseMediation(journals: Journals, facts: AuditFacts): AuditPart {
  const records = journals.part('mediation') as readonly MediationRecord[];
  const rng = new Rng(facts.seed).fork('mediation');
  const similarities = VECTOR_KINDS.map((kind) => similarityOf(records, kind, rng)).filter(
    ({ n }) => n > 0,
  );
  const replaced = answerArms(journals, REPLACED_ARMS, rng);
  const hidden = answerArms(journals, HIDDEN_ARMS, rng);
  const donors = donorShares(journals, records);
  const own = hiddenEffect(journals, rng);
  const followed = donors.get('picture-hidden-other');
  const byChance = donors.get('picture-hidden');
  const missing = [...REPLACED_ARMS, ...HIDDEN_ARMS].filter(
    (name) => journals.arm(name).length === 0,
  );
  return {
    name: 'mediation',
    title: 'Mediation: picture to latents, latents to answer',
    definition:
      'Does the picture shape the latents, and do the latents shape the answer? First: how alike ' +
      'latents of different examples are, against embeddings and states of pictures and words; ' +
      'latents that are the same for every example carry nothing about it. Then: answers when all ' +
      'latents are set to one tensor, to noise or to zero, and answers when positions after the span ' +
      'see latents alone, own or of another example.',
    source: 'ours, after causal mediation analysis (Pearl 2001)',
    findings: [
      ...similarityFindings(similarities),
      ...replaced.flatMap(armFinding),
      ...hidden.flatMap(armFinding),
      ...(own
        ? [
            `With the picture hidden, own latents give ${toldPoints(own.difference)} against another example's.`,
          ]
        : []),
      ...(followed && byChance
        ? [
            `Where the two answers differ, ${toldPercent(followed.value)} of the answers from another example's latents are that example's (${toldPercent(byChance.value)} from own latents).`,
          ]
        : []),
    ],
    tables: [
      similarityTable(similarities),
      ...(replaced.length > 1
        ? [answerTable('mediation-answers', 'Answers without own latents', REPLACED_NOTE, replaced)]
        : []),
      ...(hidden.length > 1
        ? [
            answerTable(
              'mediation-hidden',
              'Answers from latents alone',
              HIDDEN_NOTE,
              hidden,
              donors,
            ),
          ]
        : []),
    ],
    figures: [similarityFigure(similarities)],
    notes: missing.length > 0 ? [`arms that were not run: ${missing.join(', ')}`] : [],
  };
}
