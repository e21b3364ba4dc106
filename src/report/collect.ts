// Owns what a report says of a comparison: reads its files, decodes a few examples, fills ReportData.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DataError, GapvlError } from '../errors.ts';
import { hashModel } from '../context/provenance.ts';
import { loadDataset } from '../data/dataset.ts';
import type { SessionOptions } from '../engine/session.ts';
import { SUMMARY_FILE } from '../evaluate/compare.ts';
import type { Comparison, ModelComparison } from '../evaluate/compare.ts';
import type { InterventionName } from '../evaluate/interventions.ts';
import type { Prediction as StoredPrediction } from '../evaluate/evaluate.ts';
import { openGapModel } from '../store/latent-head.ts';
import type { GapModel } from '../latent/model.ts';
import { relativeError } from '../latent/pca.ts';
import { RECORDS_FILE } from '../train/record-file.ts';
import type { StepRecord } from '../train/loop.ts';
import { viewLatents } from './collect-latents.ts';
import { studyAccuracyRows, studyInterventionRows, studyNorms } from './study.ts';
import type { Study } from './study.ts';
import type {
  AccuracyRow,
  InterventionRow,
  PcaSpectrum,
  Prediction,
  Provenance,
  ReportData,
  StageTiming,
  TrainingCurve,
} from './types.ts';

/** Labels of interventions, in the order of the tables. */
export const INTERVENTION_LABELS: Readonly<Record<InterventionName, string>> = {
  clean: 'Clean',
  ema: 'EMA norm calibration',
  oracle: 'Oracle: auxiliary embeddings',
  'zero-latent': 'Zero-latent: span suppressed',
  'noise-unit': 'Noise, unit',
  'noise-spectrum': 'Noise, spectrum-matched',
  'noise-norm': 'Noise, norm-matched',
  other: "Another example's latents",
};

/** Points of a curve; ours: a wider chart than this is not drawn. */
const CURVE_POINTS = 120;
/** Components shown in the spectrum; ours. */
const SPECTRUM_COMPONENTS = 48;

/** What a report is collected from. */
export interface CollectOptions extends SessionOptions {
  readonly title: string;
  /** Folder of a comparison. */
  readonly comparison: string;
  /** Rows of the stored study are added and marked. */
  readonly study?: Study;
  readonly timings?: readonly StageTiming[];
  readonly provenance: Omit<Provenance, 'versions' | 'hashes' | 'seed'>;
  /** Example cards; default 8. */
  readonly numCards?: number;
  /** Examples decoded for norms and cards; default 60. */
  readonly numViewed?: number;
  readonly signal?: AbortSignal;
}

async function readComparison(folder: string): Promise<Comparison> {
  const path = join(folder, SUMMARY_FILE);
  try {
    const found = JSON.parse(await readFile(path, 'utf8')) as Comparison;
    const format: string = found.format;
    if (format === 'gapvl.comparison.1') return found;
    throw new TypeError(`format ${format}`);
  } catch (cause) {
    throw new DataError(
      {
        what: `${path} cannot be read`,
        got: cause instanceof Error ? cause.message : String(cause),
        expected: 'the summary of a comparison',
        fix: 'run `gapvl compare` first',
      },
      cause,
    );
  }
}

/**
 * The compared model, to decode with again. One that was moved or trained anew since would stand
 * beside numbers that are not its own.
 */
async function readCompared({ name, folder, hash }: ModelComparison): Promise<GapModel> {
  const fault = (got: string, cause?: unknown): DataError =>
    new DataError(
      {
        what: `the model ${name} of this comparison is not in ${folder} any more`,
        got,
        expected: `the model with hash ${hash}`,
        fix: 'put it back there (a relative path starts in the current folder), or run `gapvl compare` again',
      },
      cause,
    );
  const found = await hashModel(folder).catch((cause: unknown) => {
    throw cause instanceof GapvlError ? fault(cause.parts.what, cause) : cause;
  });
  if (found !== hash) throw fault(`a model with hash ${found}`);
  return await openGapModel(folder);
}

