// Owns recomputing the part on decodability and use from its journals; recompute-audit.ts calls it.
import { average, wilsonShare } from './recomputation.ts';
import type { Estimate, Expected, Recomputation, Row } from './recomputation.ts';
import { STRENGTHS, numRead } from './refit.ts';
import { detectable, detectableOf, holm, mean, signTest } from './statistics.ts';
import type { Observation } from './statistics.ts';

type Site = 'latent' | 'pre-answer' | 'pre-latent' | 'question';

interface Item {
  readonly id: string;
  readonly task: string;
  readonly expected: string;
  readonly triggered: boolean;
  readonly sites: Readonly<Partial<Record<Site, readonly number[]>>>;
}

const SITES: Readonly<Record<Site, string>> = {
  latent: 'latents (mean)',
  'pre-answer': 'before the answer',
  'pre-latent': 'before the span',
  question: "question's words only",
};
const ALL_SITES = Object.keys(SITES) as Site[];
const GAPS: readonly (readonly [Site, Site])[] = [
  ['pre-answer', 'latent'],
  ['latent', 'pre-latent'],
  ['latent', 'question'],
  ['pre-answer', 'question'],
];
const USES: readonly (readonly [arm: string, title: string])[] = [
  ['corrupted-0.1', 'noise of 0.1 RMS'],
  ['corrupted-0.3', 'noise of 0.3 RMS'],
  ['corrupted-1.0', 'noise of 1 RMS'],
  ['truncated', 'first half of the span'],
  ['truncated-quarter', 'first quarter of the span'],
  ['other', "another example's latents"],
];
const [NUM_FOLDS, NUM_SHUFFLES] = [5, 5];
/** Shuffles of the refit, and the stream of its folds. */
const [OWN_SHUFFLES, REFIT_SEED] = [3, 7];
/** A difference that a `no` rules out. */
const RELEVANT = 0.1;
/** A number of items, up to the rounding of the share it was told as. */
const isWhole = (x: number): boolean => Math.abs(x - Math.round(x)) < 1e-6;

/** Rows with all states whose answer at least five of their task share, in tasks with two such answers. */
function probed(run: Recomputation): Item[] {
  const items = (run.part('probe') as readonly Item[]).filter(
    ({ triggered, sites }) => triggered && ALL_SITES.every((site) => sites[site]),
  );
  const alike = (one: Item): number =>
    items.filter(({ task, expected }) => task === one.task && expected === one.expected).length;
  const frequent = items.filter((item) => alike(item) >= NUM_FOLDS);
  return frequent.filter(({ task, expected }) =>
    frequent.some((other) => other.task === task && other.expected !== expected),
  );
}

function numMajority(items: readonly Item[]): number {
  const tasks = new Set(items.map(({ task }) => task));
  return [...tasks]
    .map((task) => {
      const labels = items.filter((item) => item.task === task).map(({ expected }) => expected);
      return Math.max(...labels.map((label) => labels.filter((own) => own === label).length));
    })
    .reduce((a, b) => a + b, 0);
}

/** Some number of items right out of n, as a cell's value. */
function numRightOf(told: unknown, n: number): number {
  const value = typeof told === 'object' && told !== null && 'value' in told ? told.value : NaN;
  return Number(value) * n;
}

function ones(count: number, n: number): Observation[] {
  return Array.from({ length: n }, (_, i): Observation => [`${i}`, i < count ? 1 : 0]);
}

const refits = new WeakMap<readonly unknown[], Map<string, number>>();

/** Items read right at a site, fitted once for each journal. */
function refit(run: Recomputation, items: readonly Item[], site: Site, shuffle?: number): number {
  const journal = run.part('probe');
  const known = refits.get(journal) ?? new Map<string, number>();
  refits.set(journal, known);
  const key = `${site} ${shuffle ?? ''}`;
  const found =
    known.get(key) ??
    numRead(
      items.map(({ sites, expected, task }) => ({
        state: sites[site] ?? [],
        label: expected,
        task,
      })),
      REFIT_SEED + (shuffle ?? 0),
      shuffle !== undefined,
    );
  known.set(key, found);
  return found;
}

/**
 * Accuracies of sites. The journal has states, not predictions, so that an accuracy is held
 * against a refit: the same definition, other code, other folds. Equality is not expected, as
 * items close to a border are read right or wrong by who is in the training part. Told and refitted
 * counts may differ by the root of n: over four deals of 283 items, counts had standard deviations
 * of 0.8 to 3.9, so that a difference of 17 is three of the largest one.
 */
