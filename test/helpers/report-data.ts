// Owns a made-up but plausible report for tests of src/report; its numbers mean nothing.
import { encodePng } from '../../src/data/png.ts';
import type { Raster } from '../../src/data/raster.ts';
import { TASK_NAMES, tasks } from '../../src/data/tasks/index.ts';
import type { TaskName } from '../../src/data/tasks/index.ts';
import type {
  AccuracyRow,
  InterventionRow,
  ReportData,
  ReportExample,
  Source,
  TrainingCurve,
} from '../../src/report/types.ts';
import { Rng } from '../../src/rng.ts';

const CELL = 16;
const GRID = 6;
const STEPS = 1500;

function accuracyRow(
  variant: string,
  label: string,
  accuracy: number,
  source: Source,
  triggerRate?: number,
): AccuracyRow {
  const rng = new Rng(variant);
  const near = (shift: number): number =>
    Math.min(1, Math.max(0, accuracy + shift + 0.25 * (rng.uniform() - 0.5)));
  const byTask = Object.fromEntries(
    TASK_NAMES.map((task) => [task, { easy: near(0.12), hard: near(-0.08) }]),
  );
  const n = source === 'this run' ? 600 : 1800;
  const half = 1.96 * Math.sqrt((accuracy * (1 - accuracy)) / n);
  const interval = { accuracy, low: accuracy - half, high: accuracy + half };
  const trigger = triggerRate === undefined ? {} : { triggerRate };
  return { variant, label, n, ...interval, source, byTask, ...trigger };
}

function intervention(
  name: string,
  label: string,
  accuracy: number,
  source: Source,
): InterventionRow {
  const n = 600;
  const half = 1.96 * Math.sqrt((accuracy * (1 - accuracy)) / n);
  const mean = accuracy - 0.853;
  const row = {
    intervention: name,
    label,
    n,
    accuracy,
    low: accuracy - half,
    high: accuracy + half,
  };
  if (name === 'clean') return { ...row, source };
  return { ...row, source, differenceToClean: { mean, low: mean - 0.035, high: mean + 0.035 } };
}

/** The auxiliary picture with a few cells taken from the query picture, as imperfect latents give. */
function mosaic(from: Raster, other: Raster, swap: readonly boolean[]): Raster {
  const data = from.data.slice();
  for (const [cell, taken] of swap.entries()) {
    if (!taken) continue;
    for (let y = 0; y < CELL; y++) {
      const row = Math.floor(cell / GRID) * CELL + y;
      const at = (row * from.width + (cell % GRID) * CELL) * 3;
      data.set(other.data.subarray(at, at + 3 * CELL), at);
    }
  }
  return { ...from, data };
}

function example(task: TaskName, difficulty: 'easy' | 'hard', index: number): ReportExample {
  const rng = new Rng(`report ${task} ${index}`);
  const sample = tasks[task].sample(rng, difficulty);
  const swap = Array.from({ length: GRID * GRID }, (_, i) => i > 8 && rng.uniform() < 0.12);
  const { answers } = tasks[task];
  const wrong = rng.pick(answers.filter((answer) => answer !== sample.answer));
  const lucky = rng.uniform() < 0.5;
  return {
    id: `${task}-${index}`,
    task,
    difficulty,
    question: sample.question,
    answer: sample.answer,
    predictions: {
      base: { text: wrong, correct: false },
      'dense caption': { text: lucky ? sample.answer : wrong, correct: lucky },
      GAP: { text: sample.answer, correct: true },
    },
    queryPng: encodePng(sample.picture),
    auxiliaryPng: encodePng(sample.auxiliary),
    latentPng: encodePng(mosaic(sample.auxiliary, sample.picture, swap)),
    latentHeat: swap.map((taken, i) => (taken ? 0.35 : 0.97) - 0.004 * i - 0.06 * rng.uniform()),
    response: [
      { kind: 'text', text: `<think> ${sample.think}` },
      { kind: 'latents', count: GRID * GRID },
      {
        kind: 'text',
        text: `<parser> ${sample.parser} </parser> </think> <answer> ${sample.answer} </answer>`,
      },
    ],
  };
}

