// Owns the list of generated tasks; splits.ts, vocabulary.ts, the recipes and the CLI read it.

import { bricks } from './bricks.ts';
import { chart } from './chart.ts';
import { rope } from './rope.ts';
import { rungs } from './rungs.ts';
import type { Task } from './task.ts';
import { zoom } from './zoom.ts';

/** Every task by name. */
export const tasks = { rope, rungs, bricks, chart, zoom } as const satisfies Record<string, Task>;

/** Name of a generated task. */
export type TaskName = keyof typeof tasks;

/** Names of all tasks, in the order in which examples alternate. */
export const TASK_NAMES = Object.keys(tasks) as readonly TaskName[];

/** Is a text the name of a task. */
export function isTaskName(name: string): name is TaskName {
  return Object.hasOwn(tasks, name);
}
