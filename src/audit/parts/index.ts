// Owns the list of an audit's parts, in the order of the page.
import type { PartDefinition } from '../part.ts';
import { COUNTERFACTUAL_PART } from './counterfactual.ts';
import { EXPOSURE_PART } from './exposure.ts';
import { ORACLE_PART } from './oracle.ts';
import { PARSER_PART } from './parser.ts';
import { PICTURES_PART } from './pictures.ts';
import { REPLACEMENT_PART } from './replacement.ts';

/** Every part that can be measured. */
export const PARTS: readonly PartDefinition[] = [
  REPLACEMENT_PART,
  COUNTERFACTUAL_PART,
  EXPOSURE_PART,
  PARSER_PART,
  ORACLE_PART,
  PICTURES_PART,
];
