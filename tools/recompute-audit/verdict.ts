// Owns recomputing canaries, verdict and card of an audit from its arms; recompute-audit.ts calls it.
import { average } from './recomputation.ts';
import type { ArmItem, Estimate, Recomputation } from './recomputation.ts';
import { itemsFor, mean, signTest, wilson } from './statistics.ts';
import type { Observation } from './statistics.ts';

/** Differences within this count as none. */
const MARGIN = 0.05;
/** What clean has to beat, as sentences call it and as the card does. */
const NEEDED = [
  { arm: 'other', what: "another example's latents", card: "clean over another example's latents" },
  { arm: 'markers-only', what: 'the markers alone', card: 'clean over markers only' },
  { arm: 'zero-latent', what: 'no span at all', card: 'clean over no span' },
] as const;
const ORACLE = 'clean over the oracle';
const SENTENCES: Readonly<Record<string, RegExp>> = {
  refused: /^No verdict: /,
  used: /^The latents are used: /,
  harmful: /^The latents do harm: /,
  'not-used': /^(?:The span helps, but not by what is in it: |The latents are not used: )/,
  open: /^Open: /,
};

const rightOf = ({ correct }: ArmItem): number => (correct ? 1 : 0);
const points = (x: number): string => (100 * x).toFixed(1);
const hasSpan = ({ triggered }: ArmItem): boolean => triggered;

/** What has to hold before any verdict, by name. */
export function canaries(run: Recomputation): void {
  const clean = new Map(run.arm('clean').map((item) => [item.id, item]));
  const same = (name: string, isWhole = false): boolean[] =>
    run.arm(name).flatMap((item) => {
      const own = clean.get(item.id);
      if (!item.triggered || (item.logitsHash === null && !isWhole)) return [];
      const isText = !isWhole || item.response === own?.response;
      return [isText && item.logitsHash === own?.logitsHash];
    });
  const holds: Record<string, boolean> = {
    trigger: run.arm('clean').some(hasSpan),
    identity: same('identity', true).length > 0 && same('identity', true).every(Boolean),
    destruction: ['zero-vector', 'noise-unit'].every(
      (name) => same(name).length > 0 && !same(name).some(Boolean),
    ),
  };
  for (const { name, passed } of run.audit.canaries)
    run.check(`canary ${name}`, Number(passed), Number(holds[name]));
  run.check('canaries', run.audit.canaries.length, 3);
}

/** Differences of clean and an arm, item by item; undefined where it was not run on all. */
function against(run: Recomputation, name: string): Observation[] | undefined {
  const [clean, arm] = [run.arm('clean'), run.arm(name)];
  if (clean.length === 0 || arm.length !== clean.length) return undefined;
  const byId = new Map(arm.map((item) => [item.id, item]));
  return clean.map((own): Observation => {
    const other = byId.get(own.id);
    return [own.cluster, other ? rightOf(own) - rightOf(other) : NaN];
  });
}

/** The five figures, each with its interval. */
export function card(run: Recomputation): void {
  const told = new Map(run.audit.card.map(({ label, value }) => [label, value]));
  run.check('card, figures', told.size, 5);
  const clean = run.arm('clean');
  const accuracy = clean.length ? mean(clean.map(rightOf)) : null;
  run.check('examples', run.audit.data.n, clean.length);
  run.cell('card, accuracy', told.get('accuracy, clean'), accuracy);
  for (const { arm, label } of [
    ...NEEDED.map(({ arm: name, card: title }) => ({ arm: name, label: title })),
    { arm: 'oracle', label: ORACLE },
  ]) {
    run.cell(`card, ${label}`, told.get(label), average(against(run, arm) ?? []));
  }
}

interface Comparison {
  readonly what: string;
  readonly value: number;
  /** As the card tells them: `card` holds them against resamples. */
  readonly low: number;
  readonly high: number;
  /** The wider of those and of what the shares of differing answers allow: holds without spread. */
  readonly cautious: readonly [low: number, high: number];
  readonly p: number;
  /** Share that clean has right. */
  readonly first: number;
  readonly questions: number;
  readonly sentence: string;
}

/** Zou and Donner's interval of the difference of the two shares of differing answers. */
function fromShares(differences: readonly Observation[]): [number, number] {
  const n = differences.length;
  const count = (value: number): number => differences.filter(([, x]) => x === value).length;
  const [a, b] = [count(1), count(-1)];
  const [fromA, toA] = wilson(a, n);
  const [fromB, toB] = wilson(b, n);
  const middle = (a - b) / n;
  return [
    middle - Math.sqrt((a / n - fromA) ** 2 + (toB - b / n) ** 2),
    middle + Math.sqrt((toA - a / n) ** 2 + (b / n - fromB) ** 2),
  ];
}

