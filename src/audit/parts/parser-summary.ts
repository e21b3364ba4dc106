// Owns the figures and the findings of the parser part, from journal records alone.
import type { TopLevelSpec } from 'vega-lite';
import { Rng } from '../../rng.ts';
import type { AuditFacts, Journals } from '../part.ts';
import { labelOf, measuredOf, percent, withInterval } from '../rates.ts';
import type { AuditFigure, AuditPart, AuditTable, Cell } from '../types.ts';
import { PARSER_ARMS } from './parser-records.ts';
import type { ParserRecord } from './parser-records.ts';
import { RANKINGS, rankTable } from './parser-ranks.ts';
import { corruptedTable, swapTable, swapTextTable, swappedRows } from './parser-tables.ts';

type Row = Readonly<Record<string, Cell>>;

/** Reciprocal ranks with intervals, and chance as a tick, by task. */
function rankFigure({ rows, items }: AuditTable): AuditFigure {
  const values = rows.flatMap((row) => {
    const mrr = measuredOf(row, 'mrr');
    return mrr === null
      ? []
      : [{ task: labelOf(row['task']), by: row['by'], chance: row['chanceMrr'], ...mrr }];
  });
  const y = { field: 'by', type: 'nominal' as const, sort: Object.values(RANKINGS), title: null };
  const spec: TopLevelSpec = {
    data: { values },
    facet: { row: { field: 'task', type: 'nominal', sort: null, title: 'Task' } },
    spec: {
      encoding: { y },
      layer: [
        {
          mark: 'rule',
          encoding: { x: { field: 'low', type: 'quantitative' }, x2: { field: 'high' } },
        },
        {
          mark: { type: 'point', filled: true },
          encoding: {
            x: {
              field: 'value',
              type: 'quantitative',
              title: 'Mean reciprocal rank (tick: chance)',
            },
          },
        },
        { mark: 'tick', encoding: { x: { field: 'chance', type: 'quantitative' } } },
      ],
    },
  };
  return {
    id: 'parser-ranks',
    title: 'Whose picture latents and text point to',
    alt: values
      .map(({ task, by, value }) => `${task}, ${labelOf(by)}: ${value.toPrecision(2)}`)
      .join('; '),
    spec,
    items,
  };
}

/** Whom the answers follow, stacked by task. */
function swapFigure({ rows, items }: AuditTable): AuditFigure {
  const kinds = { latents: 'the latents', picture: 'the picture', neither: 'neither' };
  const values = rows.flatMap((row) =>
    Object.entries(kinds).map(([key, follows]) => ({
      task: labelOf(row['task']),
      follows,
      share: measuredOf(row, key)?.value ?? 0,
    })),
  );
  return {
    id: 'parser-swap-answers',
    title: "Whom the answer follows with another example's latents",
    alt: values
      .map(({ task, follows, share }) => `${task}, ${follows}: ${percent(share)}`)
      .join('; '),
    spec: {
      data: { values },
      mark: 'bar',
      encoding: {
        y: { field: 'task', type: 'nominal', sort: null, title: 'Task' },
        x: {
          field: 'share',
          type: 'quantitative',
          title: 'Share of examples',
          axis: { format: '%' },
          scale: { domain: [0, 1] },
        },
        color: {
          field: 'follows',
          type: 'nominal',
          sort: Object.values(kinds),
          title: 'The answer follows',
        },
      },
    },
    items,
  };
}

function rankFinding(rows: readonly Row[]): string[] {
  const of = (by: keyof typeof RANKINGS): Row | undefined =>
    rows.find((row) => row['by'] === RANKINGS[by]);
  const own = of('cosine');
  if (!own || own['n'] === 0) return [];
  const text = of('text');
  const said =
    text && text['n'] !== 0
      ? `; by the parser text ${withInterval(measuredOf(text, 'mrr'))} (chance ${numberOf(text['chanceMrr'])})`
      : '';
  return [
    `Looked for with its latents, an example's own auxiliary picture has a mean reciprocal rank of ${withInterval(measuredOf(own, 'mrr'))} among ${numberOf(own['candidates'])} pictures (chance ${numberOf(own['chanceMrr'])})${said}.`,
  ];
}

