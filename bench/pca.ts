// Measures fitting a PCA basis at the width of a 7B model; run `npx tsx bench/pca.ts`, last line JSON.
//
// The embeddings have known principal components: row n is mean + Q (sqrt(lambda) * w_n), with w_n
// the entries 1 ... D of row n of a Walsh-Hadamard matrix (columns exactly orthogonal, mean zero)
// and Q a product of reflections. So their covariance is Q diag(lambda) Q^T up to f32 rounding.
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { openGram } from '../src/latent/gram.ts';
import { MomentAccumulator } from '../src/latent/moments.ts';
import { fitPca, numComponentsFor, relativeError, type PcaBasis } from '../src/latent/pca.ts';
import { Rng } from '../src/rng.ts';

/**
 * Spectrum (1 + i / 150)^-2.8: 85, 90, 95 % at 276, 380, 616 components for D = 3584, close to
 * the 265, 381, 629 of GAP Table 7. Neighbours at the cut differ by 0.4 %, so the plane is badly
 * conditioned: it turns by 270 times the relative error of the covariance.
 */
const SPECTRUM = { offset: 150, power: 2.8 };
/** Of the mean against the spread: vision embeddings of a 7B model have norm 50. */
const MEAN_NORM = 40;
const SPREAD = 30;
const NUM_REFLECTIONS = 3;
/** Eight auxiliary pictures of 36 embeddings. */
const BATCH_ROWS = 288;

const { values: flags } = parseArgs({
  options: { dim: { type: 'string', default: '3584' }, rows: { type: 'string', default: '8192' } },
});
const dim = Number(flags.dim);
const numRows = Number(flags.rows);
if (numRows <= dim || !Number.isInteger(Math.log2(numRows))) {
  throw new Error('--rows must be a power of two above --dim');
}

const raw = Float64Array.from({ length: dim }, (_, i) => {
  return (1 + i / SPECTRUM.offset) ** -SPECTRUM.power;
});
const total = raw.reduce((sum, value) => sum + value, 0);
const eigenvalues = raw.map((value) => (value / total) * SPREAD ** 2);
const rng = new Rng('bench pca');
const mean = unit().map((value) => value * MEAN_NORM);
const reflections = Array.from({ length: NUM_REFLECTIONS }, unit);

function unit(): Float64Array {
  const vector = Float64Array.from({ length: dim }, () => rng.normal());
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / norm);
}

/** Q v, in place. */
function rotate(vector: Float64Array): Float64Array {
  for (const axis of reflections) {
    let length = 0;
    for (let d = 0; d < dim; d++) length += (axis[d] ?? 0) * (vector[d] ?? 0);
    for (let d = 0; d < dim; d++) vector[d] = (vector[d] ?? 0) - 2 * length * (axis[d] ?? 0);
  }
  return vector;
}

/** Parity of the set bits: the sign of a Walsh-Hadamard entry. */
function parity(bits: number): number {
  let rest = bits;
  for (let width = 16; width > 0; width >>= 1) rest ^= rest >>> width;
  return rest & 1;
}

function batch(first: number, count: number): Float32Array {
  const rows = new Float32Array(count * dim);
  for (let n = 0; n < count; n++) {
    const weights = eigenvalues.map((value, i) => {
      return parity((first + n) & (i + 1)) === 1 ? -Math.sqrt(value) : Math.sqrt(value);
    });
    rows.set(
      rotate(weights).map((value, d) => value + (mean[d] ?? 0)),
      n * dim,
    );
  }
  return rows;
}

/**
 * From above, the sine of the largest angle between the basis and the true plane: the norm of
 * what the true plane leaves of the basis.
 */
function planeAngle(basis: PcaBasis): number {
  let outside = 0;
  for (let i = 0; i < basis.k; i++) {
    const column = Float64Array.from(
      { length: dim },
      (_, d) => basis.basis_DK[d * basis.k + i] ?? 0,
    );
    // In the coordinates of the true components; the reflections undo themselves in reverse.
    for (const axis of reflections.toReversed()) {
      const length = column.reduce((sum, value, d) => sum + value * (axis[d] ?? 0), 0);
      for (let d = 0; d < dim; d++) column[d] = (column[d] ?? 0) - 2 * length * (axis[d] ?? 0);
    }
    for (let d = basis.k; d < dim; d++) outside += (column[d] ?? 0) ** 2;
  }
  return Math.sqrt(outside);
}

/** Wall-clock and processor seconds so far; the latter say more on a machine that is shared. */
function clock(): { wallS: number; cpuS: number } {
  const { user, system } = process.cpuUsage();
  return { wallS: performance.now() / 1000, cpuS: (user + system) / 1e6 };
}

interface Spent {
  wallS: number;
  cpuS: number;
}

async function timed<T>(spent: Spent, work: () => Promise<T>): Promise<T> {
  const from = clock();
  const result = await work();
  const to = clock();
  spent.wallS += to.wallS - from.wallS;
  spent.cpuS += to.cpuS - from.cpuS;
  return result;
}

const show = ({ wallS, cpuS }: Spent): string => `${wallS.toFixed(1)} s (${cpuS.toFixed(1)} s CPU)`;
const rssMB = (): number => Math.round(process.resourceUsage().maxRSS / 1024);

console.log(`${dim} wide, ${numRows} embeddings, load ${loadavg()[0]?.toFixed(1) ?? '?'}`);
await using session = await openGram(dim);
const accumulator = new MomentAccumulator(dim, { gram: session.gram });
const covarianceTime: Spent = { wallS: 0, cpuS: 0 };
for (let first = 0; first < numRows; first += BATCH_ROWS) {
  const rows = batch(first, Math.min(BATCH_ROWS, numRows - first));
  await timed(covarianceTime, () => accumulator.add(rows));
}
const gflops = Math.round((2 * numRows * dim * dim) / covarianceTime.wallS / 1e9);
const accumulateRssMB = rssMB();
console.log(
  `covariance   ${show(covarianceTime)}, ${gflops} GFLOPS in f64, peak ${accumulateRssMB} MB`,
);
const moments = await accumulator.moments();
const fitTime: Spent = { wallS: 0, cpuS: 0 };
const basis = await timed(fitTime, () => fitPca(moments));
const fitRssMB = rssMB();
console.log(`basis        ${show(fitTime)}, peak ${fitRssMB} MB`);

const trueK = numComponentsFor(eigenvalues, 0.95);
const result = {
  bench: 'pca',
  dim,
  numRows,
  k: basis.k,
  trueK,
  explained: basis.explained,
  explainedError: Math.abs(basis.explained - (1 - relativeError(eigenvalues, basis.k))),
  largestEigenvalueError: Math.max(
    ...basis.eigenvalues.map((value, i) => Math.abs(value / (eigenvalues[i] ?? NaN) - 1)),
  ),
  sineOfPlaneAngle: planeAngle(basis),
  covarianceTime,
  covarianceGflops: gflops,
  fitTime,
  peakRssMB: { covariance: accumulateRssMB, fit: fitRssMB },
  machine: { cpu: cpus()[0]?.model, threads: availableParallelism(), load: loadavg()[0] },
};
console.log(`${result.k} components (true ${trueK}), sine of angle ${result.sineOfPlaneAngle}`);
console.log(JSON.stringify(result));
