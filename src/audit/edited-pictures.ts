// Owns the pictures of the counterfactual part: edits of an example's query picture drawn from its seed, and
// changes too small to matter.
import type { Example } from '../data/example.ts';
import type { Raster } from '../data/raster.ts';
import { isTaskName, tasks } from '../data/tasks/index.ts';
import type { TaskEdit } from '../data/tasks/task.ts';
import { Rng } from '../rng.ts';

/**
 * What was done to a picture. `flip` and `control`: an object was changed, and the right answer
 * with it or not; `floor`: no object was changed, only pixel values by one level of 256.
 */
export type PictureEffect = TaskEdit['effect'] | 'floor';

/** A changed query picture with its right answer. */
export interface EditedPicture {
  readonly effect: PictureEffect;
  readonly what: string;
  readonly picture: Raster;
  readonly answer: string;
}

/** Edits of each effect that an example gets; ours: two, for the time they take. */
const EDITS_PER_EFFECT = 2;

/** Whether an example says which task drew it from which seed. */
export function isDrawn(example: Example): boolean {
  return (
    example.seed !== undefined &&
    example.difficulty !== undefined &&
    example.task !== undefined &&
    isTaskName(example.task)
  );
}

function isSamePicture(a: Raster, b: Raster): boolean {
  return a.width === b.width && a.height === b.height && Buffer.compare(a.data, b.data) === 0;
}

function shifted({ width, height, data }: Raster, shift: () => number): Raster {
  // A Uint8ClampedArray keeps 0..255 instead of going round.
  const clamped = Uint8ClampedArray.from(data, (level) => level + shift());
  return { width, height, data: new Uint8Array(clamped.buffer) };
}

/** Changes that no one sees: every value one level up, and noise of -1, 0 or 1 level. */
export function floorPictures(picture: Raster, answer: string, rng: Rng): EditedPicture[] {
  return [
    {
      effect: 'floor',
      what: 'one level brighter',
      picture: shifted(picture, () => 1),
      answer,
    },
    {
      effect: 'floor',
      what: 'noise of one level',
      picture: shifted(picture, () => rng.int(3) - 1),
      answer,
    },
  ];
}

/**
 * Changed pictures of an example: up to two edits of each effect, and both changes of the floor.
 * Undefined when seed, task and difficulty do not draw this very question, answer and picture again.
 */
export function editedPictures(
  example: Example,
  picture: Raster,
  rng: Rng,
): EditedPicture[] | undefined {
  const { seed, task, difficulty } = example;
  if (seed === undefined || difficulty === undefined) return undefined;
  if (task === undefined || !isTaskName(task)) return undefined;
  const draft = tasks[task].draft(new Rng(seed), difficulty);
  const sample = draft.render();
  const isOurs =
    sample.question === example.question &&
    sample.answer === example.answer &&
    isSamePicture(sample.picture, picture);
  if (!isOurs) return undefined;
  const edits = rng.fork('order').shuffle(draft.edits(rng.fork('edits')));
  const of = (effect: TaskEdit['effect']): TaskEdit[] =>
    edits.filter((edit) => edit.effect === effect).slice(0, EDITS_PER_EFFECT);
  return [
    ...of('flip'),
    ...of('control'),
    ...floorPictures(picture, example.answer, rng.fork('floor')),
  ];
}
