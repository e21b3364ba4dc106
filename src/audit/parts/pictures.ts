// Owns the pictures of some examples: latents as nearest patches beside query and auxiliary picture, attention over
// the query; run-audit.ts drives it.
// Axes: K latents of a span, M picture tokens.
import { fitAuxiliary, fitPicture } from '../../context/prepared.ts';
import { encodePng } from '../../data/png.ts';
import type { Raster } from '../../data/raster.ts';
import { writesLatents } from '../../evaluate/interventions.ts';
import { resizeBicubic } from '../../processor/resize.ts';
import { Rng } from '../../rng.ts';
import { latentMosaic } from '../mosaic.ts';
import type { PatchBank } from '../mosaic.ts';
import { auxiliaryBank, BANK_PICTURES } from '../patch-bank.ts';
import type { AuditContext, CleanRow, Journals, PartDefinition, PartRecord } from '../part.ts';
import { RowObserver } from '../row-observation.ts';
import { meanMap, spotlight } from '../spotlight.ts';
import type { AuditPart, AuditPicture, PictureRow } from '../types.ts';

/** Examples shown. */
export const SHOWN_EXAMPLES = 6;
/** Longest side of a picture on the page, in pixels. ours: larger ones only make the page heavy. */
const LONGEST_SIDE = 448;

/**
 * Attention of the latents over the query picture: for each row maps [M] in raster order, such as
 * one a layer, each a mean over the latents; their mean is drawn. Undefined leaves a row out.
 */
export type AttentionProvider = (
  context: AuditContext,
  rows: readonly CleanRow[],
) => Promise<readonly (readonly Float32Array[] | undefined)[]>;

/** One example as it is shown; pictures are PNG files in base64. */
export interface ShownRecord extends PartRecord {
  readonly task: string;
  readonly question: string;
  readonly expected: string;
  readonly answer: string | null;
  readonly correct: boolean;
  readonly query: string;
  readonly auxiliary: string | null;
  readonly mosaic: string | null;
  readonly attention: string | null;
}

/**
 * Rows to be shown: right and wrong ones by turns while there are both, the tasks shown least
 * first, otherwise as `rng` shuffles them. Only rows that wrote latents.
 */
export function chooseShown(rows: readonly CleanRow[], count: number, rng: Rng): CleanRow[] {
  const left = rng.shuffle(rows.filter(({ result }) => result.latents.length > 0));
  const chosen: CleanRow[] = [];
  const numShown = ({ prediction }: CleanRow): number =>
    chosen.filter((row) => row.prediction.task === prediction.task).length;
  while (chosen.length < count && left.length > 0) {
    const wanted = left.filter(
      ({ prediction }) => prediction.correct === (chosen.length % 2 === 0),
    );
    const candidates = wanted.length > 0 ? wanted : left;
    const fewest = Math.min(...candidates.map(numShown));
    const next = candidates.find((row) => numShown(row) === fewest) as CleanRow;
    chosen.push(next);
    left.splice(left.indexOf(next), 1);
  }
  return chosen;
}

function png(picture: Raster): string {
  const longest = Math.max(picture.width, picture.height);
  const scale = LONGEST_SIDE / longest;
  const shown =
    scale >= 1
      ? picture
      : resizeBicubic(picture, {
          height: Math.max(1, Math.round(picture.height * scale)),
          width: Math.max(1, Math.round(picture.width * scale)),
        });
  return encodePng(shown).toString('base64');
}

/** Patches of auxiliary pictures of examples that are not shown, so that none shows its own. */
async function bankOf(
  context: AuditContext,
  shown: readonly CleanRow[],
): Promise<PatchBank | undefined> {
  const others = context.rows
    .filter((row) => !shown.includes(row) && row.item.example.auxiliary !== undefined)
    .slice(0, BANK_PICTURES);
  const auxiliaries: Raster[] = [];
  for (const { item } of others) {
    const { auxiliary } = await context.loadPictures(item.example);
    if (auxiliary) auxiliaries.push(auxiliary);
  }
  if (auxiliaries.length === 0) return undefined;
  const { model, encoder } = context;
  const numLatents = model.settings?.numLatents ?? 1;
  return auxiliaryBank(model.bundle, encoder, auxiliaries, numLatents);
}

