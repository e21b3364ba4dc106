// Owns the measurement of counterfactual pictures: what the model answers, and what latents it writes, when one
// object of the query picture is changed; run-audit.ts drives it.
// Axes: K latents of a span, D hidden.
import type { PreparedExample } from '../../context/prepared.ts';
import { prepareExamples } from '../../context/prepared.ts';
import { evaluateExamples } from '../../evaluate/evaluate.ts';
import type { EvaluatedExample, EvaluateOptions } from '../../evaluate/evaluate.ts';
import { Rng } from '../../rng.ts';
import { editedPictures, isDrawn } from '../edited-pictures.ts';
import type { EditedPicture } from '../edited-pictures.ts';
import { joinRows, latentDistance } from '../latent-distance.ts';
import type { AuditContext, CleanRow, PartDefinition } from '../part.ts';
import { isAnswer } from '../rates.ts';
import type { CounterfactualRecord, CrossedAnswer, EditAnswer } from './counterfactual-records.ts';
import { summariseCounterfactual } from './counterfactual-summary.ts';

/** Examples whose pictures are edited, the first that can be. ours: seven more decodings each. */
export const EDITED_ROWS = 100;
/** Most decodings an example needs: two edits of each effect, two of the floor, one crossed. */
const DECODINGS = 7;

/** A picture to be decoded again: the example's own prompt with another picture. */
interface Edited {
  readonly row: CleanRow;
  readonly edit: EditedPicture;
  readonly item: PreparedExample;
}

function optionsOf(context: AuditContext): EvaluateOptions {
  const { generation, seed, batchSize, signal } = context;
  return { ...generation, seed, batchSize, ...(signal ? { signal } : {}) };
}

async function decodeAll(
  context: AuditContext,
  items: readonly PreparedExample[],
  options: Partial<EvaluateOptions> = {},
): Promise<EvaluatedExample[]> {
  const found: EvaluatedExample[] = [];
  const settings = { ...optionsOf(context), ...options };
  for await (const one of evaluateExamples(context.decoder, items, settings)) found.push(one);
  return found;
}

/** Pictures of some rows edited and encoded; a row without edits is one its seed does not draw. */
async function prepareEdits(
  context: AuditContext,
  rows: readonly CleanRow[],
): Promise<readonly Edited[]> {
  const root = new Rng(context.seed).fork('counterfactual');
  const loaded = await Promise.all(rows.map(({ item }) => context.loadPictures(item.example)));
  const pairs = rows.flatMap((row, i) => {
    const { example } = row.item;
    const picture = loaded[i]?.picture;
    const edits = picture && editedPictures(example, picture, root.fork(example.id));
    return (edits ?? []).map((edit) => ({ row, edit }));
  });
  // The id stays, so that sampling draws the same random numbers as for the clean answer.
  const examples = pairs.map(({ row, edit }) => ({ ...row.item.example, answer: edit.answer }));
  const items = await prepareExamples(context.model.bundle, context.encoder, examples, {
    load: (_, i) => Promise.resolve({ picture: (pairs[i] as (typeof pairs)[number]).edit.picture }),
    ...(context.signal ? { signal: context.signal } : {}),
  });
  return pairs.map((pair, i) => ({ ...pair, item: items[i] as PreparedExample }));
}

function editAnswer({ row, edit }: Edited, { prediction, result }: EvaluatedExample): EditAnswer {
  const { effect, what, answer: expected } = edit;
  const { answer, correct, finished } = prediction;
  const before = row.prediction.answer;
  const changed = before === null ? answer !== null : !isAnswer(answer, before);
  const distance = latentDistance(row.result.latents, result.latents);
  return {
    ...{ effect, what, expected, answer, correct, changed, finished },
    l2: distance?.l2 ?? null,
    cosine: distance?.cosine ?? null,
  };
}

/**
 * By example, the place of its first edit that flips the answer, and the latents written for it,
 * [K, D]; only where the original picture had a span as well.
 */
export function flippedLatents(
  edited: readonly Pick<Edited, 'row' | 'edit'>[],
  decoded: readonly Pick<EvaluatedExample, 'result'>[],
): Map<string, { readonly index: number; readonly latents_KD: Float32Array }> {
  const first = new Map<string, { index: number; latents_KD: Float32Array }>();
  edited.forEach(({ row, edit }, index) => {
    const { id } = row.item.example;
    const latents = decoded[index]?.result.latents ?? [];
    const hasSpans = row.result.latents.length > 0 && latents.length > 0;
    if (edit.effect === 'flip' && hasSpans && !first.has(id)) {
      first.set(id, { index, latents_KD: joinRows(latents) });
    }
  });
  return first;
}

/** The original picture read with the latents of its first edit that flips the answer. */
async function crossLatents(
  context: AuditContext,
  edited: readonly Edited[],
  decoded: readonly EvaluatedExample[],
): Promise<Map<string, CrossedAnswer>> {
  const first = flippedLatents(edited, decoded);
  const chosen = [...first.values()].map(({ index }) => edited[index] as Edited);
  const others = new Map([...first].map(([id, { latents_KD }]) => [id, latents_KD]));
  const crossed = await decodeAll(
    context,
    chosen.map(({ row }) => row.item),
    { intervention: { kind: 'other' }, calibration: { kind: 'none' }, others },
  );
  return new Map(
    chosen.map(({ row, edit }, i) => {
      const answer = crossed[i]?.prediction.answer ?? null;
      return [
        row.item.example.id,
        {
          what: edit.what,
          expected: edit.answer,
          answer,
          followsLatents: isAnswer(answer, edit.answer),
          followsPicture: isAnswer(answer, row.item.example.answer),
        },
      ];
    }),
  );
}

async function recordsOf(
  context: AuditContext,
  rows: readonly CleanRow[],
): Promise<CounterfactualRecord[]> {
  const edited = await prepareEdits(context, rows);
  const decoded = await decodeAll(
    context,
    edited.map(({ item }) => item),
  );
  const crossed = await crossLatents(context, edited, decoded);
  return rows.map((row): CounterfactualRecord => {
    const { id, task = '', difficulty = '', answer: expected } = row.item.example;
    const edits = edited.flatMap((one, i) =>
      one.row === row ? [editAnswer(one, decoded[i] as EvaluatedExample)] : [],
    );
    return {
      ...{ id, task, difficulty, expected },
      answer: row.prediction.answer,
      correct: row.prediction.correct,
      edits,
      crossed: crossed.get(id) ?? null,
      skipped: edits.length > 0 ? null : 'its seed does not draw this question and picture',
    };
  });
}

async function* collect(
  context: AuditContext,
  done: number,
): AsyncGenerator<CounterfactualRecord[], void> {
  const rows = context.rows.filter(({ item }) => isDrawn(item.example)).slice(0, EDITED_ROWS);
  const chunk = Math.max(1, Math.floor(context.batchSize / (DECODINGS - 1)));
  // From the start of a whole chunk: the bits of a row may depend on its neighbours.
  for (let start = done - (done % chunk); start < rows.length; start += chunk) {
    context.signal?.throwIfAborted();
    const records = await recordsOf(context, rows.slice(start, start + chunk));
    yield records.slice(Math.max(0, done - start));
  }
}

/** Counterfactual pictures: exact edits of what decides the answer, and of what does not. */
export const COUNTERFACTUAL_PART: PartDefinition = {
  name: 'counterfactual',
  obstacle: ({ rows }) =>
    rows.some(({ item }) => isDrawn(item.example))
      ? undefined
      : 'no example says task, difficulty and seed of a generated picture, and only generated pictures can be edited exactly',
  collect,
  summarise: summariseCounterfactual,
};
