// Owns the tables of the parser part on swapped latents and replaced texts; parser-summary.ts shows them.
import { parseResponse, TAGS } from '../../data/format.ts';
import type { Rng } from '../../rng.ts';
import { armFile } from '../journals.ts';
import type { ArmRecord, Journals } from '../part.ts';
import { wordOverlap } from '../ranks.ts';
import { groupByTask, hit, isAnswer, measuredMean, measuredShare } from '../rates.ts';
import type { Observation } from '../rates.ts';
import type { AuditTable, Cell, Measured } from '../types.ts';
import { PARSER_ARMS, PARSER_ITEMS } from './parser-records.ts';
import type { ParserRecord } from './parser-records.ts';

/** A row decoded with another example's latents, beside both examples' own. */
export interface Swapped {
  readonly id: string;
  readonly task: string;
  readonly answer: string | null;
  /** Right answers of the picture and of the donor of the latents. */
  readonly own: string;
  readonly donor: string;
  /** Parser texts: written now, and written by both examples when clean. */
  readonly text: string | undefined;
  readonly ownText: string | undefined;
  readonly donorText: string | undefined;
}

/** Rows of the arm `other` whose donor is of the same task. */
export function swappedRows(
  records: readonly ParserRecord[],
  clean: readonly ArmRecord[],
  other: readonly ArmRecord[],
): Swapped[] {
  const cleanOf = new Map(clean.map((record) => [record.id, record]));
  const donorIdOf = new Map(records.map(({ id, donor }) => [id, donor]));
  const textOf = (record: ArmRecord): string | undefined => parseResponse(record.response).parser;
  return other.flatMap((record): Swapped[] => {
    const own = cleanOf.get(record.id);
    const donor = cleanOf.get(donorIdOf.get(record.id) ?? '');
    if (!record.triggered || !own || donor?.task !== record.task) return [];
    return [
      {
        ...{ id: record.id, task: record.task, answer: record.answer },
        ...{ own: record.expected, donor: donor.expected },
        ...{ text: textOf(record), ownText: textOf(own), donorText: textOf(donor) },
      },
    ];
  });
}

/** Share of others whose right answer is what a row answered: what a random donor would give. */
function chanceOf(row: Swapped, all: readonly Swapped[], isFree: (other: Swapped) => boolean) {
  const others = all.filter((other) => other.task === row.task && isFree(other));
  if (others.length === 0) return 0;
  return others.filter((other) => isAnswer(row.answer, other.own)).length / others.length;
}

/** Whether the answer follows the latents or the picture, by task. */
export function swapTable(all: readonly Swapped[], rng: Rng): AuditTable {
  const telling = all.filter(({ own, donor }) => !isAnswer(donor, own));
  const chanceById = new Map(
    telling.map((row) => [
      row.id,
      {
        latents: chanceOf(row, all, (other) => !isAnswer(other.own, row.own)),
        picture: chanceOf(row, all, (other) => other.id !== row.id),
      },
    ]),
  );
  const rows = groupByTask(telling).map(({ label, records }): Readonly<Record<string, Cell>> => {
    const meanOf = (value: (row: Swapped) => number): Measured | null =>
      measuredMean(
        records.map((row): Observation => ({ cluster: row.id, value: value(row) })),
        rng,
      );
    const shareOf = (is: (row: Swapped) => number): Measured | null =>
      measuredShare(
        records.map((row) => hit(row.id, is(row) === 1)),
        rng,
      );
    const latents = (row: Swapped): number => (isAnswer(row.answer, row.donor) ? 1 : 0);
    const picture = (row: Swapped): number => (isAnswer(row.answer, row.own) ? 1 : 0);
    const chance = (row: Swapped, of: 'latents' | 'picture'): number =>
      chanceById.get(row.id)?.[of] ?? 0;
    return {
      task: label,
      n: records.length,
      latents: shareOf(latents),
      chanceLatents: meanOf((row) => chance(row, 'latents'))?.value ?? null,
      beyondLatents: meanOf((row) => latents(row) - chance(row, 'latents')),
      picture: shareOf(picture),
      chancePicture: meanOf((row) => chance(row, 'picture'))?.value ?? null,
      beyondPicture: meanOf((row) => picture(row) - chance(row, 'picture')),
      neither: shareOf((row) => 1 - latents(row) - picture(row)),
    };
  });
  return {
    id: 'parser-swap-answers',
    title: "Whom the answer follows with another example's latents",
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'latents', title: 'Answer of the latents', format: 'percent' },
      { key: 'chanceLatents', title: 'by chance', format: 'percent' },
      { key: 'beyondLatents', title: 'beyond chance', format: 'points' },
      { key: 'picture', title: 'Answer of the picture', format: 'percent' },
      { key: 'chancePicture', title: 'by chance', format: 'percent' },
      { key: 'beyondPicture', title: 'beyond chance', format: 'points' },
      { key: 'neither', title: 'Neither', format: 'percent' },
    ],
    rows,
    note: 'Examples whose donor is of the same task and has another right answer. Chance: how often the answer that was given is the right one of other examples of the task, those with the same right answer left out for the latents.',
    items: [armFile('other'), armFile('clean'), ...PARSER_ITEMS],
  };
}

