// Owns the measurement of the parser text's faithfulness: whose auxiliary picture latents and text point to,
// and whether they follow the latents or the picture; run-audit.ts drives it.
// Axes: K latents of a span, D hidden.
import { setImmediate } from 'node:timers/promises';
import { parseResponse } from '../../data/format.ts';
import { writesLatents } from '../../evaluate/interventions.ts';
import { Rng } from '../../rng.ts';
import { donorOf } from '../arms.ts';
import { drawDistractors } from '../candidates.ts';
import { latentDistance, rowsOf } from '../latent-distance.ts';
import { isPlain, parserPlace, upToParser } from '../parser-text.ts';
import type { ArmSpec, AuditContext, CleanRow, PartDefinition } from '../part.ts';
import { standingOf, wordOverlap } from '../ranks.ts';
import type { Standing } from '../ranks.ts';
import { otherArm } from '../shared-arms.ts';
import { PARSER_ARMS } from './parser-records.ts';
import type { ParserRecord, Standings } from './parser-records.ts';
import { summariseParser } from './parser-summary.ts';

/** Records journalled together. */
const CHUNK = 100;

/** What a row wrote as parser text, undefined without one that is closed and plain. */
function textOf({ model }: AuditContext, { result, prediction }: CleanRow): string | undefined {
  const { bundle } = model;
  const text = parserPlace(bundle, result.ids) && parseResponse(prediction.response).parser;
  return text !== undefined && isPlain(bundle, text) ? text : undefined;
}

/**
 * Whose parser text a row gets: the next row, cyclic, with another one, of the same task if there
 * is such; undefined when all are the same.
 */
function textDonorOf(
  rows: readonly CleanRow[],
  texts: readonly (string | undefined)[],
  index: number,
): number | undefined {
  let found: number | undefined;
  for (let offset = 1; offset < rows.length; offset++) {
    const at = (index + offset) % rows.length;
    if (texts[at] === undefined || texts[at] === texts[index]) continue;
    if (rows[at]?.prediction.task === rows[index]?.prediction.task) return at;
    found ??= at;
  }
  return found;
}

function numWords(text: string): number {
  return text.split(/\s+/u).filter((word) => word !== '').length;
}

/** As many words as a text has, drawn from the words that any response has before its answer. */
function randomWords(pool: readonly string[], text: string, rng: Rng): string {
  return Array.from({ length: numWords(text) }, () => rng.pick(pool)).join(' ');
}

function wordPool({ rows, model }: AuditContext): string[] {
  const words = rows.flatMap(({ prediction }) => {
    const { think = '', parser = '' } = parseResponse(prediction.response);
    return `${think} ${parser}`.split(/\s+/u).filter((word) => word !== '');
  });
  const plain = [...new Set(words)].filter((word) => isPlain(model.bundle, word));
  // A row with a parser text is there, even if an empty one.
  return plain.length === 0 ? [''] : plain.sort();
}

function arms(context: AuditContext): ArmSpec[] {
  const { rows, model, seed } = context;
  const { bundle } = model;
  const other = otherArm(context);
  const swapped = other ? [other] : [];
  const texts = rows.map((row) => textOf(context, row));
  if (texts.every((text) => text === undefined)) return swapped;
  const pool = wordPool(context);
  const root = new Rng(seed).fork('parser words');
  const clean = { intervention: { kind: 'clean' as const } };
  return [
    ...swapped,
    { ...PARSER_ARMS.kept, ...clean, beginning: (row) => upToParser(bundle, row) },
    {
      ...PARSER_ARMS.other,
      ...clean,
      beginning: (row, index) => {
        const donor = textDonorOf(rows, texts, index);
        return upToParser(bundle, row, donor === undefined ? undefined : texts[donor]);
      },
    },
    {
      ...PARSER_ARMS.random,
      ...clean,
      beginning: (row, index) => {
        const text = texts[index];
        const rng = root.fork(row.item.example.id);
        return upToParser(
          bundle,
          row,
          text === undefined ? undefined : randomWords(pool, text, rng),
        );
      },
    },
  ];
}

/** What a dataset says an auxiliary picture shows. */
function referenceText({ item }: CleanRow): string {
  return item.example.parser ?? item.example.auxiliaryCaption ?? '';
}

function standingsOf(
  context: AuditContext,
  index: number,
  distractors: readonly number[],
  text: string | undefined,
): Standings {
  const { rows, model } = context;
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const own = rows[index] as CleanRow;
  const candidates = [index, ...distractors].map((at) => rows[at] as CleanRow);
  const by = (score: (candidate: CleanRow) => number): Standing => {
    const [first = 0, ...others] = candidates.map(score);
    return standingOf(first, others);
  };
  const distanceTo = (latents: readonly Float32Array[], kind: 'cosine' | 'l2') =>
    by(({ item }) => {
      const rows_KD = item.auxiliaryRows_KD ?? new Float32Array(0);
      return -(latentDistance(latents, rowsOf(rows_KD, width))?.[kind] ?? Infinity);
    });
  const donor = donorOf(rows, index);
  return {
    cosine: distanceTo(own.result.latents, 'cosine'),
    l2: distanceTo(own.result.latents, 'l2'),
    donor: donor === undefined ? null : distanceTo(rows[donor]?.result.latents ?? [], 'cosine'),
    text: text === undefined ? null : by((row) => wordOverlap(text, referenceText(row))),
  };
}

async function* collect(context: AuditContext, done: number): AsyncGenerator<ParserRecord[], void> {
  const { rows, seed } = context;
  const distractors = drawDistractors(rows, new Rng(seed).fork('distractors'));
  const texts = rows.map((row) => textOf(context, row));
  const idOf = (at: number | undefined): string | null =>
    at === undefined ? null : (rows[at]?.item.example.id ?? null);
  const places = rows.flatMap(({ result }, i) => (result.latents.length > 0 ? [i] : []));
  for (let start = done; start < places.length; start += CHUNK) {
    // A stop that was asked for in between is seen here.
    await setImmediate();
    context.signal?.throwIfAborted();
    yield places.slice(start, start + CHUNK).map((index): ParserRecord => {
      const { example } = (rows[index] as CleanRow).item;
      const against = distractors[index] ?? [];
      const candidates = [index, ...against].map((at) => referenceText(rows[at] as CleanRow));
      const text = texts[index];
      return {
        id: example.id,
        task: example.task ?? '',
        donor: idOf(donorOf(rows, index)),
        standings: against.length === 0 ? null : standingsOf(context, index, against, text),
        numTexts: new Set(candidates).size,
        textDonor: text === undefined ? null : idOf(textDonorOf(rows, texts, index)),
      };
    });
  }
}

/** Faithfulness of the parser text. */
export const PARSER_PART: PartDefinition = {
  name: 'parser',
  obstacle: ({ model, rows }) => {
    if (!writesLatents(model)) return 'the model was not trained to write latents';
    const written = rows.some(({ result }) => result.latents.length > 0);
    return written ? undefined : 'no example wrote a latent span';
  },
  arms,
  collect,
  summarise: summariseParser,
};