function curve(
  run: string,
  name: TrainingCurve['name'],
  start: number,
  end: number,
): TrainingCurve {
  const rng = new Rng(run + name);
  return {
    run,
    name,
    points: Array.from({ length: STEPS }, (_, step) => {
      const decay = Math.exp((-5 * step) / STEPS);
      return [step + 1, (end + (start - end) * decay) * (1 + 0.12 * rng.normal() * 0.5)];
    }),
  };
}

/** A report with every part, as the demo makes it. */
export function fullReport(): ReportData {
  return {
    title: 'What the latents did',
    provenance: {
      recipe: 'demo',
      seed: 12345,
      date: '2026-05-04T10:21:37Z',
      command: 'gapvl demo --seed 12345',
      versions: { gapvl: '0.1.0', 'onnxruntime-node': '1.30.0', 'Node.js': '20.20.2' },
      hashes: {
        'base checkpoint':
          'sha256:6b5f0c1f7a2f4f8f3a1f0e6c0d9a7b1e5c3d2f4a6b8c0d1e2f3a4b5c6d7e8f90',
        'training data': 'sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0',
        basis: 'sha256:aa01bb02cc03dd04ee05ff06aa07bb08cc09dd10ee11ff12aa13bb14cc15dd16',
      },
    },
    verdict: [
      'GAP answers 85.3 % of the test questions, 29.1 points more than the same data without latents. Without its latents it answers 36.4 %.',
      'Latents of another example are worse than none: what helps is what they show of this picture.',
      'Noise of the same norm does not help either, so it is not the extra positions.',
      'Every row that should emit latents did.',
    ],
    accuracyTable: [
      accuracyRow('base', 'base', 0.267, 'this run'),
      accuracyRow('dense-caption', 'dense caption', 0.562, 'this run'),
      accuracyRow('output-as-input', 'output as input', 0.235, 'stored study', 0.913),
      accuracyRow('output-as-input+ema', 'output as input + EMA', 0.742, 'stored study', 1),
      accuracyRow('lh', 'LH', 0.883, 'stored study', 1),
      accuracyRow('lh+pca', 'LH+PCA', 0.837, 'stored study', 1),
      accuracyRow('gap', 'GAP', 0.853, 'this run', 1),
    ],
    interventionTable: [
      intervention('clean', 'its own (clean)', 0.853, 'this run'),
      intervention('zero-latent', 'left out (zero-latent)', 0.364, 'this run'),
      intervention('noise', 'noise of the same norm', 0.314, 'this run'),
      intervention('other', "another example's", 0.301, 'this run'),
      intervention('oracle', 'exact (oracle)', 0.971, 'stored study'),
    ],
    examples: [
      example('rope', 'hard', 17),
      example('zoom', 'hard', 4),
      example('chart', 'hard', 8),
      example('bricks', 'easy', 2),
      example('rungs', 'hard', 31),
    ],
    trainingCurves: [
      curve('GAP', 'total', 6.2, 0.16),
      curve('GAP', 'lm loss', 1.9, 0.05),
      curve('GAP', 'latent loss', 1.05, 0.03),
      curve('dense caption', 'total', 1.9, 0.12),
      curve('dense caption', 'lm loss', 1.9, 0.12),
    ],
    normBars: [
      {
        variant: 'output as input',
        finalState: { mean: 143.2, std: 21.5 },
        queryVision: { mean: 31.0, std: 2.4 },
        textInput: { mean: 0.56, std: 0.04 },
        reconstruction: { mean: 143.2, std: 21.5 },
      },
      {
        variant: 'GAP',
        finalState: { mean: 68.4, std: 7.1 },
        queryVision: { mean: 31.0, std: 2.4 },
        textInput: { mean: 0.56, std: 0.04 },
        reconstruction: { mean: 30.2, std: 2.9 },
      },
    ],
    pcaSpectrum: {
      cumulativeExplained: Array.from({ length: 128 }, (_, i) => 1 - Math.exp(-0.27 * (i + 1))),
      k: 12,
      target: 0.95,
      relMse: 0.0392,
    },
    timings: [
      { stage: 'generate data', seconds: 3.2 },
      { stage: 'score capacity', seconds: 41.7 },
      { stage: 'fit the basis', seconds: 2.1 },
      { stage: 'train GAP', seconds: 141.3 },
      { stage: 'train dense caption', seconds: 96.0 },
      { stage: 'decode and intervene', seconds: 63.8 },
    ],
  };
}