function numberOf(cell: Cell | undefined): string {
  return typeof cell === 'number' ? `${Number(cell.toPrecision(3))}` : '-';
}

function swapFinding(row: Row | undefined): string[] {
  if (!row || row['n'] === 0) return [];
  return [
    `With another example's latents the answer is that example's in ${percent(measuredOf(row, 'latents'))} (chance ${percent(row['chanceLatents'] as number | null)}) and the picture's own in ${percent(measuredOf(row, 'picture'))} (chance ${percent(row['chancePicture'] as number | null)}) of ${labelOf(row['n'])} examples.`,
  ];
}

function corruptedFinding(rows: readonly Row[]): string[] {
  return [PARSER_ARMS.other, PARSER_ARMS.random].flatMap(({ title }) => {
    const row = rows.find(({ text }) => text === title);
    return row && row['n'] !== 0
      ? [
          `${title}: the answer stays the same in ${percent(measuredOf(row, 'same'))} of ${labelOf(row['n'])} examples.`,
        ]
      : [];
  });
}

function notesOf(records: readonly ParserRecord[], hasOther: boolean): string[] {
  const ranked = records.filter(({ standings }) => standings !== null);
  const untold = ranked.filter(({ numTexts }) => numTexts === 1).length;
  const without = records.length - ranked.length;
  return [
    ...(ranked.length > 0 && untold === ranked.length
      ? [
          'The parser texts of this dataset are the same for all examples of a task, so that no text can tell their pictures apart: its rank is chance by construction.',
        ]
      : untold > 0
        ? [`${untold} examples stand among candidates that all have the same text.`]
        : []),
    ...(without > 0
      ? [`${without} examples have no auxiliary picture, or no other to tell it from.`]
      : []),
    ...(hasOther ? [] : ["Nobody else's latents could be given, so that nothing was swapped."]),
  ];
}

/** The part from its journals. */
export function summariseParser(journals: Journals, facts: AuditFacts): AuditPart {
  const records = journals.part('parser') as readonly ParserRecord[];
  const rng = new Rng(facts.seed).fork('parser');
  const swapped = swappedRows(records, journals.arm('clean'), journals.arm('other'));
  const ranks = rankTable(records, rng);
  const answers = swapTable(swapped, rng);
  const texts = swapTextTable(swapped, rng);
  const corrupted = corruptedTable(records, journals, rng);
  const isTelling = texts.rows.some((row) => row['telling'] !== 0);
  return {
    name: 'parser',
    title: 'Faithfulness of the parser text',
    definition:
      "Does what the model writes between the parser tags say what its latents hold? The own auxiliary picture is ranked among those of other examples of the task, by the mean cosine (or minus the mean L2 distance) between latents and the pictures' embeddings position by position, and by the overlap of the written text's words with the texts of the candidates (the dataset's parser text, or without one the auxiliary caption). Then another example's latents are given: do text and answer become that example's? Last, the text is replaced after it was written and the answer decoded behind it.",
    source:
      'ours: ranks among distractors instead of a score by a language model, as a rank has a chance level; the swaps are the intervention `other` of GAP Table 6, read for whom the output follows.',
    findings: [
      ...rankFinding(ranks.rows),
      ...swapFinding(answers.rows[0]),
      ...(swapped.length > 0 && !isTelling
        ? [
            'All examples of a task write the same parser text, so that it cannot be told whether the text follows the latents.',
          ]
        : []),
      ...corruptedFinding(corrupted.rows),
    ],
    tables: [
      ranks,
      ...(swapped.length > 0 ? [answers, texts] : []),
      ...(corrupted.rows.some((row) => row['n'] !== 0) ? [corrupted] : []),
    ],
    figures: [
      ...(ranks.rows.some((row) => row['n'] !== 0) ? [rankFigure(ranks)] : []),
      ...(answers.rows.some((row) => row['n'] !== 0) ? [swapFigure(answers)] : []),
    ],
    notes: notesOf(records, swapped.length > 0),
  };
}
