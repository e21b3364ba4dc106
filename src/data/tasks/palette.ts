// Owns the colours that several tasks share; the task files call it.

import type { Color } from '../raster.ts';

/** What an auxiliary picture points out; no query picture of rope, rungs, bricks or chart has it. */
export const HIGHLIGHT: Color = [228, 26, 40];
/** Ground of the ladder pictures. */
export const PAPER: Color = [250, 246, 232];
/** Ropes and rungs. */
export const INK: Color = [28, 60, 130];
