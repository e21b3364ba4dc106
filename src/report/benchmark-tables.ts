// Owns the paper's tables as text: aligned, Markdown, CSV and LaTeX; `gapvl evaluate table` calls it.
import type { CellMark, FilledCell, FilledTable } from '../benchmark/results/paper-tables.ts';
import { csvText } from './audit-csv.ts';
import { escapeTex } from './audit-tex.ts';
import { renderMarkdownTable, renderTextTable } from './text-table.ts';
import type { TextTable } from './text-table.ts';

/** How tables can be written. */
export const TABLE_FORMATS = ['text', 'markdown', 'csv', 'latex'] as const;

/** A way of writing tables. */
export type TableFormat = (typeof TABLE_FORMATS)[number];

const MARKS: Readonly<Record<CellMark, string>> = {
  'lower bound': '*',
  incomplete: '†',
  partial: '‡',
  'other table': '§',
  contradicted: '?',
};

/** As GAP Table 10 prints them. */
const STD_DIGITS = 3;

type Column = FilledTable['columns'][number];

function cellText({ value, std, marks }: FilledCell, column: Column): string {
  if (value === null) return '-';
  const { digits, unit, isDifference } = column;
  const sign = isDifference && value > 0 ? '+' : '';
  const spread = std === undefined ? '' : ` ± ${std.toFixed(STD_DIGITS)}`;
  return `${sign}${value.toFixed(digits)}${unit}${spread}${marks.map((mark) => MARKS[mark]).join('')}`;
}

function textTable(table: FilledTable): TextTable {
  return {
    columns: [
      { heading: 'method', align: 'left' },
      { heading: 'source', align: 'left' },
      ...table.columns.map(({ heading }) => ({ heading, align: 'right' as const })),
    ],
    rows: table.rows.map(({ label, source, cells }) => [
      label,
      source,
      ...table.columns.map((column, c) => cellText(cells[c] ?? { value: null, marks: [] }, column)),
    ]),
    notes: table.notes,
  };
}

function headingOf({ number, title }: FilledTable): string {
  return `Table ${number}: ${title}`;
}

/** Numbers in full; empty where there is none; what is to be known about a row in a column of its own. */
function csv(table: FilledTable): string {
  const isWide = table.columns.map((_, c) =>
    table.rows.some(({ cells }) => cells[c]?.std !== undefined),
  );
  const head = table.columns.flatMap(({ heading }, c) =>
    isWide[c] === true ? [heading, `${heading} std`] : [heading],
  );
  const lines = table.rows.map(({ label, source, cells }) => {
    const values = table.columns.flatMap((_, c) => {
      const { value = null, std } = cells[c] ?? {};
      const text = value === null ? '' : String(value);
      return isWide[c] === true ? [text, std === undefined ? '' : String(std)] : [text];
    });
    const remarks = table.columns.flatMap(({ heading }, c) =>
      (cells[c]?.marks ?? []).map((mark) => `${heading}: ${mark}`),
    );
    return [table.number, csvText(label), source, ...values, csvText(remarks.join('; '))];
  });
  const all = [['table', 'method', 'source', ...head.map(csvText), 'remarks'], ...lines];
  return all.map((fields) => `${fields.join(',')}\r\n`).join('');
}

const PREAMBLE =
  '% Needs \\usepackage[T1]{fontenc}, \\usepackage{textcomp} and \\usepackage{booktabs}.';

function texText(text: string): string {
  return escapeTex(text)
    .replaceAll('†', '\\textdagger{}')
    .replaceAll('‡', '\\textdaggerdbl{}')
    .replaceAll('§', '\\S{}');
}

function latex(table: FilledTable): string {
  const { columns, rows, notes } = textTable(table);
  const line = (cells: readonly string[]): string => `    ${cells.map(texText).join(' & ')} \\\\`;
  const published = table.rows.filter(({ source }) => source === 'paper').length;
  const body = rows.map(line);
  return [
    PREAMBLE,
    '\\begin{table}',
    '  \\centering',
    `  \\caption{${texText(table.title)}}`,
    `  \\label{tab:gap-${table.number}}`,
    `  \\begin{tabular}{${columns.map(({ align }) => align.slice(0, 1)).join('')}}`,
    '    \\toprule',
    line(columns.map(({ heading }) => heading)),
    '    \\midrule',
    ...body.slice(0, published),
    ...(body.length > published ? ['    \\midrule', ...body.slice(published)] : []),
    '    \\bottomrule',
    '  \\end{tabular}',
    ...notes.map((note) => `  \\par\\smallskip{\\footnotesize ${texText(note)}}`),
    '\\end{table}',
  ].join('\n');
}

/** Tables one after the other; no final line feed. */
export function renderTables(tables: readonly FilledTable[], format: TableFormat): string {
  const texts = tables.map((table) => {
    switch (format) {
      case 'text':
        return `${headingOf(table)}\n\n${renderTextTable(textTable(table))}`;
      case 'markdown':
        return `### ${headingOf(table)}\n\n${renderMarkdownTable(textTable(table))}`;
      case 'csv':
        return csv(table).trimEnd();
      case 'latex':
        return latex(table);
    }
  });
  return texts.join(format === 'csv' ? '\r\n\r\n' : '\n\n');
}
