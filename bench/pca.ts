// Owns the speed of fitting a PCA basis beside scikit-learn and PyTorch; `npm run bench -- pca`, last line JSON.
//
// Embeddings of the width of a 7B model with known components (pca/data.ts), 8,192 rows that are taken again and
// again: `block` is taking them once, `fit` what comes after the last one, to 95 % of the variance. A fit on
// 200,000 rows is reckoned from both. PyTorch adds up X^T X in f64 and decomposes it (eigh);
// scikit-learn's IncrementalPCA takes batches of its default size, five rows a feature. Two threads.
// --quick: a test; --large: really takes 204,800 rows; --rounds N; --out FILE.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { numComponentsFor } from '../src/latent/pca.ts';
import { knownData } from './pca/data.ts';
import {
  keep,
  machine,
  measureCeiling,
  measureRounds,
  requireReference,
  runOurs,
  runPython,
  say,
} from './sides/rounds.ts';
import type { Figure, Turn } from './sides/rounds.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});

const DIM = flags.quick ? 256 : 3584;
const BLOCK_ROWS = flags.quick ? 1024 : 8192;
const ALL_ROWS = 200_000;
const EXPLAINED = 0.95;
const THREADS = 2;
/** For memory against the number of embeddings. */
const GROWTH_DIM = flags.quick ? 128 : 1024;
const GROWTH_BLOCKS = flags.quick ? [1, 4] : [1, 4, 16, 64];

/** Milliseconds of all rows, from the medians of a side's figures; scikit-learn has no fit. */
function wholeMs(results: readonly Figure[], variant: string): number {
  const of = (name: string): number =>
    results.find((figure) => figure.variant === variant && figure.case === name)?.ms ?? 0;
  return (ALL_ROWS / BLOCK_ROWS) * of('block') + of('fit');
}

requireReference(true);
const host = machine();
const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
try {
  const write = (dim: number): string => {
    const path = join(folder, `rows-${dim}.f32`);
    const rows = knownData(dim).rows(0, BLOCK_ROWS);
    writeFileSync(path, new Uint8Array(rows.buffer));
    return path;
  };
  const blocks = flags.large ? ALL_ROWS / BLOCK_ROWS : flags.quick ? 2 : 3;
  const work = {
    ...{ file: write(DIM), dim: DIM, blockRows: BLOCK_ROWS, blocks, explained: EXPLAINED },
  };
  say('files are written');
  const ceiling = measureCeiling([THREADS]);
  const rounds = Number(flags.rounds ?? (flags.quick || flags.large ? 1 : 3));
  const measure = (variants: Readonly<Record<string, Turn>>, numRounds: number): Figure[] =>
    measureRounds({ variants, cases: ['block', 'fit'], threads: [THREADS], rounds: numRounds });
  const results = [
    ...measure(
      {
        ours: (threads) => runOurs('../pca/ours.ts', work, threads),
        torch: (threads) => runPython('pca_speed.py', { ...work, peer: 'torch' }, threads),
      },
      rounds,
    ),
    // Ten times as slow, so that it goes once, with one batch after the first.
    ...measure(
      { sklearn: (threads) => runPython('pca_speed.py', { ...work, peer: 'sklearn' }, threads) },
      1,
    ),
  ];
  const totals = ['ours', 'torch', 'sklearn'].map((variant) => {
    const own = results.filter((figure) => figure.variant === variant);
    const peak = Math.max(...own.map(({ peakBytes }) => peakBytes ?? NaN));
    return { variant, ms: wholeMs(results, variant), peakBytes: peak };
  });
  const [growthFile, growth] = [write(GROWTH_DIM), []] as [string, object[]];
  for (const count of GROWTH_BLOCKS) {
    const grown = { file: growthFile, dim: GROWTH_DIM, blockRows: BLOCK_ROWS, blocks: count - 1 };
    const { peakBytes } = runOurs('../pca/ours.ts', grown, THREADS);
    growth.push({ rows: count * BLOCK_ROWS, dim: GROWTH_DIM, peakBytes });
    say(`${count * BLOCK_ROWS} x ${GROWTH_DIM}: peak ${((peakBytes ?? NaN) / 1e6).toFixed(0)} MB`);
  }
  const trueK = numComponentsFor(knownData(DIM).eigenvalues, EXPLAINED);
  const more = { dim: DIM, rows: ALL_ROWS, explained: EXPLAINED, trueK, totals, growth };
  for (const { variant, ms } of totals)
    console.log(`${ALL_ROWS} x ${DIM}, ${variant}: ${(ms / 1000).toFixed(1)} s`);
  keep({ bench: 'pca', machine: host, ceiling, ...more, results }, flags);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
