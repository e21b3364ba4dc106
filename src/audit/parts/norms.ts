// Owns the part of the audit on norms and subspaces: its arm, what it looks at, its records.
// Axes: D hidden, K latents, M picture tokens, L layers.
import { DEFAULT_EMA_DECAY } from '../../latent/feedback.ts';
import { openGram } from '../../latent/gram.ts';
import type { AuditContext, PartDefinition, PartRecord } from '../part.ts';
import { RowObserver } from '../row-observation.ts';
import { spectrum } from '../spectrum.ts';
import { rounded } from '../sums.ts';
import { SPECTRUM_SETS } from './norms-records.ts';
import type { NormRecord, SpectrumRecord, SpectrumSet } from './norms-records.ts';
import { summariseNorms } from './norms-summary.ts';

/** Vectors a spectrum is made of at most; ours: the products of more would take minutes at D = 3584. */
const SPECTRUM_VECTORS = 20_000;

/**
 * Rows of matrices [*, D], one matrix after the other; of more than `most` every so-manieth, from
 * the first. Worked example: of 5 rows with most = 2, rows 0 and 3.
 */
export function spreadRows(
  matrices: readonly Float32Array[],
  width: number,
  most: number = SPECTRUM_VECTORS,
): { readonly available: number; readonly rows_ND: Float32Array } {
  const available = matrices.reduce((sum, matrix) => sum + matrix.length, 0) / width;
  const step = Math.max(1, Math.ceil(available / most));
  const rows_ND = new Float32Array(Math.ceil(available / step) * width);
  let [before, count] = [0, 0];
  for (const matrix of matrices) {
    const size = matrix.length / width;
    for (let row = (step - (before % step)) % step; row < size; row += step) {
      rows_ND.set(matrix.subarray(row * width, (row + 1) * width), count * width);
      count += 1;
    }
    before += size;
  }
  return { available, rows_ND };
}

function matricesOf({ rows }: AuditContext, set: SpectrumSet): Float32Array[] {
  if (set === 'latents') return rows.flatMap(({ result }) => result.latents);
  if (set === 'query') return rows.map(({ item }) => item.pictureRows_MD);
  return rows.flatMap(({ item }) => item.auxiliaryRows_KD ?? []);
}

async function spectrumRecord(context: AuditContext, set: SpectrumSet): Promise<SpectrumRecord> {
  const { hiddenSize } = context.model.bundle.checkpoint.config.text;
  const { available, rows_ND } = spreadRows(matricesOf(context, set), hiddenSize);
  const record = { id: `spectrum-${set}`, kind: 'spectrum', set, available } as const;
  const count = rows_ND.length / hiddenSize;
  if (count < 2) return { ...record, count, variances: [] };
  await using session = await openGram(hiddenSize, context.session);
  const { variances } = await spectrum(rows_ND, hiddenSize, { gram: session.gram });
  return { ...record, count, variances: rounded(variances, 7) };
}

async function* collectNorms(
  context: AuditContext,
  done: number,
): AsyncGenerator<readonly PartRecord[], void> {
  const { rows } = context;
  await using observer = new RowObserver(context);
  if (done < rows.length) {
    for await (const { seen, numDone } of observer.chunks(done)) {
      yield seen.slice(numDone).map(({ row, norms, injected, sources }): NormRecord => {
        return { id: row.prediction.id, kind: 'row', norms, injected, sources };
      });
    }
  }
  for (const set of SPECTRUM_SETS.slice(Math.max(0, done - rows.length))) {
    context.signal?.throwIfAborted();
    yield [await spectrumRecord(context, set)];
  }
}

/** Norms by layer, the injected vectors against what the model knows, subspaces, norm calibration. */
export const NORMS_PART: PartDefinition = {
  name: 'norms',
  obstacle: () => undefined,
  arms: ({ rows }) =>
    rows.some(({ result }) => result.latents.length > 0)
      ? [
          {
            name: 'ema',
            title: 'Own latents, rescaled to a running mean norm',
            intervention: { kind: 'clean' },
            calibration: { kind: 'ema', decay: DEFAULT_EMA_DECAY },
          },
        ]
      : [],
  collect: collectNorms,
  summarise: summariseNorms,
};
