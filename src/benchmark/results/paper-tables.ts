// Owns the paper's tables filled with our rows beside the published ones, as values; the CLI prints them and
// report/ turns them into text.
import { ConfigError } from '../../errors.ts';
import { AVERAGE_MEMBERS, tableAverages } from '../averages.ts';
import type { AverageName } from '../averages.ts';
import { findOddities, rowName } from './published-checks.ts';
import { PUBLISHED_SOURCE, PUBLISHED_TABLES } from './published.ts';
import type { ColumnSource, PublishedCell, PublishedTable, TableNumber } from './published.ts';
import { judgeName, repeatedHeadline, repeatedLatency } from './contenders.ts';
import type { Contender } from './contenders.ts';
import type { BenchmarkName } from '../types.ts';

/** What a reader has to know about a cell. */
export type CellMark = 'lower bound' | 'incomplete' | 'partial' | 'other table' | 'contradicted';

/** A cell of a table; null where something it is made of is missing. */
export interface FilledCell {
  readonly value: number | null;
  /** Standard deviation over repeats, with n - 1. */
  readonly std?: number;
  readonly marks: readonly CellMark[];
}

/** A row of a table. */
export interface FilledRow {
  readonly label: string;
  readonly source: 'paper' | 'ours';
  readonly cells: readonly FilledCell[];
}

/** A table of the paper with our rows. */
export interface FilledTable {
  readonly number: TableNumber;
  readonly title: string;
  readonly columns: readonly {
    readonly heading: string;
    /** Digits behind the point. */
    readonly digits: number;
    /** Text behind a number, such as the sign of a factor. */
    readonly unit: string;
    /** Whether a plus stands before what is above 0. */
    readonly isDifference: boolean;
  }[];
  readonly rows: readonly FilledRow[];
  readonly notes: readonly string[];
}

/** Rows that others are held against. */
export interface TableReferences {
  /** Label of the contender that gains are against; default: the only one of variant `base`. */
  readonly base?: string;
  /** Label of the one that latency is relative to; default: the only one of variant `dense-caption`. */
  readonly denseCaption?: string;
}

const LATENCY_MEMBERS = ['HRBench4K', 'MathVista_MINI'] as const;

const NONE: FilledCell = { value: null, marks: [] };

function marksOf(contender: Contender, benchmarks: readonly BenchmarkName[]): CellMark[] {
  const results = benchmarks.flatMap((name) => contender.results.get(name) ?? []);
  return [
    ...(results.some(({ isLowerBound }) => isLowerBound) ? ['lower bound' as const] : []),
    ...(results.some(({ status }) => status === 'incomplete') ? ['incomplete' as const] : []),
    ...(results.some(({ status }) => status === 'partial') ? ['partial' as const] : []),
    ...(results.some(({ data }) => data?.isPublished === false) ? ['other table' as const] : []),
  ];
}

function unionOf(...cells: readonly FilledCell[]): CellMark[] {
  return [...new Set(cells.flatMap(({ marks }) => marks))];
}

function headlineCell(contender: Contender, benchmark: BenchmarkName, name: string): FilledCell {
  const found = repeatedHeadline(contender, benchmark, name);
  if (!found) return NONE;
  const marks = marksOf(contender, [benchmark]);
  return { value: found.value, marks, ...(found.std === null ? {} : { std: found.std }) };
}

/** An average is of all its members or it is none; of repeats it is of their means. */
function averageCell(contender: Contender, average: AverageName): FilledCell {
  const members = AVERAGE_MEMBERS[average];
  const figures = [...new Set(members.map(({ benchmark }) => benchmark))].map((benchmark) => ({
    benchmark,
    headlines: members.flatMap(({ headline }) => {
      const found = repeatedHeadline(contender, benchmark, headline);
      return found ? [{ name: headline, percent: found.value }] : [];
    }),
  }));
  const value = tableAverages(figures)[average];
  const benchmarks = figures.map(({ benchmark }) => benchmark);
  return value === null ? NONE : { value, marks: marksOf(contender, benchmarks) };
}

function meanCell(cells: readonly FilledCell[]): FilledCell {
  const values = cells.flatMap(({ value }) => value ?? []);
  if (values.length < cells.length) return NONE;
  const sum = values.reduce((total, value) => total + value, 0);
  return { value: sum / values.length, marks: unionOf(...cells) };
}

function latencyCell(contender: Contender, of: BenchmarkName | 'Avg-2'): FilledCell {
  if (of === 'Avg-2') {
    return meanCell(LATENCY_MEMBERS.map((name) => latencyCell(contender, name)));
  }
  const value = repeatedLatency(contender, of);
  if (value === undefined) return NONE;
  // How a benchmark is scored makes it no slower.
  const marks = marksOf(contender, [of]).filter((mark) => mark !== 'lower bound');
  return { value, marks };
}

interface References {
  readonly base: Contender | undefined;
  readonly dense: Contender | undefined;
}

function combined(
  own: FilledCell,
  other: FilledCell,
  by: (a: number, b: number) => number,
): FilledCell {
  if (own.value === null || other.value === null) return NONE;
  return { value: by(own.value, other.value), marks: unionOf(own, other) };
}

