// Owns the states that probes are fitted on: four places of every clean row; the part on probes collects them.
// Axes: D hidden.
import type { AuditContext, PartRecord } from './part.ts';
import { RowObserver } from './row-observation.ts';
import type { RowStates } from './row-observation.ts';
import { rounded } from './sums.ts';

/**
 * Where states are taken. `latent`: mean over all latents of the state after the final norm at
 * them. `pre-answer`: state after the final norm at the place that predicts the first token of the
 * answer. `pre-latent`: the same at the place before `<|latent_start|>`. `question`: mean input
 * embedding of the question's own words, which has seen neither picture nor model.
 */
export const PROBE_SITES = ['latent', 'pre-answer', 'pre-latent', 'question'] as const;
/** A place that states are taken at. */
export type ProbeSite = (typeof PROBE_SITES)[number];

/** States of one row; a site that the row has not is left out. */
export interface ProbeStateRecord extends PartRecord {
  readonly task: string;
  readonly expected: string;
  /** The row wrote a span. */
  readonly triggered: boolean;
  /** [D] each, seven digits. */
  readonly sites: Readonly<Partial<Record<ProbeSite, readonly number[]>>>;
}

/** Digits that tell f32 numbers apart well enough; ours. */
const DIGITS = 7;

function sitesOf(states: RowStates): ProbeStateRecord['sites'] {
  const { latent, preAnswer, preLatent, question } = states;
  return {
    ...(latent ? { latent: rounded(latent, DIGITS) } : {}),
    ...(preAnswer ? { 'pre-answer': rounded(preAnswer, DIGITS) } : {}),
    ...(preLatent ? { 'pre-latent': rounded(preLatent, DIGITS) } : {}),
    question: rounded(question, DIGITS),
  };
}

/** Looks at clean rows, batch by batch, behind the first `done`; a record a row, in order. */
export async function* collectProbeStates(
  context: AuditContext,
  done: number,
): AsyncGenerator<readonly ProbeStateRecord[], void> {
  await using observer = new RowObserver(context);
  for await (const { seen, numDone } of observer.chunks(done)) {
    yield seen.slice(numDone).map(({ row, states }) => ({
      id: row.prediction.id,
      task: row.prediction.task,
      expected: row.prediction.expected,
      triggered: row.result.latents.length > 0,
      sites: sitesOf(states),
    }));
  }
}
