// Owns the learning-rate schedule; a pure function of the step.

/** Linear warm-up, then cosine decay to zero. Source: GAP §5.1 (cosine, warm-up ratio 0.03). */
export interface Schedule {
  readonly peak: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
}

/** Learning rate of step 0, 1, ...; the first is peak / warmupSteps, the last just above zero. */
export function learningRateAt(schedule: Schedule, step: number): number {
  const { peak, totalSteps, warmupSteps } = schedule;
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return (peak * (1 + Math.cos(Math.PI * Math.min(1, progress)))) / 2;
}