function sites(run: Recomputation, items: readonly Item[]): void {
  const n = items.length;
  const rows = run.rows('probe-sites') ?? [];
  run.check('probe-sites, rows', rows.length, n === 0 ? 0 : ALL_SITES.length);
  const classes = new Set(items.map(({ task, expected }) => JSON.stringify([task, expected])));
  rows.forEach((row, i) => {
    const site = ALL_SITES[i] ?? 'question';
    const at = `probe-sites, row ${i + 1}`;
    run.cell(`${at}, site`, row['site'], SITES[site]);
    run.cell(`${at}, n`, row['n'], n);
    run.cell(`${at}, classes`, row['classes'], classes.size);
    run.cell(`${at}, majority`, row['majority'], numMajority(items) / n);
    const numRight = numRightOf(row['accuracy'], n);
    run.holds(`${at}, accuracy is no share of ${n}`, isWhole(numRight), row['accuracy']);
    run.cell(`${at}, accuracy`, row['accuracy'], average(ones(Math.round(numRight), n)));
    const own = refit(run, items, site);
    const isNear = Math.abs(own - numRight) <= Math.sqrt(n);
    run.holds(`${at}, accuracy, ${own} of ${n} in a refit`, isNear, row['accuracy']);
    shuffles(run, `${at}, shuffled`, row, items);
    const strengths = JSON.stringify(row['strength']).match(/[\d.]+(?:e-\d+)?/gu) ?? [];
    const known = strengths.map(Number).filter((x) => (STRENGTHS as readonly number[]).includes(x));
    const [middle = NaN, low = middle, high = middle] = known;
    const isOrdered = known.length === strengths.length && low <= middle && middle <= high;
    run.holds(`${at}, strength`, isOrdered, row['strength']);
  });
}

/** Mean and band of five shuffles: the ends are nine parts of the outer one and one of its neighbour. */
function shuffles(run: Recomputation, at: string, row: Row, items: readonly Item[]): void {
  const n = items.length;
  const told = row['shuffled'] as Readonly<Record<string, number>> | null;
  const [value = NaN, low = NaN, high = NaN] = [told?.['value'], told?.['low'], told?.['high']];
  const areShares =
    isWhole(value * n * NUM_SHUFFLES) && isWhole(10 * low * n) && isWhole(10 * high * n);
  const isBand = low <= value + 1e-9 && value <= high + 1e-9;
  // With one of five at each end, the mean is at least a fifth of the way from either.
  const isNarrow = high - low <= NUM_SHUFFLES * Math.min(value - low, high - value) + 1e-9;
  run.holds(`${at} is no band of five shares of ${n}`, areShares && isBand && isNarrow, told);
  if (row['site'] !== SITES.latent) return;
  const own = mean(
    Array.from({ length: OWN_SHUFFLES }, (_, i) => refit(run, items, 'latent', i + 1)),
  );
  const isNear = Math.abs(own - value * n) <= Math.sqrt(n);
  run.holds(`${at}, ${own.toFixed(1)} of ${n} in a refit`, isNear, told);
}

/** Splits of n items that have a difference and a detectable difference: how many only one has right. */
function splitsOf(difference: number, told: number, n: number): Observation[][] {
  const more = Math.round(Math.abs(difference) * n);
  const found: Observation[][] = [];
  for (let split = more; split <= n; split += 2) {
    if (Math.abs(detectable(n, split / n) - told) > 1e-9) continue;
    const sign = Math.sign(difference) || 1;
    const numFor = (split + more) / 2;
    found.push(
      Array.from({ length: n }, (_, i): Observation => [
        `${i}`,
        i < numFor ? sign : i < split ? -sign : 0,
      ]),
    );
  }
  return found;
}

/**
 * Gaps between sites. Who is read right is not in the journal, but the told detectable difference
 * says on how many items two sites disagree, and then p and interval follow.
 */
