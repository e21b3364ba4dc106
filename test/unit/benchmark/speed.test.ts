// Owns the test of the scorers' speed: 10,000 predictions of a kilobyte within two seconds of one core.
import { expect, it } from 'vitest';
import { BENCHMARKS } from '../../../src/benchmark/benchmarks.ts';
import type { DatasetName, ScoredRow } from '../../../src/benchmark/types.ts';
import { makeRow, scoreOf } from '../../helpers/benchmark-rows.ts';

const NUM_ROWS = 10_000;
const LIMIT_MS = 2000;
const THOUGHT =
  'The picture shows a wide road with several cars, a cyclist (in the right lane), and 1,000 people. ';

function scoreTable(name: DatasetName): readonly ScoredRow[] {
  const prefix = THOUGHT.repeat(10);
  return Array.from({ length: NUM_ROWS }, (_, i) => {
    const row = makeRow({
      index: BigInt(i),
      question: `Where is it, ${i}?`,
      A: 'left lane',
      B: 'right lane',
      C: 'bike lane',
      D: 'sidewalk',
      answer: 'B',
      answer_option: 'B',
      category: 'Perception/Monitoring',
      'l2-category': 'count',
      cycle_category: BigInt(i % 4),
      question_type: i % 2 === 0 ? 'multi_choice' : 'free_form',
      answer_type: 'integer',
      choices: "['left lane', 'right lane', 'bike lane', 'sidewalk']",
      task: 'VQA',
      skills: "['arithmetic reasoning', 'numeric commonsense']",
      ID: BigInt(i >> 2),
      key: ['3steps_1', '3steps_2', '3steps_3', '3steps_multi'][i % 4] ?? null,
      'knowledge concept': 'Axial Symmetry',
    });
    return { row, score: scoreOf(name, row, `${prefix}${i}: in the right lane`) };
  });
}

it.each(Object.keys(BENCHMARKS) as DatasetName[])(
  '%s scores 10,000 predictions of a kilobyte within two seconds of one core',
  (name) => {
    // Time of the processor, not of the wall, so that a busy machine does not fail it.
    const start = process.cpuUsage();
    const figures = BENCHMARKS[name].aggregate(scoreTable(name), 'head');
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(LIMIT_MS);
    expect(figures.numRows).toBe(NUM_ROWS);
  },
);