/** The records of a JSONL file; none when there is no file. */
async function readLines(path: string): Promise<unknown[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line, i) => {
    if (line === '') return [];
    try {
      return [JSON.parse(line) as unknown];
    } catch (cause) {
      throw new DataError(
        {
          what: `${path}:${i + 1}: the line is not JSON`,
          got: line.slice(0, 80),
          expected: 'one JSON object a line',
          fix: 'remove the file and run the command that wrote it again',
        },
        cause,
      );
    }
  });
}

function accuracyRow(model: ModelComparison): AccuracyRow[] {
  const clean = model.scores.find(({ intervention }) => intervention === 'clean');
  if (!clean) return [];
  const share = (task: string, difficulty: string): number | null =>
    clean.byTask[task]?.[difficulty]?.accuracy ?? null;
  return [
    {
      variant: model.name,
      label: model.variant,
      n: clean.n,
      accuracy: clean.accuracy,
      low: clean.low,
      high: clean.high,
      source: 'this run',
      ...(model.writesLatents ? { triggerRate: clean.triggerRate } : {}),
      byTask: Object.fromEntries(
        Object.keys(clean.byTask).map((task) => [
          task,
          { easy: share(task, 'easy'), hard: share(task, 'hard') },
        ]),
      ),
    },
  ];
}

function interventionRows(model: ModelComparison | undefined): InterventionRow[] {
  const order = Object.keys(INTERVENTION_LABELS) as InterventionName[];
  return order.flatMap((name) => {
    const score = model?.scores.find(({ intervention }) => intervention === name);
    if (!score) return [];
    const { n, accuracy, low, high, differenceToClean } = score;
    const row = {
      intervention: name,
      label: INTERVENTION_LABELS[name],
      n,
      accuracy,
      low,
      high,
      source: 'this run' as const,
    };
    return [differenceToClean ? { ...row, differenceToClean } : row];
  });
}

function thinned(values: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const stride = Math.max(1, Math.ceil(values.length / CURVE_POINTS));
  const points: (readonly [number, number])[] = [];
  for (let start = 0; start < values.length; start += stride) {
    const part = values.slice(start, start + stride);
    const average = part.reduce((sum, [, value]) => sum + value, 0) / part.length;
    points.push([part.at(-1)?.[0] ?? 0, average]);
  }
  return points;
}

async function curvesOf(model: ModelComparison): Promise<TrainingCurve[]> {
  const records = (await readLines(join(model.folder, RECORDS_FILE))) as StepRecord[];
  if (records.length === 0) return [];
  const latent = records.flatMap((r) =>
    r.latentLoss === undefined ? [] : [[r.step, r.latentLoss] as const],
  );
  const language = records.flatMap((r) =>
    r.languageLoss === undefined ? [] : [[r.step, r.languageLoss] as const],
  );
  return [
    ...(language.length > 0
      ? [{ run: model.name, name: 'lm loss' as const, points: thinned(language) }]
      : []),
    ...(latent.length > 0
      ? [{ run: model.name, name: 'latent loss' as const, points: thinned(latent) }]
      : []),
  ];
}

function spectrumOf(model: GapModel): PcaSpectrum | undefined {
  const { basis } = model.head;
  if (!basis) return undefined;
  const shown = Math.min(SPECTRUM_COMPONENTS, basis.eigenvalues.length);
  return {
    cumulativeExplained: Array.from(
      { length: shown },
      (_, i) => 1 - relativeError(basis.eigenvalues, i + 1),
    ),
    k: basis.k,
    target: Number(basis.explained.toFixed(4)),
    relMse: 1 - basis.explained,
  };
}

