// Owns the arithmetic that published figures have to satisfy and finds those that do not; tables mark
// them, so that nobody tunes code to a figure that no run of the protocol gives.
import type { ColumnSource, PublishedRow, PublishedTable, TableNumber } from './published.ts';
import type { AverageName } from '../averages.ts';
import type { BenchmarkName } from '../types.ts';

/** A published figure that the other figures, or the number of items, contradict. */
export interface Oddity {
  readonly table: TableNumber;
  /** As `rowName` calls it. */
  readonly row: string;
  readonly column: string;
  readonly printed: number;
  /** `computed` follows from other cells; `share`: no whole number of that many items gives it. */
  readonly against: { readonly computed: number } | { readonly share: number };
}

/** Every figure of two decimals is off by at most this, rounded or cut; so is a mean of such figures. */
const ROUNDING = 0.01;

/** Members of the averages. Source: GAP §5.1, Tables 5, 6 and 9. */
const MEMBERS: Readonly<Record<AverageName, readonly string[]>> = {
  'Avg-P': ['HRBench4K', 'MMStar', 'MME-RW-Lite'],
  'Avg-R': ['MathVista', 'WeMath-S', 'WeMath-L'],
  'Avg-2': ['HRBench4K', 'MathVista'],
  'Avg-3': ['HRBench4K', 'MMStar', 'MathVista'],
};

const PERCEPTION_ROWS = 1169;
const REASONING_ROWS = 750;

/** Items a headline is a share of; WeMath's scores count half points of 525 groups. */
const NUM_ITEMS: Readonly<Partial<Record<BenchmarkName, Readonly<Record<string, number>>>>> = {
  HRBench4K: { Overall: 800, FSP: 400, FCP: 400 },
  MMStar: { Overall: 1500 },
  'MME-RealWorld-Lite': {
    Overall: PERCEPTION_ROWS + REASONING_ROWS,
    Perception: PERCEPTION_ROWS,
    Reasoning: REASONING_ROWS,
  },
  MathVista_MINI: { Overall: 1000 },
  WeMath: { 'WeMath-S': 1050, 'WeMath-L': 1050 },
};

type Values = ReadonlyMap<string, number>;

function meanOf(values: Values, names: readonly string[]): number | undefined {
  const found = names.flatMap((name) => values.get(name) ?? []);
  return found.length === names.length
    ? found.reduce((sum, value) => sum + value, 0) / names.length
    : undefined;
}

/** What a cell has to be by the other cells of its row and by the first rows of its table. */
function computed(source: ColumnSource, values: Values, rows: readonly Values[]) {
  switch (source.kind) {
    case 'average':
      return meanOf(values, MEMBERS[source.average]);
    case 'gain': {
      const [own, base] = [values, rows[0]].map((row) => row?.get(source.average));
      return own === undefined || base === undefined ? undefined : own - base;
    }
    case 'latency':
      return source.of === 'Avg-2' ? meanOf(values, ['HRBench4K (s)', 'MathVista (s)']) : undefined;
    case 'relative': {
      const [own, dense] = [values, rows[0]].map((row) => row?.get('Avg-2 (s)'));
      return own === undefined || dense === undefined ? undefined : own / dense;
    }
    case 'headline': {
      if (source.headline !== 'Overall') return undefined;
      if (source.benchmark === 'HRBench4K') return meanOf(values, ['FSP', 'FCP']);
      if (source.benchmark !== 'MME-RealWorld-Lite') return undefined;
      const [perception, reasoning] = [values.get('Perception'), values.get('Reasoning')];
      if (perception === undefined || reasoning === undefined) return undefined;
      const hits = perception * PERCEPTION_ROWS + reasoning * REASONING_ROWS;
      return hits / (PERCEPTION_ROWS + REASONING_ROWS);
    }
    case 'budget':
      return undefined;
  }
}

function isShare(percent: number, numItems: number): boolean {
  const nearest = Math.round((percent / 100) * numItems);
  // A figure may have been cut, not rounded, so that the next count up also explains it.
  return [nearest - 1, nearest, nearest + 1].some(
    (count) => Math.abs((100 * count) / numItems - percent) < ROUNDING,
  );
}

function valuesOf({ columns }: PublishedTable, cells: PublishedTable['rows'][number]['cells']) {
  const values = new Map<string, number>();
  columns.forEach(({ heading }, i) => {
    const cell = cells[i] ?? null;
    if (cell !== null) values.set(heading, typeof cell === 'number' ? cell : cell.value);
  });
  return values;
}

/** A row's label, with its latents where the table has a column for them. */
export function rowName({ columns }: PublishedTable, { label, cells }: PublishedRow): string {
  const [budget] = cells;
  const hasBudget = columns[0]?.source.kind === 'budget' && typeof budget === 'number';
  return hasBudget ? `${label}, ${budget}` : label;
}

/** The figures of a table that contradict each other or their number of items. */
export function findOddities(table: PublishedTable): Oddity[] {
  const rows = table.rows.map(({ cells }) => valuesOf(table, cells));
  return table.rows.flatMap((published, r) => {
    const { cells } = published;
    const values = rows[r] ?? new Map<string, number>();
    const row = rowName(table, published);
    return table.columns.flatMap(({ heading: column, source }, c): Oddity[] => {
      const printed = values.get(column);
      if (printed === undefined) return [];
      const isOfOneRun = typeof cells[c] === 'number';
      const place = { table: table.number, row, column, printed };
      const should = computed(source, values, rows);
      // A sum of rounded parts may end exactly on the limit.
      const isOff = should !== undefined && Math.abs(should - printed) > ROUNDING + 1e-9;
      const share =
        source.kind === 'headline' && isOfOneRun
          ? NUM_ITEMS[source.benchmark]?.[source.headline]
          : undefined;
      return [
        ...(isOff ? [{ ...place, against: { computed: should } }] : []),
        ...(share !== undefined && !isShare(printed, share)
          ? [{ ...place, against: { share } }]
          : []),
      ];
    });
  });
}
