// Owns the figure and the findings of the oracle part, from journal records alone.
import type { TopLevelSpec } from 'vega-lite';
import { Rng } from '../../rng.ts';
import type { AuditFacts, Journals } from '../part.ts';
import { groupByTask, labelOf, measuredOf, percent } from '../rates.ts';
import type { AuditFigure, AuditPart, AuditTable, Measured } from '../types.ts';
import {
  WAYS,
  accuracyTable,
  askedOf,
  cannotTeach,
  gainTable,
  listTable,
  mainComparison,
} from './oracle-tables.ts';
import type { Way } from './oracle-tables.ts';

function figureOf({ rows, items }: AuditTable, ways: readonly Way[]): AuditFigure {
  const values = rows.flatMap((row) =>
    ways.flatMap((way) => {
      const cell = measuredOf(row, way);
      return cell ? [{ task: labelOf(row['task']), way: WAYS[way], ...cell }] : [];
    }),
  );
  const sort = ways.map((way) => WAYS[way]);
  const spec: TopLevelSpec = {
    data: { values },
    encoding: {
      x: { field: 'task', type: 'nominal', sort: null, title: 'Task' },
      xOffset: { field: 'way', type: 'nominal', sort },
    },
    layer: [
      {
        mark: 'bar',
        encoding: {
          y: {
            field: 'value',
            type: 'quantitative',
            title: 'Accuracy',
            axis: { format: '%' },
            scale: { domain: [0, 1] },
          },
          color: { field: 'way', type: 'nominal', sort, title: 'Answered with' },
        },
      },
      {
        mark: 'rule',
        encoding: { y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' } },
      },
    ],
  };
  return {
    id: 'oracle-accuracy',
    title: 'Accuracy with and without the oracle',
    alt: values.map(({ task, way, value }) => `${task}, ${way}: ${percent(value)}`).join('; '),
    spec,
    items,
  };
}

function points(measured: Measured | null): string {
  if (!measured) return '-';
  const [value = '', low = '', high = ''] = [measured.value, measured.low, measured.high].map((x) =>
    (100 * x).toFixed(1),
  );
  return `${value} points (${low} to ${high})`;
}

/** The part from its journals. */
export function summariseOracle(journals: Journals, facts: AuditFacts): AuditPart {
  const asked = askedOf(journals);
  const rng = new Rng(facts.seed).fork('oracle');
  const ways = (Object.keys(WAYS) as Way[]).filter((way) =>
    asked.some(({ ways: own }) => own[way] !== undefined),
  );
  const groups = groupByTask(asked);
  const accuracies = accuracyTable(groups, ways, rng);
  const gains = gainTable(groups, ways, rng);
  const main = mainComparison(ways);
  const stuck = main ? cannotTeach(asked, main) : [];
  const first = groups[0]?.label;
  const without = asked.filter(({ ways: own }) => own.two === undefined).length;
  const hasOracle = ways.includes('oracle');
  return {
    name: 'oracle',
    title: 'Oracle informativeness',
    definition:
      "What is an auxiliary picture worth? Its embeddings are given in the place of the model's latents (arm `oracle`), and accuracy is held against that with the model's own latents and without any, example by example. Independently of latents, and so before any training, the auxiliary picture is given as a second input picture behind the query picture.",
    source:
      'Oracle latents: GAP Table 6. The second input picture is ours: a base has no latents to replace, and a picture that does not help as a picture will hardly help as a latent.',
    findings: [
      ...gains.rows
        .filter((row) => row['task'] === first)
        .map(
          (row) =>
            `${sentenceCase(labelOf(row['oracle']))}: ${points(measuredOf(row, 'gain'))}; ${labelOf(row['turnedRight'])} of ${labelOf(row['n'])} examples turned right, ${labelOf(row['turnedWrong'])} wrong.`,
        ),
      ...(main
        ? [`${stuck.length} of ${asked.length} examples stay wrong even with the oracle.`]
        : []),
    ],
    tables: [
      accuracies,
      ...(gains.rows.length > 0 ? [gains] : []),
      ...(main && stuck.length > 0 ? [listTable(stuck, main)] : []),
    ],
    figures: asked.length > 0 ? [figureOf(accuracies, ways)] : [],
    notes: [
      ...(hasOracle
        ? []
        : ['No oracle latents could be given: the second input picture alone says what is here.']),
      ...(without > 0 ? [`${without} examples have no auxiliary picture.`] : []),
      'A model that never saw two pictures in one prompt may be worse for the second one; a negative gain there says so, and nothing of the pictures.',
    ],
  };
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
