// Owns `gapvl demo`: the main job on the embedded default, from generated data to the report.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TRAIN_DEFAULTS } from '../config.ts';
import type { TrainRecipe } from '../config.ts';
import { SMALL_SCALE_TAU } from '../capacity/assignment.ts';
import { fitBasis } from '../context/fit-basis.ts';
import { writeDataset } from '../data/dataset-writer.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import type { SessionOptions } from '../engine/session.ts';
import { scoreCapacity } from '../evaluate/capacity-run.ts';
import { compareModels } from '../evaluate/compare.ts';
import type { Comparison } from '../evaluate/compare.ts';
import { INTERVENTION_NAMES } from '../evaluate/interventions.ts';
import { SMALL_SCALE_EXPLAINED } from '../latent/pca.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { collectReport } from '../report/collect.ts';
import { renderReport } from '../report/report.ts';
import { readStudy } from '../report/study.ts';
import { accuracyTextTable, interventionTextTable, renderTextTable } from '../report/text-table.ts';
import type { StageTiming } from '../report/types.ts';
import type { StepRecord } from '../train/loop.ts';
import { trainFolder } from '../train/train-folder.ts';
import { runBeside } from './beside.ts';
import type { Beside } from './beside.ts';
import { defineCommand } from './command.ts';
import type { CommandContext } from './command.ts';
import * as option from './options.ts';
import { lossNote, sessionOptions, watchTraining } from './running.ts';

/** The base that ships with the package. */
const SHIPPED_BASE = fileURLToPath(new URL('../../assets/base', import.meta.url));

/** How large a demo is. */
interface DemoSize {
  readonly numTrain: number;
  readonly numTest: number;
  readonly numSamples: number;
  readonly steps: number;
}

// ours: about six minutes on two cores, and about one for continuous integration.
const FULL: DemoSize = { numTrain: 3000, numTest: 400, numSamples: 8, steps: 1000 };
const QUICK: DemoSize = { numTrain: 300, numTest: 60, numSamples: 4, steps: 100 };

/** Paths inside of the demo's folder. */
interface DemoPaths {
  readonly data: string;
  readonly capacity: string;
  readonly basis: string;
  readonly gap: string;
  readonly caption: string;
  readonly comparison: string;
  readonly report: string;
}

function pathsIn(out: string): DemoPaths {
  return {
    data: join(out, 'data'),
    capacity: join(out, 'capacity.jsonl'),
    basis: join(out, 'basis.safetensors'),
    gap: join(out, 'gap'),
    caption: join(out, 'dense-caption'),
    comparison: join(out, 'compare'),
    report: join(out, 'report.html'),
  };
}

/** What every stage gets. */
interface Demo {
  readonly size: DemoSize;
  readonly recipe: TrainRecipe;
  readonly paths: DemoPaths;
  readonly session: SessionOptions;
  readonly context: CommandContext;
}

async function score({ size, recipe, paths, session, context }: Demo): Promise<string> {
  const progress = context.progress(`2/6 capacity: ${size.numSamples} samples a question`);
  const run = scoreCapacity({
    ...session,
    model: SHIPPED_BASE,
    data: paths.data,
    out: paths.capacity,
    numSamples: size.numSamples,
    tau: SMALL_SCALE_TAU,
    seed: recipe.seed,
    signal: context.signal,
  });
  for (;;) {
    const step = await run.next();
    if (step.done !== true) {
      progress.update(step.value.done, step.value.total);
      continue;
    }
    const { accuracy, all } = step.value;
    const note = `base answers ${(100 * accuracy).toFixed(0)} %; ${all.latent} of ${all.latent + all.textOnly} examples get latents`;
    progress.finish(note);
    return note;
  }
}

async function trainGap({ paths, recipe, session, context }: Demo): Promise<void> {
  const label = '4/6 training GAP';
  const encoding = context.progress(`${label}: pictures`);
  const steps: AsyncIterable<StepRecord> = trainFolder({
    ...session,
    variant: 'gap',
    recipe,
    model: SHIPPED_BASE,
    data: paths.data,
    basis: paths.basis,
    capacity: paths.capacity,
    out: paths.gap,
    progress: (done, total) => {
      encoding.update(done, total);
      if (done === total) encoding.finish();
    },
    signal: context.signal,
  });
  context.note(lossNote(await watchTraining(steps, context, label)));
}

/** The control needs neither scores nor basis, so it is trained on the other core meanwhile. */
function trainControlBeside({ paths, recipe, session, context }: Demo): Beside {
  const argv = [
    ...['train', '--variant', 'dense-caption', '--model', SHIPPED_BASE, '--data', paths.data],
    ...['--out', paths.caption, '--steps', String(recipe.steps), '--seed', String(recipe.seed)],
    ...['--threads', '1', '--device', session.device ?? 'cpu'],
  ];
  return runBeside(argv, context);
}

async function waitForControl(control: Beside, { context }: Demo): Promise<number> {
  const progress = context.progress('4/6 waiting for the dense-caption control');
  const seconds = await control.finished;
  progress.finish(`it took ${seconds.toFixed(0)} s, beside the rest`);
  return seconds;
}

