// Owns what the journal of the parser part holds, and the names of its arms; measuring and summarising share it.
import { partFile } from '../journals.ts';
import type { PartRecord } from '../part.ts';
import type { Standing } from '../ranks.ts';

/** How the own auxiliary picture stands among distractors, by what it is looked for with. */
export interface Standings {
  /** Mean cosine between latents and embeddings, position by position. */
  readonly cosine: Standing;
  /** Mean Euclidean distance, position by position. */
  readonly l2: Standing;
  /** Mean cosine with the donor's latents: what latents that know nothing of the picture reach. */
  readonly donor: Standing | null;
  /** Overlap of the written parser text with the candidates' texts; null without a written one. */
  readonly text: Standing | null;
}

/** One example that wrote a span. */
export interface ParserRecord extends PartRecord {
  readonly task: string;
  /** Whose latents the arm `other` gave it. */
  readonly donor: string | null;
  /** Null without an auxiliary picture or without distractors. */
  readonly standings: Standings | null;
  /** Different texts among the candidates; 1 means that no text can tell them apart. */
  readonly numTexts: number;
  /** Whose parser text the arm `parser-other` gave it. */
  readonly textDonor: string | null;
}

/** The arms of the part, by what they do to the parser text. */
export const PARSER_ARMS = {
  kept: { name: 'parser-kept', title: 'Parser text as written' },
  other: { name: 'parser-other', title: "Another example's parser text" },
  random: { name: 'parser-random', title: 'Random words as parser text' },
} as const;

/** Where the items of the numbers are. */
export const PARSER_ITEMS = [partFile('parser')];
