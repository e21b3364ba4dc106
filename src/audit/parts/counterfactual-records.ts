// Owns what the journal of counterfactual pictures holds; measuring and summarising share it.
import type { PictureEffect } from '../edited-pictures.ts';
import { partFile } from '../journals.ts';
import type { PartRecord } from '../part.ts';

/** What the model made of one changed picture. */
export interface EditAnswer {
  readonly effect: PictureEffect;
  readonly what: string;
  /** Right answer for the changed picture. */
  readonly expected: string;
  readonly answer: string | null;
  readonly correct: boolean;
  /** The answer is not the clean one. */
  readonly changed: boolean;
  readonly finished: boolean;
  /** Mean distances of its latents from the clean ones; null where one of both wrote none. */
  readonly l2: number | null;
  readonly cosine: number | null;
}

/** The original picture read with the latents of a changed one. */
export interface CrossedAnswer {
  readonly what: string;
  /** Right answer for the changed picture, which the latents come from. */
  readonly expected: string;
  readonly answer: string | null;
  readonly followsLatents: boolean;
  readonly followsPicture: boolean;
}

/** One example with all its changed pictures. */
export interface CounterfactualRecord extends PartRecord {
  readonly task: string;
  readonly difficulty: string;
  readonly expected: string;
  /** The clean answer. */
  readonly answer: string | null;
  readonly correct: boolean;
  readonly edits: readonly EditAnswer[];
  readonly crossed: CrossedAnswer | null;
  /** Why it has no changed pictures. */
  readonly skipped: string | null;
}

/** Where the items of every number are. */
export const ITEMS = [partFile('counterfactual')];
/** Effects as tables write them, in their order. */
export const EFFECTS: Readonly<Record<PictureEffect, string>> = {
  flip: 'edits that change the right answer',
  control: 'edits that keep it',
  floor: 'changes no one sees',
};

/** A changed picture's answer with its example. */
export interface Pair {
  readonly record: CounterfactualRecord;
  readonly edit: EditAnswer;
}

/** All changed pictures of an effect. */
export function pairsOf(records: readonly CounterfactualRecord[], effect: PictureEffect): Pair[] {
  return records.flatMap((record) =>
    record.edits.filter((edit) => edit.effect === effect).map((edit) => ({ record, edit })),
  );
}