function ownCell(contender: Contender, source: ColumnSource, references: References): FilledCell {
  switch (source.kind) {
    case 'headline':
      return headlineCell(contender, source.benchmark, source.headline);
    case 'average':
      return averageCell(contender, source.average);
    case 'gain': {
      if (!references.base) return NONE;
      const [own, base] = [contender, references.base].map((one) =>
        averageCell(one, source.average),
      );
      return combined(own ?? NONE, base ?? NONE, (a, b) => a - b);
    }
    case 'latency':
      return latencyCell(contender, source.of);
    case 'relative': {
      if (!references.dense) return NONE;
      const [own, dense] = [contender, references.dense].map((one) => latencyCell(one, 'Avg-2'));
      return combined(own ?? NONE, dense ?? NONE, (a, b) => a / b);
    }
    case 'budget':
      return { value: contender.numLatents, marks: [] };
  }
}

function publishedCell(cell: PublishedCell, isContradicted: boolean): FilledCell {
  const marks: CellMark[] = isContradicted ? ['contradicted'] : [];
  if (cell === null) return NONE;
  return typeof cell === 'number' ? { value: cell, marks } : { ...cell, marks };
}

function publishedRows(table: PublishedTable): FilledRow[] {
  const oddities = findOddities(table);
  return table.rows.map((published) => {
    const { label, cells } = published;
    const row = rowName(table, published);
    const isOdd = (column: string): boolean =>
      oddities.some((one) => one.row === row && one.column === column);
    return {
      label,
      source: 'paper',
      cells: table.columns.map(({ heading }, c) => publishedCell(cells[c] ?? null, isOdd(heading))),
    };
  });
}

function only(contenders: readonly Contender[], variant: string): Contender | undefined {
  const found = contenders.filter((one) => one.variant === variant && one.intervention === 'clean');
  return found.length === 1 ? found[0] : undefined;
}

function referencesOf(contenders: readonly Contender[], named: TableReferences): References {
  const byLabel = (label: string): Contender => {
    const found = contenders.find((one) => one.label === label);
    if (found) return found;
    throw new ConfigError({
      what: 'A row that others are held against is not there',
      got: label,
      expected: `one of ${contenders.map((one) => one.label).join(', ')}`,
      fix: 'name a label as the table shows it, or add its runs',
    });
  };
  return {
    base: named.base === undefined ? only(contenders, 'base') : byLabel(named.base),
    dense:
      named.denseCaption === undefined
        ? only(contenders, 'dense-caption')
        : byLabel(named.denseCaption),
  };
}

const FORMATS: Readonly<
  Record<ColumnSource['kind'], Omit<FilledTable['columns'][number], 'heading'>>
> = {
  headline: { digits: 2, unit: '', isDifference: false },
  average: { digits: 2, unit: '', isDifference: false },
  gain: { digits: 2, unit: '', isDifference: true },
  latency: { digits: 2, unit: '', isDifference: false },
  relative: { digits: 2, unit: '×', isDifference: false },
  budget: { digits: 0, unit: '', isDifference: false },
};

function ruleNotes(contenders: readonly Contender[]): string[] {
  return contenders.map((contender) => {
    const results = [...contender.results.values()].flat();
    const eras = [
      ...new Set(
        results.map(
          ({ era, unwrap }) =>
            `era ${era}, ${unwrap === 'raw' ? 'raw texts' : 'unwrapped answers'}`,
        ),
      ),
    ];
    const judges = [...contender.results].map(
      ([benchmark, [first]]) => `${benchmark} ${first ? judgeName(first) : ''}`,
    );
    return `${contender.label}: ${eras.join('; ')}; judges: ${judges.join(', ')}`;
  });
}

const MARK_NOTES: Readonly<Record<CellMark, string>> = {
  'lower bound': '* scored without the judge that the protocol needs: a lower bound',
  incomplete: '† some items failed or are absent and are in no figure',
  partial: '‡ some rows of the benchmark only, by choice',
  'other table': '§ the table is not the published file',
  contradicted:
    '? other published figures contradict this one, or no single run gives it (a mean over seeds may)',
};

/**
 * A table of the paper with a row for every contender that has a figure in it.
 * @param contenders - of all runs, so that rows which others are held against are among them.
 */
export function fillTable(
  number: TableNumber,
  contenders: readonly Contender[],
  named: TableReferences = {},
): FilledTable {
  const table = PUBLISHED_TABLES[number];
  const references = referencesOf(contenders, named);
  const own = contenders.flatMap((contender) => {
    const cells = table.columns.map(({ source }) => ownCell(contender, source, references));
    // How many latents there are is no figure.
    const hasFigure = cells.some(
      ({ value }, c) => value !== null && table.columns[c]?.source.kind !== 'budget',
    );
    return hasFigure ? [{ contender, row: { label: contender.label, cells } }] : [];
  });
  const rows: FilledRow[] = [
    ...publishedRows(table),
    ...own.map(({ row }) => ({ ...row, source: 'ours' as const })),
  ];
  const marks = new Set(rows.flatMap(({ cells }) => cells.flatMap((cell) => cell.marks)));
  return {
    number,
    title: table.title,
    columns: table.columns.map(({ heading, source }) => ({ heading, ...FORMATS[source.kind] })),
    rows,
    notes: [
      `paper: Table ${number} (${table.section}) of ${PUBLISHED_SOURCE}`,
      ...ruleNotes(own.map(({ contender }) => contender)),
      ...(rows.some(
        (row) => row.source === 'ours' && row.cells.some(({ std }) => std !== undefined),
      )
        ? ['ours: mean ± standard deviation over repeats, with n - 1']
        : []),
      ...(['lower bound', 'incomplete', 'partial', 'other table', 'contradicted'] as const)
        .filter((mark) => marks.has(mark))
        .map((mark) => MARK_NOTES[mark]),
    ],
  };
}
