// Owns our side of bench/pca.ts: sums over blocks of embeddings, then the basis; last line JSON.
import { openSync, readSync } from 'node:fs';
import { openGram } from '../../src/latent/gram.ts';
import { MomentAccumulator } from '../../src/latent/moments.ts';
import { fitPca, relativeError } from '../../src/latent/pca.ts';
import { peakBytes } from '../decode/peak.ts';
import type { Side } from '../sides/rounds.ts';
import { knownData } from './data.ts';

/** What a child process measures. */
export interface PcaWork {
  readonly threads: number;
  /** Rows [blockRows, dim] in f32, which are taken again and again. */
  readonly file: string;
  readonly dim: number;
  readonly blockRows: number;
  /** Times that the rows are taken. */
  readonly blocks: number;
  /** Components to find by their share of the variance; absent: no basis is made. */
  readonly explained?: number;
}

/** Embeddings that arrive together: eight auxiliary pictures of 36. */
const BATCH_ROWS = 288;

async function measure({ threads, file, dim, ...work }: PcaWork): Promise<Side> {
  await using session = await openGram(dim, { threads });
  const sums = new MomentAccumulator(dim, { gram: session.gram });
  const rows = new Float32Array(work.blockRows * dim);
  const descriptor = openSync(file, 'r');
  const bytes = new Uint8Array(rows.buffer);
  for (let at = 0; at < bytes.length;) at += readSync(descriptor, bytes, at, bytes.length - at, at);
  const block: number[] = [];
  // Once more than it counts: the first one warms up.
  for (let i = 0; i <= work.blocks; i++) {
    const before = performance.now();
    for (let first = 0; first < work.blockRows; first += BATCH_ROWS)
      await sums.add(rows.subarray(first * dim, (first + BATCH_ROWS) * dim));
    block.push(performance.now() - before);
  }
  const ms = { block: block.slice(1) };
  if (work.explained === undefined) return { ms, peakBytes: peakBytes() };
  const before = performance.now();
  const moments = await sums.moments();
  const basis = await fitPca(moments, { explained: work.explained });
  const fit = [performance.now() - before];
  const peak = peakBytes();
  const { eigenvalues, sineOfAngle } = knownData(dim);
  const largest = basis.eigenvalues.map((value, i) => Math.abs(value / (eigenvalues[i] ?? 0) - 1));
  const about = {
    k: basis.k,
    explained: basis.explained,
    explainedError: Math.abs(basis.explained - (1 - relativeError(eigenvalues, basis.k))),
    largestEigenvalueError: Math.max(...largest),
    sineOfPlaneAngle: sineOfAngle(basis),
  };
  return { ms: { ...ms, fit }, check: { fit: [basis.k] }, peakBytes: peak, about };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? '') as PcaWork)));
