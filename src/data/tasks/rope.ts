// Owns the rope task: follow one rope down a ladder lottery; index.ts lists it.

import {
  captionLadder,
  captionLadderPath,
  drawLadder,
  drawLadderPath,
  editLadder,
  ladderKey,
  LADDER_WORDS,
  ROPE_NAMES,
  sampleRungs,
  tracePath,
  type LadderLayout,
} from './ladder.ts';
import { defineTask, GRID_SIZE } from './task.ts';

/** Where does one of six ropes end: 1 (left) to 6 (right). Auxiliary: its way in red. */
export const rope = defineTask<LadderLayout>({
  think: 'i trace this rope down',
  parser: 'the rope path is red',
  answers: ['1', '2', '3', '4', '5', '6'],
  questionWords: ['where', 'does', 'rope', 'end', ...ROPE_NAMES],
  captionWords: LADDER_WORDS,
  layout: (rng, difficulty) => ({
    rungs: sampleRungs(rng, difficulty),
    start: rng.int(GRID_SIZE),
  }),
  pictureKey: ladderKey,
  question: ({ start }) => `where does rope ${ROPE_NAMES[start] ?? ''} end`,
  answer: (layout) => `${(tracePath(layout)[GRID_SIZE] ?? 0) + 1}`,
  picture: drawLadder,
  auxiliary: drawLadderPath,
  caption: captionLadder,
  auxiliaryCaption: captionLadderPath,
  edits: editLadder,
});