function gaps(run: Recomputation, n: number): void {
  const rows = run.rows('probe-gaps') ?? [];
  const accuracies = (run.rows('probe-sites') ?? []).map((row) => numRightOf(row['accuracy'], 1));
  run.check('probe-gaps, rows', rows.length, n === 0 ? 0 : GAPS.length);
  const splits = rows.map((row, i) => {
    const [first = NaN, second = NaN] = (GAPS[i] ?? []).map(
      (s) => accuracies[ALL_SITES.indexOf(s)],
    );
    return splitsOf(first - second, Number(row['detectable']), n);
  });
  // Few disagreements have one detectable difference: then any split that gives all told p will do.
  const combined = splits.reduce<Observation[][][]>(
    (all, own) => all.flatMap((head) => own.map((split) => [...head, split])),
    [[]],
  );
  const chosen = combined.find((all) =>
    holm(all.map(signTest)).every(
      (p, i) => Math.abs(p - Number(rows[i]?.['p'])) <= 1e-6 * Number(rows[i]?.['p']),
    ),
  );
  const found = chosen ?? combined[0] ?? [];
  const ps = holm(found.map(signTest));
  rows.forEach((row, i) => {
    const [first, second] = GAPS[i] ?? ['latent', 'latent'];
    const at = `probe-gaps, row ${i + 1}`;
    run.cell(`${at}, gap`, row['gap'], `${SITES[first]} - ${SITES[second]}`);
    run.cell(`${at}, n`, row['n'], n);
    const isSplit = (splits[i]?.length ?? 0) > 0;
    run.holds(`${at}, detectable, no split of ${n} has it`, isSplit, row['detectable']);
    run.cell(`${at}, difference`, row['difference'], average(found[i] ?? []));
    run.cell(`${at}, p`, row['p'], { p: ps[i] ?? NaN });
  });
}

/** What changing latents costs, over rows that wrote a span. */
function uses(run: Recomputation): void {
  const clean = run.arm('clean').filter(({ triggered }) => triggered);
  const found = USES.flatMap(([arm, title]) => {
    const byId = new Map(run.arm(arm).map((item) => [item.id, item]));
    const pairs = clean.flatMap((own) => {
      const other = byId.get(own.id);
      return other ? [{ own, other }] : [];
    });
    const lost = pairs.map(({ own, other }): Observation => [
      own.cluster,
      Number(own.correct) - Number(other.correct),
    ]);
    return pairs.length === 0 ? [] : [{ title, pairs, lost }];
  });
  const ps = holm(found.map(({ lost }) => signTest(lost)));
  run.table(
    'probe-use',
    found.map(({ title, pairs, lost }, i): Record<string, Expected> => {
      const numChanged = pairs.filter(({ own, other }) => own.answer !== other.answer).length;
      return {
        ...{ arm: title, n: pairs.length, p: { p: ps[i] ?? NaN } },
        accuracy: mean(pairs.map(({ other }) => Number(other.correct))),
        cost: average(lost),
        changed: wilsonShare(numChanged, pairs.length),
        detectable: detectableOf(lost),
      };
    }),
  );
}

/** The cell that the told tables put the model in. */
function cellOf(run: Recomputation): string {
  const measured = (row: Row | undefined, key: string): Estimate & { low: number; high: number } =>
    row?.[key] as unknown as Estimate & { low: number; high: number };
  const rulesOut = (high: number, n: number): string =>
    high < RELEVANT && detectable(n, 0) < RELEVANT ? 'no' : 'open';
  let [decodable, used] = ['open', 'open'];
  const latent = run.rows('probe-sites')?.[0];
  const gap = run.rows('probe-gaps')?.[2];
  if (latent && gap) {
    const { low, high } = measured(gap, 'difference');
    const chance = Math.max(Number(latent['majority']), measured(latent, 'shuffled').high);
    const isBeyond = Number(gap['p']) < 0.05 && low > 0;
    decodable =
      isBeyond && measured(latent, 'accuracy').low > chance
        ? 'yes'
        : rulesOut(high, Number(gap['n']));
  }
  const rows = run.rows('probe-use') ?? [];
  const judge =
    rows.find((row) => row['arm'] === "another example's latents") ??
    rows.find((row) => row['arm'] === 'noise of 1 RMS');
  if (judge) {
    const { low, high } = measured(judge, 'cost');
    used = Number(judge['p']) < 0.05 && low > 0 ? 'yes' : rulesOut(high, Number(judge['n']));
  }
  return `${decodable} ${used}`;
}

const CELLS: Readonly<Record<string, string>> = {
  'yes yes': 'The model is in the cell decodable and used: ',
  'yes no': 'The model is in the cell decodable but not used: ',
  'no yes': 'The model is in the cell used but not decodable: ',
  'no no': 'The model is in the cell neither decodable nor used: ',
};

/** All tables of the part, and the cell of its first finding. */
export function probe(run: Recomputation): void {
  if (!run.has('probe')) return;
  const items = probed(run);
  sites(run, items);
  gaps(run, items.length);
  uses(run);
  const sentence = CELLS[cellOf(run)] ?? 'The cell stays open: ';
  const [told = ''] = run.findings('probe');
  run.holds(`probe, not "${sentence}"`, told.startsWith(sentence), told);
}
