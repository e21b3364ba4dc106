// Owns the names of what can be done to latents at decoding, and which models allow which; comparing
// and the CLI read it.
import type { PreparedExample } from '../context/prepared.ts';
import { DEFAULT_EMA_DECAY } from '../latent/feedback.ts';
import type { Calibration, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { VARIANTS, usesLatents } from '../latent/variants.ts';

/** Every intervention by name; `ema` is clean decoding with norm calibration (GAP §3). */
export const INTERVENTION_NAMES = [
  'clean',
  'zero-latent',
  'noise-unit',
  'noise-spectrum',
  'noise-norm',
  'other',
  'oracle',
  'ema',
] as const;

/** Name of an intervention. */
export type InterventionName = (typeof INTERVENTION_NAMES)[number];

/** What a name stands for. */
export interface NamedIntervention {
  readonly intervention: Intervention;
  readonly calibration: Calibration;
}

/** The intervention and the calibration behind a name. */
export function interventionOf(
  name: InterventionName,
  decay: number = DEFAULT_EMA_DECAY,
): NamedIntervention {
  const calibration: Calibration = name === 'ema' ? { kind: 'ema', decay } : { kind: 'none' };
  switch (name) {
    case 'ema':
      return { intervention: { kind: 'clean' }, calibration };
    case 'noise-unit':
      return { intervention: { kind: 'noise', law: 'unit' }, calibration };
    case 'noise-spectrum':
      return { intervention: { kind: 'noise', law: 'spectrum' }, calibration };
    case 'noise-norm':
      return { intervention: { kind: 'noise', law: 'norm' }, calibration };
    default:
      return { intervention: { kind: name }, calibration };
  }
}

/** Whether a model was trained to write latents. */
export function writesLatents({ settings }: GapModel): boolean {
  return settings !== undefined && usesLatents(settings.variant);
}

/** Name of the variant a model is, `base` when it says nothing. */
export function variantLabel({ settings }: GapModel): string {
  return VARIANTS[settings?.variant ?? 'base'].label;
}

/** Why an intervention cannot be done on a model and examples; undefined when it can. */
export function obstacle(
  name: InterventionName,
  model: GapModel,
  items: readonly PreparedExample[],
): string | undefined {
  if (name === 'clean') return undefined;
  if (!writesLatents(model)) return 'the model was not trained to write latents';
  if (name === 'noise-spectrum' && model.head.basis === undefined) {
    return 'the model has no basis whose spectrum noise could follow';
  }
  const without = items.filter((item) => item.auxiliaryRows_KD === undefined).length;
  return name === 'oracle' && without > 0
    ? `${without} examples have no auxiliary picture`
    : undefined;
}
