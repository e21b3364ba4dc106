// Owns the part of the audit on decodability against use: its arms, and where its states come from; audit.ts lists it.
// Axes: K latents of a span, D hidden.
import { Rng } from '../../rng.ts';
import { latentsOf } from '../arms.ts';
import type { ArmSpec, AuditContext, PartDefinition } from '../part.ts';
import { collectProbeStates } from '../probe-states.ts';
import { summariseProbe } from './probe-summary.ts';
import { CORRUPTIONS, corruptedName } from './probe-use.ts';

/**
 * Latents under Gaussian noise of `sigma` times their own root mean square, in all D dimensions.
 * Worked example: latents 3, -3 have the RMS 3; sigma 0.1 adds noise of standard deviation 0.3.
 */
export function corruptedLatents(latents_KD: Float32Array, sigma: number, rng: Rng): Float32Array {
  const square = latents_KD.reduce((sum, value) => sum + value * value, 0) / latents_KD.length;
  const scale = sigma * Math.sqrt(square);
  return latents_KD.map((value) => value + scale * rng.normal());
}

/** The same draw at every sigma, so that the arms differ in strength alone. */
function corruptedArms({ seed }: AuditContext): ArmSpec[] {
  return CORRUPTIONS.map((sigma) => ({
    name: corruptedName(sigma),
    title: `Own latents with noise of ${sigma} RMS`,
    intervention: { kind: 'given' },
    given: (row) => {
      const own = latentsOf(row);
      const rng = new Rng(seed).fork(`corrupted ${row.item.example.id}`);
      return own && corruptedLatents(own, sigma, rng);
    },
  }));
}

/** Spans that end early; the half is the arm that the replacement tests have under this name, too. */
function truncatedArms(numLatents: number): ArmSpec[] {
  const arms = [
    { name: 'truncated-quarter', title: 'First quarter of the span', share: 4 },
    { name: 'truncated', title: 'First half of the span', share: 2 },
  ];
  return arms.flatMap(({ name, title, share }) => {
    const count = Math.floor(numLatents / share);
    if (count === 0) return [];
    return [{ name, title, intervention: { kind: 'clean' } as const, numLatents: count }];
  });
}

/** The arms of the part; the swap is the arm `other` of the replacement tests. */
export function probeArms(context: AuditContext): ArmSpec[] {
  return [...corruptedArms(context), ...truncatedArms(context.generation.numLatents)];
}

/** The part, with a collector that writes a ProbeStateRecord a row. */
export function probePart(collect: NonNullable<PartDefinition['collect']>): PartDefinition {
  return {
    name: 'probe',
    obstacle: ({ rows }) =>
      rows.some((row) => row.result.latents.length > 0)
        ? undefined
        : 'the model wrote no latents, so there are no states at latents to read from',
    arms: probeArms,
    collect,
    summarise: summariseProbe,
  };
}

/** The part. */
export const PROBE_PART: PartDefinition = probePart(collectProbeStates);
