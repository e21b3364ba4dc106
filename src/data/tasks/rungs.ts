// Owns the rungs task: count the rungs one rope takes; index.ts lists it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import {
  captionLadder,
  captionLadderPath,
  countRungs,
  drawLadder,
  drawLadderPath,
  editLadder,
  ladderKey,
  LADDER_WORDS,
  ROPE_NAMES,
  sampleRungs,
  type LadderLayout,
} from './ladder.ts';
import { defineTask, GRID_SIZE } from './task.ts';

// ours: even counts, so that guessing the usual one does not pay. A hard rope takes 1 to 6 rungs
// (0 is as good as impossible with rungs in all rows), an easy one 0 to 2.
const HARD_COUNTS = [1, 2, 3, 4, 5, 6];
const EASY_COUNTS = [0, 1, 2];

function sampleLayout(rng: Rng, difficulty: Difficulty): LadderLayout {
  const wanted = rng.pick(difficulty === 'hard' ? HARD_COUNTS : EASY_COUNTS);
  for (;;) {
    const rungs = sampleRungs(rng, difficulty);
    const starts: number[] = [];
    for (let start = 0; start < GRID_SIZE; start++) {
      if (countRungs({ rungs, start }) === wanted) starts.push(start);
    }
    if (starts.length > 0) return { rungs, start: rng.pick(starts) };
  }
}

/** How many rungs does one of six ropes take: 0 to 6. Auxiliary: its way in red. */
export const rungs = defineTask<LadderLayout>({
  think: 'i count rungs along it',
  parser: 'its used rungs are red',
  answers: ['0', '1', '2', '3', '4', '5', '6'],
  questionWords: ['how', 'many', 'rungs', 'does', 'rope', 'take', ...ROPE_NAMES],
  captionWords: LADDER_WORDS,
  layout: sampleLayout,
  pictureKey: ladderKey,
  question: ({ start }) => `how many rungs does rope ${ROPE_NAMES[start] ?? ''} take`,
  answer: (layout) => `${countRungs(layout)}`,
  picture: drawLadder,
  auxiliary: drawLadderPath,
  caption: captionLadder,
  auxiliaryCaption: captionLadderPath,
  edits: editLadder,
});
