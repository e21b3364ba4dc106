// Owns recomputing the parts on mediation and dependence from their journals; recompute-audit.ts calls it.
import type { ArmItem, Recomputation } from './recomputation.ts';
import { mean } from './statistics.ts';

interface MediationItem {
  readonly task: string;
  readonly directions?: Readonly<Record<string, { count: number; mean: readonly number[] }>>;
  readonly samePlace?: Readonly<Record<string, { sameTask?: number }>>;
}

const KINDS = ['injected', 'targets', 'query', 'latentStates', 'pictureStates', 'textStates'];
const ARMS: Readonly<Record<string, string>> = {
  mean: 'mean latent of each place',
  'noise-spectrum': 'noise, N(0, eigenvalues)',
  'zero-vector': 'zero vectors',
  'picture-hidden': 'own latents, picture hidden',
  'picture-hidden-other': "another example's latents, picture hidden",
};

const orNull = (xs: readonly number[]): number | null => (xs.length === 0 ? null : mean(xs));

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
}

function rate(items: readonly ArmItem[], is: (item: ArmItem) => boolean): number | null {
  return items.length === 0 ? null : items.filter(is).length / items.length;
}

/** Similarities between examples, and answers when latents or the picture are taken away. */
export function mediation(run: Recomputation): void {
  const items = run.part('mediation') as readonly MediationItem[];
  const found = KINDS.filter((kind) => items.some((item) => item.directions?.[kind]));
  for (const [at, line] of (run.rows('mediation-similarity') ?? []).entries()) {
    const kind = found[at] ?? '';
    const own = items.flatMap((item) => {
      const vector = item.directions?.[kind];
      return vector ? [{ task: item.task, ...vector }] : [];
    });
    // Pair by pair, each example against all others.
    const between = (same: boolean): number | null =>
      orNull(
        own.flatMap((one) => {
          const others = own.filter((two) => two !== one && (two.task === one.task) === same);
          return others.length ? [mean(others.map((two) => dot(one.mean, two.mean)))] : [];
        }),
      );
    run.check(`similarity ${kind}, one task`, line['sameTask'], between(true), 1e-7);
    run.check(`similarity ${kind}, other tasks`, line['otherTask'], between(false), 1e-7);
    const several = own.filter(({ count }) => count > 1);
    const within = several.map(({ count, mean: u }) => (count * dot(u, u) - 1) / (count - 1));
    run.check(`similarity ${kind}, within`, line['within'], orNull(within), 1e-7);
    const places = items.flatMap((item) => item.samePlace?.[kind]?.sameTask ?? []);
    run.check(`similarity ${kind}, places`, line['samePlace'], orNull(places));
  }
  const clean = new Map(run.arm('clean').map((item) => [item.id, item]));
  for (const id of ['mediation-answers', 'mediation-hidden']) {
    for (const line of run.rows(id) ?? []) {
      const name = Object.keys(ARMS).find((key) => ARMS[key] === line['arm']) ?? 'clean';
      const spans = run.arm(name).filter((item) => clean.get(item.id)?.triggered === true);
      run.check(
        `${id} ${name}`,
        line['accuracy'],
        rate(spans, ({ correct }) => correct),
      );
      if (name === 'clean') continue;
      const changed = rate(spans, (item) => item.answer !== clean.get(item.id)?.answer);
      run.check(`${id} ${name} changed`, line['changed'], changed);
    }
  }
}

interface DependenceItem {
  readonly steps?: readonly number[];
  readonly own?: Readonly<Record<'top' | 'random', readonly number[]>>;
  readonly gold?: Readonly<Record<'top' | 'random', readonly number[]>>;
  readonly answer?: { readonly latents: readonly number[] };
  readonly region?: { readonly enrichment: readonly number[] };
}

/** What answers lose when latents are taken away, and where attention goes. */
export function dependence(run: Recomputation): void {
  const items = run.part('dependence') as readonly DependenceItem[];
  for (const line of run.rows('dependence-steps') ?? []) {
    const m = Number(line['m']);
    for (const answer of ['own', 'gold'] as const) {
      for (const order of ['top', 'random'] as const) {
        const lost = items.flatMap((item) => {
          const at = item.steps?.indexOf(m) ?? -1;
          const values = item[answer]?.[order];
          return values && at >= 0 ? [(values[0] ?? NaN) - (values[at] ?? NaN)] : [];
        });
        const key = answer + (order === 'top' ? 'Top' : 'Random');
        run.check(`dependence ${m} ${key}`, line[key], orNull(lost));
      }
    }
  }
  const layers = (run.rows('dependence-attention') ?? []).slice(0, -1);
  for (const [layer, line] of layers.entries()) {
    const shares = items.flatMap((item) => item.answer?.latents[layer] ?? []);
    run.check(`attention ${layer}`, line['answerOnLatents'], orNull(shares));
  }
  const [all] = run.rows('dependence-region') ?? [];
  const enriched = items.flatMap((item) => (item.region ? [mean(item.region.enrichment)] : []));
  if (all) run.check('enrichment', all['enrichment'], mean(enriched));
}