/** Questions that show the difference seen, or half of the margin, and have six that differ. */
function questionsFor(differences: readonly Observation[]): number {
  const values = differences.map(([, value]) => value);
  const seen = Math.max(Math.abs(mean(values)), MARGIN / 2);
  const split = values.filter((value) => value !== 0).length / values.length;
  const discordant = Math.min(1, Math.max(split, seen));
  return Math.max(Math.ceil(itemsFor(seen, discordant) - 1e-9), Math.ceil(6 / discordant));
}

function comparisonsOf(run: Recomputation): Comparison[] {
  return NEEDED.flatMap(({ arm, what, card: label }): Comparison[] => {
    const differences = against(run, arm);
    const told = run.audit.card.find((figure) => figure.label === label)?.value;
    if (!differences || typeof told !== 'object' || told === null || Array.isArray(told)) return [];
    const { value } = average(differences) as Estimate;
    const [low, high] = [Number(told['low']), Number(told['high'])];
    const [first, second] = ['clean', arm].map((name) => mean(run.arm(name).map(rightOf)));
    const p = signTest(differences);
    const chance = p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`;
    const sentence =
      `clean ${points(first ?? NaN)} % against ${what} ${points(second ?? NaN)} %: ` +
      `${points(value)} points (${points(low)} to ${points(high)}, McNemar p ${chance}, n = ${differences.length})`;
    const [least, most] = fromShares(differences);
    const cautious = [Math.min(low, least), Math.max(high, most)] as const;
    const questions = questionsFor(differences);
    return [{ what, value, low, high, cautious, p, first: first ?? NaN, sentence, questions }];
  });
}

/** The kind that canaries and the three differences allow. */
function kindOf(isSound: boolean, comparisons: readonly Comparison[]): string {
  if (!isSound) return 'refused';
  const isBetter = ({ p, cautious: [low] }: Comparison): boolean => p < 0.05 && low > 0;
  if (comparisons.length === NEEDED.length && comparisons.every(isBetter)) return 'used';
  const named = (what: string): Comparison | undefined =>
    comparisons.find((one) => one.what === what);
  const [other, none] = [named(NEEDED[0].what), named(NEEDED[2].what)];
  if (none && none.p < 0.05 && none.cautious[1] < 0) return 'harmful';
  const isWithin = other && other.cautious[0] > -MARGIN && other.cautious[1] < MARGIN;
  return isWithin && other.first > MARGIN ? 'not-used' : 'open';
}

/** What the last sentence has to hold, by kind. */
function changeOf(kind: string, comparisons: readonly Comparison[]): string {
  const number = (x: number): string => `${x.toLocaleString('en')} questions`;
  if (kind === 'used') {
    const least = [...comparisons].sort((a, b) => a.low - b.low)[0];
    return `the nearest is ${least?.what ?? ''} with ${points(least?.low ?? NaN)} points`;
  }
  if (kind === 'not-used') {
    const other = comparisons.find(({ what }) => what === NEEDED[0].what);
    const [low = NaN, high = NaN] = other?.cautious ?? [];
    const reach = Math.max(Math.abs(low), Math.abs(high));
    return `above ${points(reach)} points is excluded here; a smaller one would need about ${number(other?.questions ?? NaN)}`;
  }
  const content = comparisons.find(({ what }) => what === NEEDED[0].what);
  // Without anything right, or anything to hold it against, no number of questions would help.
  if (kind !== 'open' || !content || content.first <= MARGIN) return '';
  return `About ${number(Math.max(...comparisons.map(({ questions }) => questions)))}`;
}

/** Kind, sentences and numbers of the verdict. */
export function verdict(run: Recomputation): void {
  const told = run.audit.verdict;
  const isSound = run.audit.canaries.every(({ passed }) => passed);
  const comparisons = comparisonsOf(run);
  const kind = kindOf(isSound, comparisons);
  run.cell('verdict, kind', told.kind, kind);
  run.holds(
    `verdict, not a sentence of ${kind}`,
    SENTENCES[kind]?.test(told.sentence) ?? false,
    told.sentence,
  );
  const reasons = isSound
    ? comparisons.map(({ sentence }) => sentence)
    : run.audit.canaries.filter(({ passed }) => !passed).map(({ name }) => `${name}: `);
  run.check('verdict, reasons', told.because.length, reasons.length);
  reasons.forEach((reason, i) => {
    const own = told.because[i] ?? '';
    const isSame = isSound ? own === reason : own.startsWith(reason);
    run.holds(`verdict, reason ${i + 1}, not "${reason}"`, isSame, own);
  });
  const change = changeOf(kind, comparisons);
  run.holds(
    `verdict, what would change it, not "${change}"`,
    told.wouldChange.includes(change),
    told.wouldChange,
  );
}
