// Owns the numbers of a comparison: accuracies with intervals, trigger rates, paired differences.
import type { MeanInterval } from './statistics.ts';
import { pairedDifference, wilsonInterval } from './statistics.ts';
import { Rng } from '../rng.ts';
import type { Prediction } from './evaluate.ts';
import type { InterventionName } from './interventions.ts';

/** Accuracy of some predictions, as a fraction, with its 95 % interval. */
export interface Score {
  readonly n: number;
  readonly numCorrect: number;
  readonly accuracy: number;
  readonly low: number;
  readonly high: number;
  /** Share of the responses with at least one latent span. */
  readonly triggerRate: number;
}

/** What one model did under one intervention. */
export interface InterventionScore extends Score {
  readonly intervention: InterventionName;
  /** Share of the responses that ended by themselves. */
  readonly finishedRate: number;
  /** By task, then difficulty; an example without either stands under `-`. */
  readonly byTask: Readonly<Record<string, Readonly<Record<string, Score>>>>;
  /** Accuracy minus that of clean decoding on the same examples; absent for clean. */
  readonly differenceToClean?: MeanInterval;
  /** Rows of `other` whose latents came from another task, since their own has no second one. */
  readonly numFromOtherTasks?: number;
}

function score(predictions: readonly Prediction[]): Score {
  const n = predictions.length;
  const numCorrect = predictions.filter(({ correct }) => correct).length;
  const numTriggered = predictions.filter(({ numSpans }) => numSpans > 0).length;
  return {
    n,
    numCorrect,
    accuracy: numCorrect / n,
    ...wilsonInterval(numCorrect, n),
    triggerRate: numTriggered / n,
  };
}

function grouped<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item) || '-';
    groups.set(name, [...(groups.get(name) ?? []), item]);
  }
  return groups;
}

/** Scores of one intervention; `clean` are the predictions for the same examples in order. */
export function scoreIntervention(
  intervention: InterventionName,
  predictions: readonly Prediction[],
  clean: readonly Prediction[] | undefined,
  seed: number,
): InterventionScore {
  const byTask = [...grouped(predictions, ({ task }) => task)].map(([task, own]) => {
    const cells = [...grouped(own, ({ difficulty }) => difficulty)];
    return [task, Object.fromEntries(cells.map(([name, cell]) => [name, score(cell)]))] as const;
  });
  const values = (of: readonly Prediction[]): number[] => of.map((p) => Number(p.correct));
  return {
    intervention,
    ...score(predictions),
    finishedRate: predictions.filter(({ finished }) => finished).length / predictions.length,
    byTask: Object.fromEntries(byTask),
    ...(clean && intervention !== 'clean'
      ? {
          differenceToClean: pairedDifference(
            values(predictions),
            values(clean),
            new Rng(seed).fork(`bootstrap ${intervention}`),
          ),
        }
      : {}),
  };
}

/** Responses with latents to which no other response of the same task with latents exists. */
export function numWithoutPartner(clean: readonly Prediction[]): number {
  const withSpan = clean.filter(({ numSpans }) => numSpans > 0);
  return [...grouped(withSpan, ({ task }) => task).values()].filter((own) => own.length === 1)
    .length;
}
