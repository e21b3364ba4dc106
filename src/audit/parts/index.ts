// Owns the list of an audit's parts, in the order of the page.
import type { PartDefinition } from '../part.ts';
import { EXPOSURE_PART } from './exposure.ts';
import { REPLACEMENT_PART } from './replacement.ts';

/** Every part that can be measured. */
export const PARTS: readonly PartDefinition[] = [REPLACEMENT_PART, EXPOSURE_PART];