async function recordOf(
  context: AuditContext,
  row: CleanRow,
  bank: PatchBank | undefined,
  maps: readonly Float32Array[] | undefined,
): Promise<ShownRecord> {
  const { bundle, settings } = context.model;
  const { example } = row.item;
  const { id, task, question, expected, answer, correct } = row.prediction;
  const numLatents = settings?.numLatents ?? 1;
  const { picture, auxiliary } = await context.loadPictures(example);
  const query = fitPicture(bundle, picture, example);
  const side = bundle.patches.patchSize * bundle.patches.mergeSize;
  const latents = row.result.latents.slice(0, numLatents);
  return {
    ...{ id, task, question, expected, answer, correct },
    query: png(query),
    auxiliary: auxiliary ? png(fitAuxiliary(bundle, auxiliary, numLatents)) : null,
    mosaic: bank ? png(latentMosaic(bank, latents)) : null,
    attention: maps && maps.length > 0 ? png(spotlight(query, meanMap(maps), side)) : null,
  };
}

function pictureRow(record: ShownRecord): PictureRow {
  const { task, question, expected, answer, correct, query, auxiliary, mosaic, attention } = record;
  const picture = (title: string, alt: string, file: string | null): AuditPicture[] =>
    file === null ? [] : [{ title, alt, png: file }];
  return {
    title: `${task === '' ? record.id : task}: ${question}`,
    text: `Answered ${answer ?? 'nothing'}, ${correct ? 'which is right' : `right is ${expected}`} (${record.id}).`,
    pictures: [
      ...picture('Query picture', `The picture asked about: ${question}`, query),
      ...picture(
        'Auxiliary picture',
        'The picture whose embeddings the latents were trained to be.',
        auxiliary,
      ),
      ...picture(
        'Latents',
        "Each latent as the nearest patch of other examples' auxiliary pictures, in raster order.",
        mosaic,
      ),
      ...picture(
        'Attention of the latents',
        'The query picture, bright where the latents attend to it most, dark where they do not.',
        attention,
      ),
    ],
  };
}

function summarise(journals: Journals): AuditPart {
  const records = journals.part('pictures') as readonly ShownRecord[];
  const numRight = records.filter(({ correct }) => correct).length;
  const lacks = (key: 'auxiliary' | 'mosaic' | 'attention', note: string): string[] =>
    records.every((record) => record[key] === null) ? [note] : [];
  return {
    name: 'pictures',
    title: 'Pictures',
    definition:
      "Each latent is shown as the patch of a real auxiliary picture whose embedding is nearest to it (Euclidean), laid out in raster order, beside the example's query and auxiliary picture. The patches are other examples', so that no latent can show its own picture. A mosaic that looks like the auxiliary picture says what the latents hold, not that the answer rests on it.",
    source:
      'ours: a decoder-free view; a decoder of its own could add what the latents do not hold.',
    findings: [`${records.length} examples are shown, ${numRight} of them answered right.`],
    tables: [],
    figures: [],
    pictures: records.map(pictureRow),
    notes: [
      ...lacks('auxiliary', 'The examples have no auxiliary pictures to show.'),
      ...lacks('mosaic', 'There are no auxiliary pictures of other examples to take patches from.'),
      ...lacks('attention', 'Attention over the query picture was not measured here.'),
    ],
  };
}

/**
 * Pictures of some examples.
 * @param attention - where the latents look; without it no attention is drawn.
 */
export function picturesPart(attention?: AttentionProvider): PartDefinition {
  return {
    name: 'pictures',
    obstacle: ({ model, rows }) => {
      if (!writesLatents(model)) return 'the model was not trained to write latents';
      const written = rows.some(({ result }) => result.latents.length > 0);
      return written ? undefined : 'no example wrote a latent span';
    },
    async *collect(context, done): AsyncGenerator<ShownRecord[], void> {
      const rng = new Rng(context.seed).fork('pictures');
      const shown = chooseShown(context.rows, SHOWN_EXAMPLES, rng);
      if (done >= shown.length) return;
      const bank = await bankOf(context, shown);
      const maps = (await attention?.(context, shown)) ?? [];
      const records: ShownRecord[] = [];
      for (const [i, row] of shown.entries()) {
        context.signal?.throwIfAborted();
        records.push(await recordOf(context, row, bank, maps[i]));
      }
      yield records.slice(done);
    },
    summarise,
  };
}

/** Attention as whole sequences show it: a map a layer, each a mean over latents and heads. */
const observedAttention: AttentionProvider = async (context, rows) => {
  await using observer = new RowObserver(context);
  const maps: (readonly Float32Array[] | undefined)[] = [];
  for (const row of rows) {
    const seen = await observer.row(context.rows.indexOf(row));
    maps.push(seen?.attention?.latents.map_LM);
  }
  return maps;
};

/** Pictures of some examples. */
export const PICTURES_PART = picturesPart(observedAttention);
