// Owns what every task is: one definition turned into drafts and samples; the task files call it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import type { Raster } from '../raster.ts';

/** Width and height of every generated picture, in pixels. */
export const PICTURE_SIZE = 96;
/** Side of a grid cell in pixels: one merged visual token of the tiny model (patch 8, merge 2). */
export const CELL_SIZE = 16;
/** Cells in a row and rows in a picture; captions have GRID_SIZE^2 words in raster order. */
export const GRID_SIZE = PICTURE_SIZE / CELL_SIZE;

/** One visual question with everything that is known about it. */
export interface TaskSample {
  /** The query picture, PICTURE_SIZE square. */
  readonly picture: Raster;
  /** The exact auxiliary picture, PICTURE_SIZE square; never an input, only a latent target. */
  readonly auxiliary: Raster;
  /** Lower-case words separated by single spaces, as are all texts below. */
  readonly question: string;
  /** One word out of the task's `answers`. */
  readonly answer: string;
  /** Five words, the same for every sample of a task. */
  readonly think: string;
  /** Five words on what the auxiliary picture shows, the same for every sample of a task. */
  readonly parser: string;
  /** Dense caption of the query picture: a word a cell, 36 in raster order. */
  readonly caption: string;
  /** Dense caption of the auxiliary picture: a word a cell, 36 in raster order. */
  readonly auxiliaryCaption: string;
  /** A question about the auxiliary picture alone; its answer can be read off that picture. */
  readonly auxiliaryQuestion: string;
  readonly auxiliaryAnswer: string;
  /** Canonical content of the query picture alone; equal pictures have equal keys. */
  readonly pictureKey: string;
  /** Canonical content of picture and question. */
  readonly key: string;
}

/** What a change of a query picture does to the right answer: it becomes another one, or stays. */
export type EditEffect = 'flip' | 'control';

/** A changed query picture whose right answer is known; the question stays as it is. */
export interface TaskEdit {
  readonly effect: EditEffect;
  /** What was changed, as a sentence. */
  readonly what: string;
  /** The changed query picture, PICTURE_SIZE square. */
  readonly picture: Raster;
  /** The auxiliary picture that belongs to it. */
  readonly auxiliary: Raster;
  /** Right answer to the sample's question about the changed picture; one of the task's `answers`. */
  readonly answer: string;
}

/** A sample that is decided but not drawn, so that most of them can be turned down cheaply. */
export interface Draft {
  readonly pictureKey: string;
  readonly key: string;
  /** Draws both pictures and writes the texts; the same sample at every call. */
  render(): TaskSample;
  /**
   * Changes of the query picture by a single object, at most one of each kind the task knows; a
   * kind that this sample has no room for is left out. Takes from `rng` only.
   */
  edits(rng: Rng): readonly TaskEdit[];
}

/** A family of generated questions. */
export interface Task {
  /** Every answer the task can have. */
  readonly answers: readonly string[];
  /** Every word of any text of the task. */
  readonly words: readonly string[];
  readonly think: string;
  readonly parser: string;
  /** Decides a sample; takes from `rng` only. */
  draft(rng: Rng, difficulty: Difficulty): Draft;
  /** Decides and draws a sample. */
  sample(rng: Rng, difficulty: Difficulty): TaskSample;
}

/** All changes of one kind that a layout has room for. */
export interface EditGroup<L> {
  readonly effect: EditEffect;
  readonly what: string;
  /** Changed layouts; those whose answer does not do what `effect` says are not used. */
  readonly layouts: readonly L[];
}

/** What a task file writes down; L is its own description of a picture and a question. */
export interface TaskDefinition<L> {
  readonly think: string;
  readonly parser: string;
  readonly answers: readonly string[];
  /** Words that questions use. */
  readonly questionWords: readonly string[];
  /** Words that the captions of both pictures use. */
  readonly captionWords: readonly string[];
  readonly layout: (rng: Rng, difficulty: Difficulty) => L;
  readonly pictureKey: (layout: L) => string;
  readonly question: (layout: L) => string;
  readonly answer: (layout: L) => string;
  readonly picture: (layout: L) => Raster;
  readonly auxiliary: (layout: L) => Raster;
  /** Words of the query picture's cells in raster order. */
  readonly caption: (layout: L) => readonly string[];
  /** Words of the auxiliary picture's cells in raster order. */
  readonly auxiliaryCaption: (layout: L) => readonly string[];
  /** Layouts that differ by one object and ask the same question; none equals the given one. */
  readonly edits: (layout: L) => readonly EditGroup<L>[];
}

/** One change of each kind that the layout has room for, drawn. */
function drawEdits<L>(definition: TaskDefinition<L>, layout: L, rng: Rng): TaskEdit[] {
  const before = definition.answer(layout);
  return definition.edits(layout).flatMap(({ effect, what, layouts }) => {
    const usable = layouts.filter((changed) => {
      const answer = definition.answer(changed);
      return definition.answers.includes(answer) && (answer !== before) === (effect === 'flip');
    });
    if (usable.length === 0) return [];
    const changed = rng.pick(usable);
    const picture = definition.picture(changed);
    const auxiliary = definition.auxiliary(changed);
    return [{ effect, what, picture, auxiliary, answer: definition.answer(changed) }];
  });
}

/** Makes a task of its definition. */
export function defineTask<L>(definition: TaskDefinition<L>): Task {
  const { think, parser, answers, questionWords, captionWords } = definition;
  const draft = (rng: Rng, difficulty: Difficulty): Draft => {
    const layout = definition.layout(rng, difficulty);
    const pictureKey = definition.pictureKey(layout);
    const question = definition.question(layout);
    const key = `${pictureKey} ${question}`;
    const render = (): TaskSample => {
      const answer = definition.answer(layout);
      return {
        picture: definition.picture(layout),
        auxiliary: definition.auxiliary(layout),
        question,
        answer,
        think,
        parser,
        caption: definition.caption(layout).join(' '),
        auxiliaryCaption: definition.auxiliaryCaption(layout).join(' '),
        // ours: the same question, so that what reads an auxiliary picture also reads its latents.
        auxiliaryQuestion: question,
        auxiliaryAnswer: answer,
        pictureKey,
        key,
      };
    };
    const edits = (editRng: Rng): TaskEdit[] => drawEdits(definition, layout, editRng);
    return { pictureKey, key, render, edits };
  };
  return {
    answers,
    words: [
      ...new Set([
        ...questionWords,
        ...think.split(' '),
        ...parser.split(' '),
        ...answers,
        ...captionWords,
      ]),
    ],
    think,
    parser,
    draft,
    sample: (rng, difficulty) => draft(rng, difficulty).render(),
  };
}

/** A word a cell, 36 in raster order, from what stands in each row and column. */
export function captionCells(wordAt: (row: number, column: number) => string): string[] {
  const words: string[] = [];
  for (let row = 0; row < GRID_SIZE; row++) {
    for (let column = 0; column < GRID_SIZE; column++) words.push(wordAt(row, column));
  }
  return words;
}
