// Owns many runs as one: benchmarks by models by latent budgets by interventions by seeds, a folder each; the
// CLI calls it.
import { join } from 'node:path';
import { writeFileAtomic } from '../../engine/atomic-file.ts';
import { hashModel, versions } from '../../context/provenance.ts';
import { ConfigError } from '../../errors.ts';
import { writesLatents } from '../../evaluate/interventions.ts';
import type { InterventionName } from '../../evaluate/interventions.ts';
import type { GapModel } from '../../latent/model.ts';
import { openGapModel } from '../../store/latent-head.ts';
import type { ItemError } from '../prediction.ts';
import { DEFAULT_DRAWS } from '../results/intervals.ts';
import { readResult, writeResult } from '../results/result.ts';
import type { EvaluationResult } from '../results/result.ts';
import { scoreRun } from '../results/score-run.ts';
import type { DatasetName, Era, Unwrap } from '../types.ts';
import { localObstacle } from './local.ts';
import type { LocalOptions } from './local.ts';
import { lockFolder } from './lock.ts';
import { openContestant, runItems } from './run.ts';
import type { ItemsOptions, RunEvent, RunResult } from './run.ts';
import { openTable } from './table.ts';
import type { RunTable } from './table.ts';

/** File of a sweep's points inside its folder. */
export const SWEEP_FILE = 'sweep.json';

/** Seeds the draws of intervals; the same for all points, and as `gapvl evaluate score` has it. */
const SCORING_SEED = 12345;

/** A model of a sweep, by the name tables and folders use. */
export interface SweepModel {
  readonly name: string;
  readonly folder: string;
}

/** A benchmark of a sweep. */
export interface SweepBenchmark {
  readonly name: DatasetName;
  /** File of the table. */
  readonly data: string;
}

/** What to sweep over; everything else is the same in all runs. */
export interface SweepOptions extends Omit<ItemsOptions, 'seed'> {
  readonly benchmarks: readonly SweepBenchmark[];
  readonly models: readonly SweepModel[];
  /** K; default: what each model was trained with. */
  readonly latents?: readonly number[];
  /** Default `clean`. */
  readonly interventions?: readonly InterventionName[];
  readonly seeds: readonly number[];
  readonly anyTable?: boolean;
  /** Rules that finished points are scored by, without a judge. */
  readonly era: Era;
  readonly unwrap: Unwrap;
  /** Bytes of a table read so far. */
  readonly onRead?: (doneBytes: number, totalBytes: number) => void;
  /** How every model answers. */
  readonly answerer: Omit<LocalOptions, 'kind' | 'folder' | 'hash' | 'numLatents' | 'intervention'>;
}

/** One run of a sweep. */
export interface SweepPoint {
  /** Also the folder of the run inside that of the sweep. */
  readonly name: string;
  readonly benchmark: DatasetName;
  readonly model: string;
  readonly modelFolder: string;
  /** K; 0 for a model that writes no latents. */
  readonly numLatents: number;
  readonly intervention: InterventionName;
  readonly seed: number;
}

/** What became of a point. */
export interface SweptPoint extends SweepPoint {
  readonly state: 'planned' | 'finished' | 'impossible';
  /** Why it is impossible. */
  readonly reason?: string;
  readonly numItems?: number;
  readonly numAnswered?: number;
  readonly numErrors?: number;
  /** What kinds of errors there are. */
  readonly errorKinds?: readonly ItemError['kind'][];
  /** The point's result.json in short. */
  readonly score?: PointScore;
}

/** The figures of a point that tables print. */
export interface PointScore extends Pick<
  EvaluationResult,
  'status' | 'era' | 'unwrap' | 'isLowerBound' | 'headlines'
> {
  /** Whether a judge was asked. */
  readonly judge: EvaluationResult['judge']['mode'];
  readonly latency: EvaluationResult['latency'];
  readonly triggerRate: number | null;
}

/** A sweep, as SWEEP_FILE holds it. */
export interface Sweep {
  readonly format: 'gapvl.sweep.1';
  readonly points: readonly SweptPoint[];
}

/** How far a sweep is. */
export interface SweepEvent {
  readonly point: SweepPoint;
  /** Of the points that are possible, from 0. */
  readonly at: number;
  readonly numPoints: number;
  readonly run: RunEvent;
}

function checkAxes(options: SweepOptions): void {
  const { models, benchmarks, seeds, latents, interventions } = options;
  const modelNames = models.map(({ name }) => name);
  const axes: Readonly<Record<string, readonly (string | number)[] | undefined>> = {
    models: modelNames,
    benchmarks: benchmarks.map(({ name }) => name),
    seeds,
    latents,
    interventions,
  };
  const faults = Object.entries(axes).flatMap(([axis, values]) => {
    if (values?.length === 0) return [`no ${axis}`];
    const twice = values?.find((value, i) => values.indexOf(value) !== i);
    return twice === undefined ? [] : [`${axis} ${twice} twice`];
  });
  const unusable = modelNames.filter((name) => !/^[A-Za-z0-9][\w.-]*$/.test(name));
  faults.push(...unusable.map((name) => `model name ${JSON.stringify(name)}`));
  if (faults.length === 0) return;
  throw new ConfigError({
    what: 'this sweep cannot be run',
    got: faults.join(', '),
    expected:
      'every value once, and names of letters, digits, dots and dashes: they become folders',
    fix: 'name models as in --model gap=runs/gap',
  });
}

