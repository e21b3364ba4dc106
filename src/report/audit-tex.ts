// Owns tables and figures of an audit as LaTeX, to be taken into a paper by \input.
import type { AuditFigure, AuditTable } from '../audit/types.ts';
import { formatCell, headingOf } from './audit-format.ts';
import { visible } from './html.ts';

// Characters with a meaning, those that old fonts draw as others, and those that pdfLaTeX lacks.
const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  _: '\\_',
  '%': '\\%',
  '^': '\\textasciicircum{}',
  '~': '\\textasciitilde{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '"': '\\textquotedbl{}',
  '`': '\\textasciigrave{}',
  // Behind the end of a row these two would be read as part of it.
  '[': '{[}',
  '*': '{*}',
  '\u2212': '$-$',
  '\u2013': '--',
  '\u2014': '---',
  '\u2026': '\\ldots{}',
  '\u00d7': '$\\times$',
  '\u00b1': '$\\pm$',
  '\u2264': '$\\le$',
  '\u2265': '$\\ge$',
  '\u2192': '$\\rightarrow$',
  '\u03c3': '$\\sigma$',
  '\u03bb': '$\\lambda$',
  '\u0394': '$\\Delta$',
  '\u00a0': '~',
  '\ufffd': '?',
};
const NEEDS = 'Needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs}.';
const BEYOND = 'Letters beyond Latin need LuaLaTeX or XeLaTeX.';

/** A text as LaTeX shows it: no command, no comment, no math of its own. */
export function escapeTex(text: string): string {
  return Array.from(visible(text), (character) => SPECIAL[character] ?? character).join('');
}

/** A table in booktabs style with caption and label, numbers as in the page. */
export function tableTex({ id, title, columns, rows, note }: AuditTable): string {
  const sides = columns.map(({ format }) => (format === 'text' ? 'l' : 'r')).join('');
  const line = (cells: readonly string[]): string => `    ${cells.join(' & ')} \\\\`;
  const body = rows.map((row) =>
    line(columns.map(({ key, format }) => escapeTex(formatCell(row[key], format)))),
  );
  const below = note === undefined ? [] : [`  \\par\\smallskip{\\footnotesize ${escapeTex(note)}}`];
  return [
    `% ${NEEDS} ${BEYOND}`,
    '\\begin{table}',
    '  \\centering',
    `  \\caption{${escapeTex(title)}}`,
    `  \\label{tab:${id}}`,
    `  \\begin{tabular}{${sides}}`,
    '    \\toprule',
    line(columns.map((column) => escapeTex(headingOf(column)))),
    '    \\midrule',
    ...body,
    '    \\bottomrule',
    '  \\end{tabular}',
    ...below,
    '\\end{table}',
    '',
  ].join('\n');
}

/** A figure that includes its drawing, captioned by what it shows. */
export function figureTex({ id, title, alt }: AuditFigure): string {
  return [
    '% Needs \\usepackage[T1]{fontenc} and \\usepackage{graphicx}. LaTeX reads PDF, not SVG:',
    `% rsvg-convert --format pdf --output ${id}.pdf ${id}.svg`,
    '\\begin{figure}',
    '  \\centering',
    `  \\includegraphics[width=\\linewidth]{figures/${id}.pdf}`,
    `  \\caption{${escapeTex(title)}. ${escapeTex(alt)}}`,
    `  \\label{fig:${id}}`,
    '\\end{figure}',
    '',
  ].join('\n');
}
