// Owns the figures and the findings of counterfactual pictures, from journal records alone.
import type { TopLevelSpec } from 'vega-lite';
import { Rng } from '../../rng.ts';
import type { AuditFacts, Journals } from '../part.ts';
import { groupByTask, labelOf, measuredOf, percent, withInterval } from '../rates.ts';
import type { AuditFigure, AuditPart, AuditTable, Cell } from '../types.ts';
import { EFFECTS, ITEMS } from './counterfactual-records.ts';
import type { CounterfactualRecord } from './counterfactual-records.ts';
import {
  crossedTable,
  editTable,
  flipRow,
  flipTable,
  movedTable,
} from './counterfactual-tables.ts';

/** Bars with intervals of the three rates a reader looks for, by task. */
function flipFigure(rows: AuditTable['rows']): AuditFigure {
  const shown = {
    modelFlip: 'model flip',
    correctFlip: 'correct flip',
    consistency: 'control kept',
  };
  const values = rows.flatMap((row) =>
    Object.entries(shown).flatMap(([key, rateName]) => {
      const cell = measuredOf(row, key);
      return cell === null ? [] : [{ task: labelOf(row['task']), rate: rateName, ...cell }];
    }),
  );
  const position = { field: 'rate', type: 'nominal' as const, sort: Object.values(shown) };
  const spec: TopLevelSpec = {
    data: { values },
    encoding: {
      x: { field: 'task', type: 'nominal', sort: null, title: 'Task' },
      xOffset: position,
    },
    layer: [
      {
        mark: 'bar',
        encoding: {
          y: {
            field: 'value',
            type: 'quantitative',
            title: 'Share of edits',
            scale: { domain: [0, 1] },
            axis: { format: '%' },
          },
          color: { ...position, title: 'Rate' },
        },
      },
      {
        mark: 'rule',
        encoding: {
          y: { field: 'low', type: 'quantitative' },
          y2: { field: 'high' },
        },
      },
    ],
  };
  return {
    id: 'counterfactual-flips',
    title: 'What edits do to answers',
    alt: values
      .map(({ task, rate: name, value }) => `${task}, ${name}: ${percent(value)}`)
      .join('; '),
    spec,
    items: ITEMS,
  };
}

/** Distances of all pictures as strips, one a row of effect. */
function movedFigure(records: readonly CounterfactualRecord[]): AuditFigure {
  const values = records.flatMap(({ id, task, edits }) =>
    edits.flatMap(({ effect, what, l2 }) =>
      l2 === null ? [] : [{ id, task, effect: EFFECTS[effect], what, l2 }],
    ),
  );
  return {
    id: 'counterfactual-latents',
    title: 'How far latents moved',
    alt: 'Distribution of the mean L2 distance between clean latents and those for the changed picture, by what was changed; the table beside it has means and intervals.',
    spec: {
      data: { values },
      mark: { type: 'boxplot', extent: 'min-max' },
      encoding: {
        y: { field: 'effect', type: 'nominal', sort: Object.values(EFFECTS), title: null },
        x: { field: 'l2', type: 'quantitative', title: 'Mean L2 distance of the latents' },
      },
    },
    items: ITEMS,
  };
}

function findingsOf(
  flips: Readonly<Record<string, Cell>>,
  tables: readonly AuditTable[],
): string[] {
  const findings = [
    `Where the deciding object was changed, the answer changed in ${percent(measuredOf(flips, 'modelFlip'))} and became the new right answer in ${percent(measuredOf(flips, 'correctFlip'))} of the pictures; after edits that decide nothing it stayed in ${percent(measuredOf(flips, 'consistency'))}, after changes no one sees in ${percent(measuredOf(flips, 'floor'))}.`,
  ];
  const moved = tables.find(({ id }) => id === 'counterfactual-latents')?.rows;
  if (moved) {
    const [flip, control, floor] = moved;
    findings.push(
      `Latents moved by L2 ${withInterval(measuredOf(flip, 'l2'))} with the deciding object, ${withInterval(measuredOf(control, 'l2'))} with another one, ${withInterval(measuredOf(floor, 'l2'))} with changes no one sees.`,
    );
  }
  const crossed = tables.find(({ id }) => id === 'counterfactual-crossed')?.rows[0];
  if (crossed) {
    findings.push(
      `With the original picture and the latents of the edited one, the answer was that of the latents in ${percent(measuredOf(crossed, 'latents'))} (with its own latents ${percent(measuredOf(crossed, 'before'))}) and that of the picture in ${percent(measuredOf(crossed, 'picture'))} of ${labelOf(crossed['n'])} examples.`,
    );
  }
  return findings;
}

/** The part from its journal. */
export function summariseCounterfactual(journals: Journals, facts: AuditFacts): AuditPart {
  const all = journals.part('counterfactual') as readonly CounterfactualRecord[];
  const records = all.filter(({ skipped }) => skipped === null);
  const rng = new Rng(facts.seed).fork('counterfactual');
  const groups = groupByTask(records);
  const rows = groups.map((group) => flipRow(group, rng));
  const hasLatents = records.some(({ edits }) => edits.some(({ l2 }) => l2 !== null));
  const hasCrossed = records.some(({ crossed }) => crossed !== null);
  const tables = [
    flipTable(rows),
    editTable(records, rng),
    ...(hasLatents ? [movedTable(records, rng)] : []),
    ...(hasCrossed ? [crossedTable(groups, rng)] : []),
  ];
  const numSkipped = all.length - records.length;
  return {
    name: 'counterfactual',
    title: 'Counterfactual pictures',
    definition:
      'One object of the query picture is moved, recoloured, removed or added by the program that drew it, so the right answer to the edited picture is known. Edits of the deciding object should flip the answer; control edits of another object should not. The edited picture is encoded and answered from scratch, with the same question, seed and budget. Latents are compared position by position with those of the unedited picture, against a floor of changes of one grey level.',
    source:
      'ours: exact edits by the drawing program instead of an image editor, because only the program knows the new answer.',
    findings: rows[0] && records.length > 0 ? findingsOf(rows[0], tables) : [],
    tables,
    figures: [flipFigure(rows), ...(hasLatents ? [movedFigure(records)] : [])],
    notes: [
      `The first examples only, ${records.length} here: each is decoded up to seven times more.`,
      ...(records.some(({ task }) => task === 'bricks')
        ? ['Every brick counts in a wall: its control edit moves a gap, which keeps their number.']
        : []),
      ...(numSkipped > 0
        ? [`${numSkipped} examples were left out: their seed does not draw their picture again.`]
        : []),
      ...(hasLatents
        ? []
        : ['The model wrote no latents, so that nothing is said of their moves.']),
    ],
  };
}
