// Owns the part of the audit on norms and subspaces: its arm, what it looks at, its records.
// Axes: D hidden, K latents, M picture tokens, L layers.
import { DEFAULT_EMA_DECAY } from '../../latent/feedback.ts';
import { spectrumOf } from '../embedding-spectrum.ts';
import type { VectorSet } from '../embedding-spectrum.ts';
import type { AuditContext, PartDefinition, PartRecord } from '../part.ts';
import { RowObserver } from '../row-observation.ts';
import { rounded } from '../sums.ts';
import { SPECTRUM_SETS } from './norms-records.ts';
import type { NormRecord, SpectrumRecord, SpectrumSet } from './norms-records.ts';
import { summariseNorms } from './norms-summary.ts';

/** Rows of matrices [*, D], one matrix after the other, as one set that is asked in order. */
function rowSet(matrices: readonly Float32Array[], width: number): VectorSet {
  const count = matrices.reduce((sum, matrix) => sum + matrix.length, 0) / width;
  let [matrix, first] = [0, 0];
  return {
    count,
    at: (index) => {
      if (index < first) [matrix, first] = [0, 0];
      for (;;) {
        const rows_ND = matrices[matrix] ?? new Float32Array(0);
        const end = first + rows_ND.length / width;
        if (index < end || matrix >= matrices.length)
          return rows_ND.subarray((index - first) * width, (index - first + 1) * width);
        first = end;
        matrix += 1;
      }
    },
  };
}

function vectorSet({ rows, model }: AuditContext, set: SpectrumSet): VectorSet {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const matrices: Readonly<Record<SpectrumSet, () => Float32Array[]>> = {
    latents: () => rows.flatMap(({ result }) => result.latents),
    auxiliary: () => rows.flatMap(({ item }) => item.auxiliaryRows_KD ?? []),
    query: () => rows.map(({ item }) => item.pictureRows_MD),
  };
  return rowSet(matrices[set](), width);
}

async function spectrumRecord(context: AuditContext, set: SpectrumSet): Promise<SpectrumRecord> {
  const vectors = vectorSet(context, set);
  const { hiddenSize } = context.model.bundle.checkpoint.config.text;
  const spectrum = await spectrumOf(vectors, hiddenSize, context.session);
  return {
    id: `spectrum-${set}`,
    kind: 'spectrum',
    set,
    available: vectors.count,
    count: spectrum?.count ?? vectors.count,
    eigenvalues: rounded(spectrum?.eigenvalues ?? [], 7),
  };
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
