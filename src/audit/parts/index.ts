// Owns the list of an audit's parts, in the order of the page.
import type { PartDefinition } from '../part.ts';
import { COUNTERFACTUAL_PART } from './counterfactual.ts';
import { DEPENDENCE_PART } from './dependence.ts';
import { EXPOSURE_PART } from './exposure.ts';
import { MEDIATION_PART } from './mediation.ts';
import { NORMS_PART } from './norms.ts';
import { ORACLE_PART } from './oracle.ts';
import { PARSER_PART } from './parser.ts';
import { PICTURES_PART } from './pictures.ts';
import { PROBE_PART } from './probe.ts';
import { REPLACEMENT_PART } from './replacement.ts';

/** Every part that can be measured. */
export const PARTS: readonly PartDefinition[] = [
  REPLACEMENT_PART,
  NORMS_PART,
  PROBE_PART,
  MEDIATION_PART,
  COUNTERFACTUAL_PART,
  DEPENDENCE_PART,
  EXPOSURE_PART,
  PARSER_PART,
  ORACLE_PART,
  PICTURES_PART,
];
