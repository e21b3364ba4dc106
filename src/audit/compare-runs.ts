// Owns holding two finished audits or comparisons against each other, paired by item; `gapvl compare A B` calls it.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { differingFields, readJournal } from '../data/journal.ts';
import type { JournalHeader } from '../data/journal.ts';
import { DataError } from '../errors.ts';
import { holm, pairedEffect } from '../evaluate/effects.ts';
import type { MeanInterval } from '../evaluate/statistics.ts';
import { PREDICTIONS_FORMAT } from '../evaluate/intervention-run.ts';
import { Rng } from '../rng.ts';
import { ITEMS_FORMAT } from './journals.ts';

interface Outcome {
  readonly id: string;
  readonly correct: boolean;
  /** Question the item belongs to; its id where nothing else is said. */
  readonly cluster: string;
}

/** What a folder holds: outcomes by arm, and the settings they were made with. */
interface Outcomes {
  readonly arms: ReadonlyMap<string, readonly Outcome[]>;
  readonly header: Readonly<Record<string, unknown>>;
}

/** One arm of both runs. */
export interface ArmComparison {
  readonly arm: string;
  /** Items that both runs answered. */
  readonly n: number;
  /** Accuracy of each run on them. */
  readonly first: number;
  readonly second: number;
  /** second - first, with its 95 % interval. */
  readonly difference: MeanInterval;
  /** Items that only one of the runs has right. */
  readonly onlyFirstRight: number;
  readonly onlySecondRight: number;
  /** McNemar's p, corrected for all arms. */
  readonly p: number;
  /** Items of one run only, which are left out. */
  readonly numUnpaired: number;
}

/** Two runs side by side. */
export interface RunComparison {
  readonly arms: readonly ArmComparison[];
  /** Arms that only one of the runs has. */
  readonly onlyFirst: readonly string[];
  readonly onlySecond: readonly string[];
  /** Settings that are not the same, with both values. */
  readonly settings: readonly {
    readonly name: string;
    readonly first: unknown;
    readonly second: unknown;
  }[];
}

/** Header fields that say what a journal is of, and differ between journals of one run. */
const OWN_FIELDS = ['format', 'of', 'intervention', 'emaDecay'];

const LAYOUTS = [
  { folder: 'items', pattern: /^arm-(.+)\.jsonl$/u, format: ITEMS_FORMAT },
  { folder: 'predictions', pattern: /^(.+)\.jsonl$/u, format: PREDICTIONS_FORMAT },
] as const;

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function parseOutcome(record: unknown, path: string, line: number): Outcome {
  const { id, correct, cluster } = (record ?? {}) as Partial<Outcome>;
  if (typeof id === 'string' && typeof correct === 'boolean')
    return { id, correct, cluster: cluster ?? id };
  throw new DataError({
    what: `${path}:${line}: the line is no answer to a question`,
    got: JSON.stringify(record).slice(0, 120),
    expected: 'an object with "id" and "correct"',
    fix: 'make the run again',
  });
}

/** A single model's name says nothing: `gap.clean` is `clean` where all are of `gap`. */
function withoutModel(names: readonly string[]): (name: string) => string {
  const models = new Set(names.map((name) => name.slice(0, Math.max(0, name.lastIndexOf('.')))));
  const [model = ''] = models;
  return models.size === 1 && model !== ''
    ? (name) => name.slice(model.length + 1)
    : (name) => name;
}

async function readOutcomes(run: string): Promise<Outcomes> {
  for (const { folder, pattern, format } of LAYOUTS) {
    const names = (await namesIn(join(run, folder))).flatMap((n) => pattern.exec(n)?.[1] ?? []);
    if (names.length === 0) continue;
    const short = folder === 'predictions' ? withoutModel(names) : (name: string): string => name;
    const arms = new Map<string, Outcome[]>();
    let header: JournalHeader | undefined;
    for (const name of names.sort()) {
      const file = folder === 'items' ? `arm-${name}.jsonl` : `${name}.jsonl`;
      const path = join(run, folder, file);
      const found = await readJournal(path, format);
      if (!found) continue;
      header ??= found.header;
      arms.set(
        short(name),
        found.records.map((record, i) => parseOutcome(record, path, i + 2)),
      );
    }
    if (header) return { arms, header };
  }
  throw new DataError({
    what: `${run} holds no run that could be compared`,
    expected:
      'a folder of `gapvl audit` (items/arm-*.jsonl) or of `gapvl compare` (predictions/*.jsonl)',
    fix: 'name the folder that was given as --out',
  });
}

function pairUp(
  first: readonly Outcome[],
  second: readonly Outcome[],
): { readonly pairs: (readonly [Outcome, Outcome])[]; readonly numUnpaired: number } {
  const byId = new Map(second.map((outcome) => [outcome.id, outcome]));
  const pairs = first.flatMap((own) => {
    const other = byId.get(own.id);
    return other ? [[own, other] as const] : [];
  });
  return { pairs, numUnpaired: first.length + second.length - 2 * pairs.length };
}

/**
 * Holds the second run against the first, item by item, arm by arm: second minus first.
 * @throws DataError when a folder holds no run, or the two share no item of any arm.
 */
export async function compareRuns(
  first: string,
  second: string,
  seed: number,
): Promise<RunComparison> {
  const [a, b] = [await readOutcomes(first), await readOutcomes(second)];
  const shared = [...a.arms.keys()].filter((name) => b.arms.has(name));
  const score = ({ correct }: Outcome): number => (correct ? 1 : 0);
  const effects = shared.flatMap((arm) => {
    const { pairs, numUnpaired } = pairUp(a.arms.get(arm) ?? [], b.arms.get(arm) ?? []);
    if (pairs.length === 0) return [];
    const effect = pairedEffect({
      first: pairs.map(([, other]) => score(other)),
      second: pairs.map(([own]) => score(own)),
      clusters: pairs.map(([own]) => own.cluster),
      rng: new Rng(seed).fork(`runs ${arm}`),
    });
    return [{ arm, numUnpaired, effect }];
  });
  if (effects.length === 0) {
    throw new DataError({
      what: 'these runs have no item in common',
      got: `arms ${[...a.arms.keys()].join(', ')} and ${[...b.arms.keys()].join(', ')}`,
      expected: 'answers to the same questions under an arm that both have',
      fix: 'run both on the same dataset and split',
    });
  }
  const corrected = holm(effects.map(({ effect }) => effect.mcNemar?.p ?? 1));
  const settings = differingFields(a.header, b.header)
    .filter((name) => !OWN_FIELDS.includes(name))
    .map((name) => ({ name, first: a.header[name], second: b.header[name] }));
  return {
    arms: effects.map(({ arm, numUnpaired, effect }, i) => ({
      arm,
      n: effect.n,
      // The effect was asked for as second against first.
      ...{ first: effect.second, second: effect.first },
      difference: effect.difference,
      onlyFirstRight: effect.mcNemar?.numSecondOnly ?? 0,
      onlySecondRight: effect.mcNemar?.numFirstOnly ?? 0,
      p: corrected[i] ?? 1,
      numUnpaired,
    })),
    onlyFirst: [...a.arms.keys()].filter((name) => !b.arms.has(name)),
    onlySecond: [...b.arms.keys()].filter((name) => !a.arms.has(name)),
    settings,
  };
}
