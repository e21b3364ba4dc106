// Owns recomputing all of an audit that is in memory; recompute-audit.ts and its test call it.
import { counterfactual } from './counterfactual.ts';
import { dependence, mediation } from './mediation.ts';
import { norms } from './norms.ts';
import { oracle } from './oracle.ts';
import { parser } from './parser.ts';
import { probe } from './probe.ts';
import { Recomputation } from './recomputation.ts';
import type { AuditFile, Journals } from './recomputation.ts';
import { exposure, replacement } from './replacement.ts';
import { canaries, card, verdict } from './verdict.ts';

/** What is recomputed, by name: parts of the audit, and what it rests its verdict on. */
const STEPS: Readonly<Record<string, (run: Recomputation) => void>> = {
  ...{ replacement, exposure, norms, mediation, dependence, probe, counterfactual, parser, oracle },
  ...{ canaries, card, verdict },
};

/**
 * Holds what follows from journals against the audit that was told.
 * @param only - names of steps; default all.
 */
export function recompute(
  audit: AuditFile,
  journals: Journals,
  only: readonly string[] = Object.keys(STEPS),
): Recomputation {
  const run = new Recomputation(audit, journals);
  for (const name of only) STEPS[name]?.(run);
  return run;
}