/** Points of one model on one benchmark; without latents budgets and interventions come to the same. */
function pointsOf(
  benchmark: SweepBenchmark,
  { name, folder }: SweepModel,
  model: GapModel,
  options: SweepOptions,
): SweptPoint[] {
  const trained = model.settings?.numLatents ?? 0;
  const isWriter = writesLatents(model);
  const budgets = isWriter ? (options.latents ?? [trained]) : [0];
  const interventions = options.interventions ?? ['clean'];
  return budgets.flatMap((numLatents) =>
    interventions.flatMap((intervention) =>
      options.seeds.map((seed): SweptPoint => {
        const point = {
          name: `${benchmark.name}.${name}.K${numLatents}.${intervention}.s${seed}`,
          benchmark: benchmark.name,
          ...{ model: name, modelFolder: folder, numLatents, intervention, seed },
        };
        const reason = localObstacle(model, intervention);
        return reason === undefined
          ? { ...point, state: 'planned' }
          : { ...point, state: 'impossible', reason };
      }),
    ),
  );
}

/** All points of a sweep, benchmark by benchmark; models are looked at, none runs. */
async function planSweep(options: SweepOptions): Promise<SweptPoint[]> {
  checkAxes(options);
  const models: GapModel[] = [];
  for (const { folder } of options.models) models.push(await openGapModel(folder));
  return options.benchmarks.flatMap((benchmark) =>
    options.models.flatMap((named, i) =>
      pointsOf(benchmark, named, models[i] as GapModel, options),
    ),
  );
}

/**
 * Runs every point of a sweep; points that were finished before cost a look into their folders, and the
 * same call goes on after an interruption. More values on an axis may be given later: a point's folder
 * does not depend on the others. The points are returned and stand in SWEEP_FILE.
 * @throws ConfigError for axes that cannot be used; whatever runBenchmark throws.
 */
export async function* runSweep(options: SweepOptions): AsyncGenerator<SweepEvent, Sweep> {
  await using _lock = await lockFolder(options.out);
  const points = await planSweep(options);
  const possible = points.filter(({ state }) => state === 'planned');
  const hashes = new Map<string, string>();
  const save = async (): Promise<Sweep> => {
    const sweep: Sweep = { format: 'gapvl.sweep.1', points };
    const text = `${JSON.stringify(sweep, null, 2)}\n`;
    await writeFileAtomic(join(options.out, SWEEP_FILE), [text]);
    return sweep;
  };
  let table: RunTable | undefined;
  for (const [at, point] of possible.entries()) {
    const { benchmark } = point;
    const { data } = options.benchmarks.find(({ name }) => name === benchmark) ?? { data: '' };
    const { anyTable, signal, onRead } = options;
    // One table at a time: a large one takes memory. A folder may hold those of several benchmarks.
    if (table?.name !== benchmark) {
      table = await openTable({ benchmark, data, ...given({ anyTable, signal, onRead }) });
    }
    const hash = hashes.get(point.modelFolder) ?? (await hashModel(point.modelFolder));
    hashes.set(point.modelFolder, hash);
    const run = runPoint(table, point, hash, options);
    let result: RunResult;
    let isNew = false;
    try {
      for (;;) {
        const next = await run.next();
        if (next.done === true) {
          result = next.value;
          break;
        }
        isNew ||= next.value.record !== undefined;
        yield { point, at, numPoints: possible.length, run: next.value };
      }
    } finally {
      // Whoever leaves in the middle leaves no lock behind.
      await run.return(undefined as never);
    }
    const { numItems, numAnswered, errors } = result;
    points[points.indexOf(point)] = {
      ...point,
      state: 'finished',
      ...{ numItems, numAnswered, numErrors: errors.length },
      score: await scorePoint(join(options.out, point.name), data, isNew, options),
      errorKinds: [...new Set(errors.flatMap(({ error }) => (error ? [error.kind] : [])))].sort(),
    };
    await save();
  }
  return await save();
}

async function* runPoint(
  table: RunTable,
  point: SweepPoint,
  hash: string,
  options: SweepOptions,
): AsyncGenerator<RunEvent, RunResult> {
  const { numLatents, intervention, seed, modelFolder } = point;
  const own = { ...options, seed, out: join(options.out, point.name) };
  await using _lock = await lockFolder(own.out);
  const answerer: LocalOptions = {
    ...options.answerer,
    ...{ kind: 'model', folder: modelFolder, hash, intervention },
    ...(numLatents > 0 ? { numLatents } : {}),
  };
  return yield* runItems(table, await openContestant(answerer, own), own);
}

/** Scores a finished point, unless it was and nothing came to it since; a judge's result is kept, too. */
async function scorePoint(
  folder: string,
  data: string,
  isNew: boolean,
  { era, unwrap, signal }: SweepOptions,
): Promise<PointScore> {
  const before = isNew ? undefined : await readResult(folder);
  if (before?.era === era && before.unwrap === unwrap) return shortOf(before);
  const { result, scores } = await scoreRun({
    ...{ run: folder, data, era, unwrap, seed: SCORING_SEED, draws: DEFAULT_DRAWS },
    versions: { ...(await versions()), node: process.version },
    ...(signal ? { signal } : {}),
  });
  await writeResult(folder, result, scores);
  return shortOf(result);
}

function shortOf(result: EvaluationResult): PointScore {
  const { status, era, unwrap, isLowerBound, headlines, judge, latency, triggerRate } = result;
  return { status, era, unwrap, isLowerBound, headlines, judge: judge.mode, latency, triggerRate };
}

function given<T extends Record<string, unknown>>(
  values: T,
): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  const known = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(known) as { [Name in keyof T]?: Exclude<T[Name], undefined> };
}
