// Owns the part of the audit on mediation: picture to latents, latents to answer; its arms and its records.
// Axes: D hidden.
import { donorOf, latentsOf } from '../arms.ts';
import type { ArmSpec, AuditContext, CleanRow, PartDefinition, PartRecord } from '../part.ts';
import { RowObserver } from '../row-observation.ts';
import type { RowObservation } from '../row-observation.ts';
import { samePlaceCosines } from '../same-place.ts';
import type { SamePlaceCosines } from '../same-place.ts';
import { rounded } from '../sums.ts';
import type { MeanDirection, MediationRecord, VectorKind } from './mediation-records.ts';
import { summariseMediation } from './mediation-summary.ts';

/** Digits of journalled directions; ours: cosines are then right to five. */
const DIGITS = 6;

/** Mean of the rows of a matrix [N, D], each scaled to length 1; rows of no length count as zero. */
export function meanDirection(rows_ND: Float32Array, width: number): Float64Array {
  const sums_D = new Float64Array(width);
  const count = rows_ND.length / width;
  for (let n = 0; n < count; n++) {
    let squares = 0;
    for (let d = 0; d < width; d++) squares += (rows_ND[n * width + d] ?? 0) ** 2;
    if (squares === 0) continue;
    const scale = 1 / Math.sqrt(squares) / count;
    for (let d = 0; d < width; d++) {
      sums_D[d] = (sums_D[d] ?? 0) + (rows_ND[n * width + d] ?? 0) * scale;
    }
  }
  return sums_D;
}

function directionsOf(
  { row, places, directions }: RowObservation,
  width: number,
): Readonly<Partial<Record<VectorKind, MeanDirection>>> {
  const { auxiliaryRows_KD, pictureRows_MD } = row.item;
  const of = (count: number, mean: Iterable<number>): MeanDirection => ({
    count,
    mean: rounded(mean, DIGITS),
  });
  const ofRows = (rows_ND: Float32Array): MeanDirection =>
    of(rows_ND.length / width, meanDirection(rows_ND, width));
  const { latentStates, pictureStates, textStates, numText } = directions;
  return {
    injected: ofRows(latentsOf(row) ?? new Float32Array(0)),
    ...(auxiliaryRows_KD ? { targets: ofRows(auxiliaryRows_KD) } : {}),
    query: ofRows(pictureRows_MD),
    ...(latentStates ? { latentStates: of(places.latents.length, latentStates) } : {}),
    pictureStates: of(places.picture.length, pictureStates),
    textStates: of(numText, textStates),
  };
}

/** Cosines by row of one kind of vector, of the rows that have K of them and wrote a span. */
function placed(
  { rows, model, generation }: AuditContext,
  vectorsOf: (row: CleanRow) => Float32Array | undefined,
): ReadonlyMap<CleanRow, SamePlaceCosines> {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const found = rows.flatMap((row) => {
    const vectors_KD = vectorsOf(row);
    const isWhole =
      row.result.latents.length > 0 && vectors_KD?.length === generation.numLatents * width;
    return isWhole ? [{ row, task: row.prediction.task, vectors_KD }] : [];
  });
  const cosines = samePlaceCosines(found, width);
  return new Map(found.map(({ row }, i) => [row, cosines[i] ?? {}]));
}

/** What a row's record needs of all other rows. */
interface AmongOthers {
  readonly injected: ReadonlyMap<CleanRow, SamePlaceCosines>;
  readonly targets: ReadonlyMap<CleanRow, SamePlaceCosines>;
}

function recordOf(
  context: AuditContext,
  seen: RowObservation,
  index: number,
  others: AmongOthers,
): MediationRecord {
  const { row } = seen;
  const { id, task } = row.prediction;
  const triggered = row.result.latents.length > 0;
  if (!triggered) return { id, task, triggered };
  const donor = context.rows[donorOf(context.rows, index) ?? index];
  const width = context.model.bundle.checkpoint.config.text.hiddenSize;
  const [injected, targets] = [others.injected.get(row), others.targets.get(row)];
  return {
    ...{ id, task, triggered },
    directions: directionsOf(seen, width),
    samePlace: {
      ...(injected ? { injected } : {}),
      ...(targets ? { targets } : {}),
    },
    ...(donor && donor !== row
      ? { donor: { id: donor.prediction.id, expected: donor.prediction.expected } }
      : {}),
  };
}

async function* collectMediation(
  context: AuditContext,
  done: number,
): AsyncGenerator<readonly PartRecord[], void> {
  if (done >= context.rows.length) return;
  const others = {
    injected: placed(context, latentsOf),
    targets: placed(context, ({ item }) => item.auxiliaryRows_KD),
  };
  await using observer = new RowObserver(context);
  for await (const { first, seen, numDone } of observer.chunks(done)) {
    yield seen.map((one, i) => recordOf(context, one, first + i, others)).slice(numDone);
  }
}

/** Answers without sight of the picture, from own latents and from another example's. */
function hiddenArms({ rows }: AuditContext): readonly ArmSpec[] {
  const hidden: ArmSpec = {
    name: 'picture-hidden',
    title: 'Own latents, picture and question hidden after the span',
    intervention: { kind: 'clean' },
    afterSpan: 'picture-hidden',
  };
  const haveDonors = rows.every(
    ({ result }, i) => result.latents.length === 0 || donorOf(rows, i) !== undefined,
  );
  if (!haveDonors) return [hidden];
  const other: ArmSpec = {
    name: 'picture-hidden-other',
    title: "Another example's latents, picture and question hidden after the span",
    intervention: { kind: 'given' },
    afterSpan: 'picture-hidden',
    given: (_, i) => {
      const donor = rows[donorOf(rows, i) ?? i];
      return donor && latentsOf(donor);
    },
  };
  return [hidden, other];
}

/** How latents depend on the picture, and answers on latents. */
export const MEDIATION_PART: PartDefinition = {
  name: 'mediation',
  obstacle: ({ rows }) =>
    rows.some(({ result }) => result.latents.length > 0)
      ? undefined
      : 'the model wrote no latents, so nothing passes through them',
  arms: hiddenArms,
  collect: collectMediation,
  summarise: summariseMediation,
};