/** Clean predictions of every model by example id. */
async function cleanPredictions(
  comparison: Comparison,
  folder: string,
): Promise<Map<string, Record<string, Prediction>>> {
  const byId = new Map<string, Record<string, Prediction>>();
  for (const { name } of comparison.models) {
    const path = join(folder, 'predictions', `${name}.clean.jsonl`);
    for (const record of (await readLines(path)) as Partial<StoredPrediction>[]) {
      if (record.id === undefined) continue;
      const own = byId.get(record.id) ?? {};
      own[name] = { text: record.answer ?? '(no answer)', correct: record.correct === true };
      byId.set(record.id, own);
    }
  }
  return byId;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Sentences that say what the latents did, from the numbers alone. */
export function verdictOf(
  accuracy: readonly AccuracyRow[],
  interventions: readonly InterventionRow[],
): string[] {
  const own = interventions.filter(({ source }) => source === 'this run');
  const clean = own.find(({ intervention }) => intervention === 'clean');
  const sentences: string[] = [];
  if (clean) {
    for (const [name, what] of [
      ['zero-latent', 'without its latent span'],
      ['other', "with another example's latents"],
      ['noise-norm', 'with noise of equal norm as latents'],
    ] as const) {
      const row = own.find(({ intervention }) => intervention === name);
      const difference = row?.differenceToClean;
      if (!row || !difference) continue;
      const decided =
        difference.high < 0
          ? 'the latents matter'
          : difference.low > 0
            ? 'the latents hurt'
            : 'no difference is shown';
      sentences.push(
        `The model answers ${percent(clean.accuracy)} with its own latents and ${percent(row.accuracy)} ${what}: ${decided} (paired difference ${(100 * difference.mean).toFixed(1)} points, 95 % interval ${(100 * difference.low).toFixed(1)} to ${(100 * difference.high).toFixed(1)}).`,
      );
    }
  }
  const runs = accuracy.filter(({ source }) => source === 'this run');
  if (runs.length > 1) {
    sentences.push(
      `On the same ${runs[0]?.n ?? 0} questions: ${runs.map((r) => `${r.label} ${percent(r.accuracy)}`).join(', ')}.`,
    );
  }
  return sentences;
}

/** Collects everything a report shows of a comparison. */
export async function collectReport(options: CollectOptions): Promise<ReportData> {
  const comparison = await readComparison(options.comparison);
  const main = comparison.models.find(({ writesLatents }) => writesLatents);
  const accuracyTable = comparison.models.flatMap(accuracyRow);
  const interventionTable = interventionRows(main);
  const stored = options.study;
  const gap = main ? await readCompared(main) : undefined;
  const predictions = await cleanPredictions(comparison, options.comparison);
  const view =
    gap && main
      ? await viewLatents(gap, {
          ...options,
          data: comparison.data.folder,
          // Those the comparison was about; `--limit` may have left the rest out.
          examples: (await loadDataset(comparison.data.folder, { split: comparison.data.split }))
            .filter(({ id }) => predictions.has(id))
            .slice(0, options.numViewed ?? 60),
          bankExamples: (await loadDataset(comparison.data.folder, { split: 'train' })).slice(
            0,
            400,
          ),
          numCards: options.numCards ?? 8,
          predictions: (id) => predictions.get(id) ?? {},
        })
      : undefined;
  const curves = await Promise.all(comparison.models.map(curvesOf));
  const spectrum = gap ? spectrumOf(gap) : undefined;
  const norms = [...(view?.norms ? [view.norms] : []), ...(stored ? studyNorms(stored) : [])];
  return {
    title: options.title,
    provenance: {
      ...options.provenance,
      seed: comparison.seed,
      versions: comparison.versions,
      hashes: {
        dataset: comparison.data.hash,
        ...Object.fromEntries(
          comparison.models.map(({ name, folder, hash }): [string, string] => [
            `${name} (${basename(folder)})`,
            hash,
          ]),
        ),
      },
    },
    verdict: verdictOf(accuracyTable, interventionTable),
    accuracyTable: [...accuracyTable, ...(stored ? studyAccuracyRows(stored) : [])],
    interventionTable: [...interventionTable, ...(stored ? studyInterventionRows(stored) : [])],
    ...(view && view.cards.length > 0 ? { examples: view.cards } : {}),
    trainingCurves: curves.flat(),
    ...(norms.length > 0 ? { normBars: norms } : {}),
    ...(spectrum ? { pcaSpectrum: spectrum } : {}),
    ...(options.timings ? { timings: options.timings } : {}),
  };
}
