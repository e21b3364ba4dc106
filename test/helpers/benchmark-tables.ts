// Small tables in the formats of the six benchmarks, with drawn pictures; tests of running and scoring write
// them: base64, a picture of another row, several pictures, files, cells that are missing.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BenchmarkName } from '../../src/benchmark/types.ts';
import { encodePng } from '../../src/data/png.ts';
import { Rng } from '../../src/rng.ts';

/** A table as it goes into a file: names of columns, and a text for each cell; empty is missing. */
export interface WrittenTable {
  readonly name: BenchmarkName;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Pictures beside the table, by path from its folder. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A picture of colour and noise, another for every seed. */
export function drawnPicture(seed: number, width = 64, height = 48): Buffer {
  const rng = new Rng(seed);
  const data = new Uint8Array(width * height * 3);
  const color = [rng.int(256), rng.int(256), rng.int(256)];
  for (let at = 0; at < data.length; at++) {
    data[at] = ((color[at % 3] ?? 0) + rng.int(32)) % 256;
  }
  return encodePng({ width, height, data });
}

/** A picture as a cell holds it. */
export function pictureCell(seed: number, width?: number, height?: number): string {
  return drawnPicture(seed, width, height).toString('base64');
}

function table(
  name: BenchmarkName,
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  files: ReadonlyMap<string, Uint8Array> = new Map(),
): WrittenTable {
  return { name, columns, rows: rows.map((row) => row.map(String)), files };
}

const OPTIONS = ['left lane', 'right lane', 'bike lane', 'sidewalk'];

/** Two questions in four rotations; later rotations show the picture of the first. */
function hrBench(): WrittenTable {
  const rows = ['single', 'cross'].flatMap((category, question) =>
    [0, 1, 2, 3].map((cycle) => {
      const index = 4 * question + cycle;
      const options = OPTIONS.map((_, i) => OPTIONS[(i + cycle) % 4] ?? '');
      const answer = 'ABCD'[(5 - cycle) % 4] ?? '';
      const image = cycle === 0 ? pictureCell(index, 96, 80) : 4 * question;
      return [
        index,
        `Which way does car ${question} take?`,
        ...options,
        answer,
        category,
        cycle,
        image,
      ];
    }),
  );
  const columns = ['index', 'question', 'A', 'B', 'C', 'D', 'answer', 'category'];
  return table('HRBench4K', [...columns, 'cycle_category', 'image'], rows);
}

/** A row for each category, one without the last option, one with two pictures. */
function mmStar(): WrittenTable {
  const categories = [
    ...['coarse perception', 'fine-grained perception', 'instance reasoning'],
    ...['logical reasoning', 'math', 'science & technology'],
  ];
  const rows = categories.map((category, i) => {
    const last = i === 2 ? 'NA' : '0';
    const image = i === 3 ? `['${pictureCell(20)}', '${pictureCell(21)}']` : pictureCell(10 + i);
    const question = `How many "red" things are there?\n(row ${i})`;
    return [i, question, '4', '14', '40', last, 'A', category, `${category} 2`, image];
  });
  const columns = ['index', 'question', 'A', 'B', 'C', 'D', 'answer', 'category', 'l2-category'];
  return table('MMStar', [...columns, 'image'], rows);
}

/** Both tasks, two kinds of one subtask. */
function mmeRealWorld(): WrittenTable {
  const choices = `['(A) red', '(B) blue', '(C) it\\'s green', '(D) white', '(E) none of these']`;
  const places = [
    ['Perception/Remote Sensing', 'count'],
    ['Perception/Monitoring', 'person/attribute/color'],
    ['Reasoning/OCR with Complex Context', 'scene'],
    ['Reasoning/Diagram and Table', 'table'],
  ] as const;
  const rows = places.map(([category, l2], i) => {
    const image = pictureCell(30 + i, 48, 112);
    return [i, image, 'What color is the car?', choices, 'ABCE'[i] ?? '', category, l2];
  });
  const columns = ['index', 'image', 'question', 'multi-choice options', 'answer', 'category'];
  return table('MME-RealWorld-Lite', [...columns, 'l2-category'], rows);
}

/** Every kind of answer; the column of choices has gaps. */
function mathVista(): WrittenTable {
  const hint =
    'Hint: Please answer the question and provide the final value at the end.\nQuestion:';
  const kinds = [
    ['19', '', 'free_form', 'integer', '', "['arithmetic reasoning']"],
    ['0.6', '', 'free_form', 'float', '', "['algebraic reasoning', 'geometry reasoning']"],
    ['[2, 4]', '', 'free_form', 'list', '', "['statistical reasoning']"],
    ['110', 'B', 'multi_choice', 'text', "['35', '110', '145']", "['geometry reasoning']"],
  ] as const;
  const rows = kinds.map(([answer, letter, type, kind, choices, skills], i) => [
    ...[i + 1, `${hint} What is x in picture ${i}?`, answer, letter, type, kind, choices],
    ...['figure question answering', skills, pictureCell(40 + i)],
  ]);
  const columns = ['index', 'question', 'answer', 'answer_option', 'question_type', 'answer_type'];
  return table('MathVista_MINI', [...columns, 'choices', 'task', 'skills', 'image'], rows);
}

/** A problem of two steps and one of three; a hint in one row. */
function weMath(): WrittenTable {
  const keys = {
    7: ['2steps_1', '2steps_2', '2steps_multi'],
    8: ['3steps_1', '3steps_2', '3steps_3', '3steps_multi'],
  };
  const rows = Object.entries(keys).flatMap(([problem, steps]) =>
    steps.map((key, i) => [
      ...[10 * Number(problem) + i, problem, key, `How large is angle ${i}?`],
      ...['3', '4', '5', '6', 'ABCD'[i] ?? '', 'Properties and Understanding of Triangles'],
      ...[i === 1 ? 'look at the corner' : '', pictureCell(50 + Number(problem) + i)],
    ]),
  );
  const columns = ['index', 'ID', 'key', 'question', 'A', 'B', 'C', 'D', 'answer'];
  return table('WeMath', [...columns, 'knowledge concept', 'hint', 'image'], rows);
}

/** All splits; pictures are files, two rows show the same one. */
function pope(): WrittenTable {
  const rows = [
    [0, 'Is there a dog in the image?', 'Yes', 'adversarial,popular,random', 'one.png'],
    [1, 'Is there a cat in the image?', 'No', 'adversarial', 'one.png'],
    [2, 'Is there a car in the image?', 'No', 'popular', 'two.png'],
    [3, 'Is there a cup in the image?', 'No', 'random', 'three.png'],
  ];
  const names = ['one.png', 'two.png', 'three.png'];
  const files = names.map(
    (name, i) => [join('images', 'POPE', name), drawnPicture(60 + i)] as const,
  );
  const columns = ['index', 'question', 'answer', 'category', 'image_path'];
  return table('POPE', columns, rows, new Map(files));
}

/** A small table of every benchmark, the same at every call. */
export function smallTables(): Readonly<Record<BenchmarkName, WrittenTable>> {
  return {
    HRBench4K: hrBench(),
    MMStar: mmStar(),
    'MME-RealWorld-Lite': mmeRealWorld(),
    MathVista_MINI: mathVista(),
    WeMath: weMath(),
    POPE: pope(),
  };
}

/** The same table with cells of one row changed, by column. */
export function withCells(
  from: WrittenTable,
  at: number,
  cells: Readonly<Record<string, string>>,
): WrittenTable {
  const rows = from.rows.map((row, i) =>
    i === at ? row.map((cell, c) => cells[from.columns[c] ?? ''] ?? cell) : row,
  );
  return { ...from, rows };
}

/** The same table without a column. */
export function withoutColumn(from: WrittenTable, name: string): WrittenTable {
  const at = from.columns.indexOf(name);
  const drop = (cells: readonly string[]): string[] => cells.filter((_, i) => i !== at);
  return { ...from, columns: drop(from.columns), rows: from.rows.map(drop) };
}

function field(cell: string): string {
  return /["\t\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** A table as text of a TSV file. */
export function tsvText({ columns, rows }: WrittenTable): string {
  return [columns, ...rows].map((row) => `${row.map(field).join('\t')}\n`).join('');
}

/** Writes a table and its pictures. @returns the path of the TSV file. */
export async function writeTable(folder: string, from: WrittenTable): Promise<string> {
  const path = join(folder, `${from.name}.tsv`);
  await mkdir(folder, { recursive: true });
  await writeFile(path, tsvText(from));
  for (const [name, bytes] of from.files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return path;
}
