// Owns docs/tasks.png, the sample sheet of the generated tasks: `npx tsx tools/sample-sheet.ts`.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodePng } from '../src/data/png.ts';
import {
  createRaster,
  drawText,
  enlarge,
  fillRect,
  measureText,
  paste,
} from '../src/data/raster.ts';
import type { Color, Raster } from '../src/data/raster.ts';
import { sampleExamples, type GeneratedExample } from '../src/data/splits.ts';
import { TASK_NAMES, type TaskName } from '../src/data/tasks/index.ts';
import { CELL_SIZE, GRID_SIZE, PICTURE_SIZE } from '../src/data/tasks/task.ts';

const OUTPUT = fileURLToPath(new URL('../docs/tasks.png', import.meta.url));
// Seeds of the easy and the hard example of each task, chosen for what they show.
const SEEDS: Readonly<Record<TaskName, readonly [easy: number, hard: number]>> = {
  rope: [21, 21],
  rungs: [22, 13],
  bricks: [21, 10],
  chart: [6, 114],
  zoom: [21, 4],
};

const PAPER: Color = [255, 255, 255];
const TEXT: Color = [28, 32, 44];
const MUTED: Color = [128, 134, 150];
const ACCENT: Color = [196, 30, 44];
const RULE: Color = [222, 225, 232];

const ZOOM = 3;
const SIDE = PICTURE_SIZE * ZOOM;
const TEXT_SCALE = 2;
const NAME_SCALE = 3;
const TITLE_SCALE = 4;
const MARGIN = 40;
const LABEL_ROOM = 26;
const PICTURE_GAP = 34;
const PAIR_GAP = 64;
const PAIR_WIDTH = 2 * SIDE + PICTURE_GAP;
const WIDTH = 2 * MARGIN + LABEL_ROOM + 2 * PAIR_WIDTH + PAIR_GAP;
const HEADER_HEIGHT = 104;
// Rule and name of the task, question line, picture with its labels above and below.
const NAME_ROOM = 62;
const ROW_HEIGHT = NAME_ROOM + 48 + SIDE + LABEL_ROOM + 14;
const HEIGHT = HEADER_HEIGHT + TASK_NAMES.length * ROW_HEIGHT + MARGIN / 2;

function drawCentred(sheet: Raster, text: string, x: number, y: number): void {
  const { width } = measureText(text, TEXT_SCALE);
  drawText(sheet, text, x - Math.floor(width / 2), y, TEXT_SCALE, MUTED);
}

/** Names of ropes, ends and levels, which the pictures themselves do not have. */
function drawLabels(sheet: Raster, task: TaskName, x: number, y: number): void {
  const step = CELL_SIZE * ZOOM;
  for (let cell = 0; cell < GRID_SIZE; cell++) {
    const middle = x + cell * step + step / 2;
    if (task === 'rope' || task === 'rungs') {
      drawCentred(sheet, 'abcdef'.charAt(cell), middle, y - 20);
      if (task === 'rope') drawCentred(sheet, `${cell + 1}`, middle, y + SIDE + 7);
    }
    if (task === 'chart' && cell > 0) {
      drawCentred(sheet, `${cell}`, x - 12, y + SIDE - cell * step - 7);
    }
  }
}

function drawExample(sheet: Raster, example: GeneratedExample, x: number, y: number): void {
  const question = `${example.question}?`;
  drawText(sheet, question, x, y, TEXT_SCALE, TEXT);
  const answerX = x + measureText(`${question}  `, TEXT_SCALE).width + TEXT_SCALE;
  drawText(sheet, example.answer, answerX, y, TEXT_SCALE, ACCENT);
  [example.picture, example.auxiliary].forEach((picture, index) => {
    const left = x + index * (SIDE + PICTURE_GAP);
    const top = y + 48;
    fillRect(sheet, left - 1, top - 1, SIDE + 2, SIDE + 2, RULE);
    paste(sheet, enlarge(picture, ZOOM), left, top);
    drawLabels(sheet, example.task, left, top);
  });
}

function firstOf(task: TaskName, easyFraction: 0 | 1): GeneratedExample {
  const seed = SEEDS[task][easyFraction === 1 ? 0 : 1];
  const [example] = sampleExamples({
    split: 'train',
    count: 1,
    seed,
    tasks: [task],
    easyFraction,
  });
  if (example === undefined) throw new Error(`no example of ${task}`);
  return example;
}

function drawSheet(): Raster {
  const sheet = createRaster(WIDTH, HEIGHT, PAPER);
  const lefts = [MARGIN + LABEL_ROOM, MARGIN + LABEL_ROOM + PAIR_WIDTH + PAIR_GAP];
  lefts.forEach((left, column) => {
    drawText(sheet, column === 0 ? 'easy' : 'hard', left, 22, TITLE_SCALE, TEXT);
    const labelY = HEADER_HEIGHT - 32;
    drawText(sheet, 'query picture', left, labelY, TEXT_SCALE, MUTED);
    const auxiliaryX = left + SIDE + PICTURE_GAP;
    drawText(sheet, 'auxiliary picture', auxiliaryX, labelY, TEXT_SCALE, MUTED);
  });
  TASK_NAMES.forEach((task, row) => {
    const top = HEADER_HEIGHT + row * ROW_HEIGHT;
    fillRect(sheet, MARGIN, top, WIDTH - 2 * MARGIN, 2, RULE);
    drawText(sheet, task, MARGIN + LABEL_ROOM, top + 22, NAME_SCALE, TEXT);
    lefts.forEach((left, column) => {
      drawExample(sheet, firstOf(task, column === 0 ? 1 : 0), left, top + NAME_ROOM);
    });
  });
  return sheet;
}

await mkdir(dirname(OUTPUT), { recursive: true });
await writeFile(OUTPUT, encodePng(drawSheet()));
process.stdout.write(`${OUTPUT}\n`);