/** Whether the parser text follows the latents or the picture, by task. */
export function swapTextTable(all: readonly Swapped[], rng: Rng): AuditTable {
  const rows = groupByTask(all).map(({ label, records }): Readonly<Record<string, Cell>> => {
    const telling = records.flatMap(({ id, text, ownText, donorText }) =>
      text === undefined ||
      ownText === undefined ||
      donorText === undefined ||
      ownText === donorText
        ? []
        : [{ id, lead: wordOverlap(text, donorText) - wordOverlap(text, ownText) }],
    );
    const share = (is: (lead: number) => boolean): Measured | null =>
      measuredShare(
        telling.map(({ id, lead }) => hit(id, is(lead))),
        rng,
      );
    return {
      task: label,
      n: records.length,
      telling: telling.length,
      latents: share((lead) => lead > 0),
      picture: share((lead) => lead < 0),
      neither: share((lead) => lead === 0),
    };
  });
  return {
    id: 'parser-swap-texts',
    title: "Whom the parser text follows with another example's latents",
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'telling', title: 'with different texts', format: 'count' },
      { key: 'latents', title: 'Nearer to the text of the latents', format: 'percent' },
      { key: 'picture', title: 'Nearer to the text of the picture', format: 'percent' },
      { key: 'neither', title: 'Equally near', format: 'percent' },
    ],
    rows,
    note: 'The texts that both examples write with their own latents; nearness is the overlap of their words. Where both write the same, nothing can be told.',
    items: [armFile('other'), armFile('clean'), ...PARSER_ITEMS],
  };
}

/** What the answer rests on when the parser text is replaced and decoding goes on behind it. */
export function corruptedTable(
  records: readonly ParserRecord[],
  journals: Journals,
  rng: Rng,
): AuditTable {
  const byId = (name: string) => new Map(journals.arm(name).map((record) => [record.id, record]));
  const [clean, kept] = [byId('clean'), byId(PARSER_ARMS.kept.name)];
  const rows = Object.entries(PARSER_ARMS).flatMap(([kind, { name, title }]) => {
    const corrupted = byId(name);
    const pairs = records.flatMap(({ id, task, textDonor }) => {
      const [own, whole, now] = [clean.get(id), kept.get(id), corrupted.get(id)];
      const hasText = own?.triggered === true && own.response.includes(TAGS.parserClose);
      if (!hasText || !whole || !now || (kind === 'other' && textDonor === null)) return [];
      return [{ id, task, whole, now }];
    });
    return groupByTask(pairs).map(({ label, records: own }): Readonly<Record<string, Cell>> => ({
      task: label,
      text: title,
      n: own.length,
      same: measuredShare(
        own.map(({ id, whole, now }) => hit(id, isSameAnswer(whole.answer, now.answer))),
        rng,
      ),
      accuracy: measuredShare(
        own.map(({ id, now }) => hit(id, now.correct)),
        rng,
      ),
      difference:
        kind === 'kept'
          ? null
          : measuredMean(
              own.map(({ id, whole, now }) => ({
                cluster: id,
                value: Number(now.correct) - Number(whole.correct),
              })),
              rng,
            ),
    }));
  });
  return {
    id: 'parser-corrupted',
    title: 'Answers behind a replaced parser text',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'text', title: 'Parser text', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'same', title: 'Same answer as behind the own text', format: 'percent' },
      { key: 'accuracy', title: 'Accuracy', format: 'percent' },
      { key: 'difference', title: 'Difference to the own text', format: 'points' },
    ],
    rows,
    note: 'Prompt, thoughts and latents stay as they were; the words between the parser tags are replaced, and only what follows is decoded.',
    items: [
      armFile('clean'),
      ...Object.values(PARSER_ARMS).map(({ name }) => armFile(name)),
      ...PARSER_ITEMS,
    ],
  };
}

function isSameAnswer(first: string | null, second: string | null): boolean {
  return first === null ? second === null : isAnswer(second, first);
}
