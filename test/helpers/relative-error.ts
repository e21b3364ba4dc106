// Owns how two tensors are compared: largest difference over largest value; parity tests call it.

/** Keeps a tensor of zeros from dividing by zero. */
const TINY = 1e-12;

/** max |a - b| / max(max |b|, 1e-12); another length or a number that is none is infinitely wrong. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let [difference, size] = [0, TINY];
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs((a[i] ?? NaN) - (b[i] ?? NaN));
    if (!Number.isFinite(apart)) return Infinity;
    difference = Math.max(difference, apart);
    size = Math.max(size, Math.abs(b[i] ?? 0));
  }
  return difference / size;
}

/** The largest error seen, by kind of tensor, for one line of summary. */
export class WorstErrors {
  private readonly worst = new Map<string, { error: number; name: string }>();

  /** Notes an error and returns it. */
  note(kind: string, name: string, error: number): number {
    const known = this.worst.get(kind);
    if (!known || error > known.error) this.worst.set(kind, { error, name });
    return error;
  }

  /** One line: kind, largest error, tensor. */
  summary(): string {
    return [...this.worst]
      .map(([kind, { error, name }]) => `${kind} ${error.toExponential(1)} (${name})`)
      .join('; ');
  }
}
