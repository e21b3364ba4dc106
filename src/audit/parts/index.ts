// Owns the list of an audit's parts, in the order of the page.
import type { PartDefinition } from '../part.ts';
import { DEPENDENCE_PART } from './dependence.ts';
import { EXPOSURE_PART } from './exposure.ts';
import { MEDIATION_PART } from './mediation.ts';
import { NORMS_PART } from './norms.ts';
import { PROBE_PART } from './probe.ts';
import { REPLACEMENT_PART } from './replacement.ts';

/** Every part that can be measured. */
export const PARTS: readonly PartDefinition[] = [
  REPLACEMENT_PART,
  NORMS_PART,
  PROBE_PART,
  MEDIATION_PART,
  DEPENDENCE_PART,
  EXPOSURE_PART,
];