async function compare({ recipe, paths, session, context }: Demo): Promise<Comparison> {
  const progress = context.progress('5/6 decode and intervene');
  const run = compareModels({
    ...session,
    models: [
      { name: 'gap', folder: paths.gap },
      { name: 'dense-caption', folder: paths.caption },
      { name: 'base', folder: SHIPPED_BASE },
    ],
    data: paths.data,
    split: 'test',
    interventions: INTERVENTION_NAMES,
    out: paths.comparison,
    seed: recipe.seed,
    signal: context.signal,
  });
  for (;;) {
    const step = await run.next();
    if (step.done === true) {
      progress.finish();
      return step.value;
    }
    progress.update(
      step.value.done,
      step.value.total,
      `${step.value.model}, ${step.value.intervention}`,
    );
  }
}

/** Runs a stage and remembers how long it took. */
async function timed<T>(
  context: CommandContext,
  timings: StageTiming[],
  stage: string,
  run: () => Promise<T>,
): Promise<T> {
  const began = context.clock.now();
  const result = await run();
  timings.push({ stage, seconds: (context.clock.now() - began) / 1000 });
  return result;
}

async function basis({ recipe, paths, session, context }: Demo): Promise<PcaBasis> {
  const progress = context.progress('3/6 PCA basis');
  const fitted = await fitBasis({
    ...session,
    model: SHIPPED_BASE,
    data: paths.data,
    numLatents: recipe.numLatents,
    size: { explained: SMALL_SCALE_EXPLAINED },
    kind: 'pca',
    seed: recipe.seed,
    out: paths.basis,
    signal: context.signal,
  });
  progress.finish(
    `${fitted.k} of ${fitted.dim} components explain ${(100 * fitted.explained).toFixed(1)} %`,
  );
  return fitted;
}

async function report(demo: Demo, timings: readonly StageTiming[], quick: boolean) {
  const { paths, session, context } = demo;
  const data = await collectReport({
    ...session,
    title: quick ? 'GAP demo (quick: too short to learn)' : 'GAP demo',
    comparison: paths.comparison,
    study: await readStudy(),
    timings,
    provenance: {
      recipe: `small scale, ${demo.recipe.steps} steps`,
      date: context.clock.date(),
      command: context.commandLine,
    },
    signal: context.signal,
  });
  await writeFileAtomic(paths.report, [await renderReport(data)]);
  return data;
}

/** The command. */
export const command = defineCommand({
  description:
    'The whole way on the embedded tiny model, without network: generates questions, scores what ' +
    'the base can do, fits the basis, trains GAP and the dense-caption control, decodes under every ' +
    'intervention, and writes one report. Interrupted, the same command goes on.',
  options: {
    out: option.withDefault(option.text('-o, --out <dir>', 'folder to write'), 'runs/demo'),
    quick: option.flag('--quick', 'about a minute: shows that everything runs, learns little'),
    seed: option.seedOption(),
    // ours: at this size a second thread makes training 1.5 times as fast (docs/LOG.md), a third little.
    threads: option.withDefault(
      option.positiveInteger('--threads <n>', 'threads inside one operation'),
      2,
    ),
    device: option.deviceOption(),
  },
  examples: ['gapvl demo', 'gapvl demo --quick --out runs/quick'],
  run: async (values, around) => {
    const size = values.quick ? QUICK : FULL;
    // When the control fails, nobody should wait for what is lost.
    const failing = new AbortController();
    const signal = AbortSignal.any([around.signal, failing.signal]);
    const context: CommandContext = { ...around, signal };
    const demo: Demo = {
      size,
      recipe: { ...TRAIN_DEFAULTS, seed: values.seed, steps: size.steps },
      paths: pathsIn(values.out),
      session: await sessionOptions(values),
      context,
    };
    const timings: StageTiming[] = [];
    const stage = <T>(name: string, run: () => Promise<T>): Promise<T> =>
      timed(context, timings, name, run);
    await stage('data', async () => {
      const progress = context.progress('1/6 questions and pictures');
      await writeDataset(demo.paths.data, {
        counts: { train: size.numTrain, test: size.numTest },
        seed: values.seed,
        progress: (done, total) => progress.update(done, total),
        signal: context.signal,
      });
      progress.finish();
    });
    const control = trainControlBeside(demo);
    control.finished.catch((reason: unknown) => {
      failing.abort(reason);
    });
    try {
      await stage('capacity', () => score(demo));
      await stage('basis', () => basis(demo));
      await stage('train GAP', () => trainGap(demo));
      const seconds = await stage('wait for the control', () => waitForControl(control, demo));
      timings.push({ stage: 'train dense caption', seconds, isBeside: true });
    } finally {
      await control.stop();
    }
    await stage('decode and intervene', () => compare(demo));
    const writing = context.progress('6/6 report');
    const data = await stage('report', () => report(demo, timings, values.quick));
    writing.finish(demo.paths.report);
    const tables = [
      renderTextTable(accuracyTextTable(data.accuracyTable ?? [])),
      renderTextTable(interventionTextTable(data.interventionTable ?? [])),
    ];
    context.result([...tables, ...data.verdict, `report: ${demo.paths.report}`].join('\n\n'), {
      report: demo.paths.report,
      verdict: data.verdict,
      accuracy: data.accuracyTable,
      interventions: data.interventionTable,
      timings,
    });
  },
});
