// Owns recomputing the part on norms from its journal; recompute-audit.ts calls it.
import type { Recomputation } from './recomputation.ts';

interface Sum {
  readonly count: number;
  readonly sum: number;
  readonly squares: number;
}

interface RowItem {
  readonly kind: 'row';
  readonly norms: Readonly<Record<'text' | 'vision' | 'latent', { readonly log: readonly Sum[] }>>;
}

interface SpectrumItem {
  readonly kind: 'spectrum';
  readonly set: 'latents' | 'auxiliary' | 'query';
  readonly variances: readonly number[];
}

const SETS = { latents: /injected/, auxiliary: /auxiliary/, query: /query/ };

/** Mean and deviation of sums of several items. */
function pooled(sums: readonly (Sum | undefined)[]): [number | null, number | null] {
  let [n, total, squares] = [0, 0, 0];
  for (const one of sums) {
    n += one?.count ?? 0;
    total += one?.sum ?? 0;
    squares += one?.squares ?? 0;
  }
  if (n === 0) return [null, null];
  const variance = Math.max(0, squares / n - (total / n) ** 2);
  return [total / n, n < 2 ? null : Math.sqrt(variance * (n / (n - 1)))];
}

/** Norms by layer, and how many directions vectors use. */
export function norms(run: Recomputation): void {
  const items = run.part('norms') as readonly (RowItem | SpectrumItem)[];
  const rows = items.filter((item) => item.kind === 'row');
  const spectra = items.filter((item) => item.kind === 'spectrum');
  for (const [layer, line] of (run.rows('norms-layers') ?? []).entries()) {
    for (const kind of ['text', 'vision', 'latent'] as const) {
      if (!(kind in line)) continue;
      const [average, deviation] = pooled(rows.map((row) => row.norms[kind].log[layer]));
      run.check(`norms ${kind} ${layer}`, line[kind], average);
      // Two ways to sum squares differ by what they cancel.
      run.check(`norms ${kind} ${layer} std`, line[`${kind}Std`], deviation, 1e-6);
    }
  }
  for (const line of run.rows('norms-spectrum') ?? []) {
    const name = JSON.stringify(line['set']);
    const variances = spectra.find(({ set }) => SETS[set].test(name))?.variances ?? [];
    const total = variances.reduce((a, b) => a + b, 0);
    let [held, dims] = [0, 0];
    while (dims < variances.length && held < 0.95 * total * (1 - 1e-12)) {
      held += variances[dims] ?? 0;
      dims += 1;
    }
    run.check(`dimensions of ${name}`, line['dims95'], variances.length ? dims : null);
    const roots = variances.map(Math.sqrt);
    const sum = roots.reduce((a, b) => a + b, 0);
    const rank = Math.exp(-roots.reduce((h, x) => h + (x / sum) * Math.log(x / sum), 0));
    run.check(`rank of ${name}`, line['rank'], variances.length ? rank : null);
  }
}
