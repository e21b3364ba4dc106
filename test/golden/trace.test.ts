// The golden trace: training graph, uncached and cached decoding agree at every position of rows with latents.
// Axes: B rows, D hidden, V vocabulary, K latents of a span.
import { afterAll, describe, expect, it } from 'vitest';
import { Session, countLiveSessions } from '../../src/engine/session.ts';
import { tensor } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import type { DecoderOutput, StepInput } from '../../src/generate/decoder.ts';
import { generateBatch } from '../../src/generate/generate.ts';
import { sampleToken } from '../../src/generate/sampling.ts';
import { headSpecs } from '../../src/latent/head.ts';
import type { Weights } from '../../src/model/weights.ts';
import type { GapModel } from '../../src/latent/model.ts';
import type { HeadKind } from '../../src/latent/variants.ts';
import { positionConfig, promptIds } from '../../src/model/bundle.ts';
import type { ModelBundle } from '../../src/model/bundle.ts';
import { decoderSpecs } from '../../src/model/parameters.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { mropePositions } from '../../src/processor/positions.ts';
import type { LatentPositions } from '../../src/processor/positions.ts';
import { assembleRow, batchRows } from '../../src/processor/sequence.ts';
import type { Row } from '../../src/processor/sequence.ts';
import { Rng } from '../../src/rng.ts';
import { encodeObjective } from '../../src/train/objective.ts';
import { latentFeeds, textFeeds } from '../../src/train/text-batch.ts';
import { MINI_LATENTS, SESSION, Trace, miniGapModel } from '../helpers/mini-gap.ts';
import type { TraceRow } from '../helpers/mini-gap.ts';
import { randomRows } from '../helpers/mini-model.ts';
import type { MiniOptions } from '../helpers/mini-model.ts';
import { WorstErrors, relativeError } from '../helpers/relative-error.ts';

const TOLERANCE = 1e-4;
const worst = new WorstErrors();

interface Case extends MiniOptions {
  readonly head: HeadKind;
  readonly positions: LatentPositions;
}

const SEQUENTIAL: LatentPositions = { kind: 'sequential' };
const GRID: LatentPositions = { kind: 'grid', numLatents: MINI_LATENTS };
const CASES: Readonly<Record<string, Case>> = {
  'PCA head, GQA 2, sequential': { head: 'pca', heads: 2, kvHeads: 1, positions: SEQUENTIAL },
  'PCA head, GQA 1, grid': { head: 'pca', heads: 2, kvHeads: 2, positions: GRID },
  'output as input, GQA 2, grid': { head: 'output', heads: 4, kvHeads: 2, positions: GRID },
  'full head, untied, GQA 1': {
    head: 'full',
    heads: 2,
    kvHeads: 2,
    tied: false,
    positions: SEQUENTIAL,
  },
  'learned basis, untied, GQA 4': {
    head: 'bottleneck',
    heads: 4,
    kvHeads: 1,
    tied: false,
    positions: GRID,
  },
};

/** A row before its latents are known. */
interface Draft {
  readonly row: Row;
  readonly grids: readonly GridThw[];
  readonly pictureRows_MD: Float32Array;
}

function words(bundle: ModelBundle, text: string): number[] {
  return bundle.tokenizer.encodePieces([{ text, trusted: true }]);
}

/** Three rows: a picture and two spans; one token and two spans; two pictures and one span. */
function draftRows(bundle: ModelBundle, rng: Rng): Draft[] {
  const { latentStart, latentPad, latentEnd } = bundle.sequence;
  const span = [latentStart, ...Array<number>(MINI_LATENTS).fill(latentPad), latentEnd];
  const draft = (
    prompt: readonly number[],
    response: readonly number[],
    grids: readonly GridThw[],
  ): Draft => {
    const row = assembleRow(prompt, response, bundle.sequence);
    const size = row.picturePositions.length * bundle.checkpoint.config.text.hiddenSize;
    return { row, grids, pictureRows_MD: randomRows(rng, size) };
  };
  const [red, one, is] = [words(bundle, 'red'), words(bundle, 'one two'), words(bundle, 'it is')];
  const wide: GridThw = [1, 4, 6];
  return [
    draft(
      promptIds(bundle, 'what is it', [wide]),
      [...red, ...span, ...one, ...span, ...is],
      [wide],
    ),
    draft(red, [...one, ...span, ...is, ...span, ...one], []),
    draft(
      promptIds(bundle, 'what', [
        [1, 2, 2],
        [1, 4, 2],
      ]),
      [...span, ...red],
      [
        [1, 2, 2],
        [1, 4, 2],
      ],
    ),
  ];
}

/** What was computed at one position. */
interface Seen {
  readonly state: Float32Array;
  readonly logits: Float32Array;
  readonly predicted: Float32Array;
}

/** By row: what was computed at each position, and the latents that were read back. */
interface Walk {
  readonly seen: Map<number, Seen>[];
  readonly latents: Float32Array[][];
}

/** Cached decoding with given words: every latent is what the state before it predicts. */
async function walkCached(model: GapModel, drafts: readonly Draft[]): Promise<Walk> {
  const { bundle, settings } = model;
  const width = bundle.checkpoint.config.text.hiddenSize;
  const walk: Walk = {
    seen: drafts.map(() => new Map<number, Seen>()),
    latents: drafts.map(() => []),
  };
  // Positions of whole rows: those of the training graph.
  const positions = drafts.map(({ row, grids }) => {
    const batch = batchRows([row], { padId: bundle.padId, side: 'right' });
    return mropePositions(batch, grids, positionConfig(bundle, settings?.positions)).positions_3BT;
  });
  const numPrompt = drafts.map(({ row }) => row.numPromptTokens);
  await using decoder = await Decoder.create(model, SESSION);
  const batch = await decoder.start(
    drafts.map(({ row, pictureRows_MD }, b) => {
      const [size, length] = [numPrompt[b] ?? 0, row.inputIds.length];
      const plane = (axis: number) =>
        (positions[b] ?? new Int32Array(0)).slice(axis * length, axis * length + size);
      return {
        ids: row.inputIds.slice(0, size),
        positions_3T: Int32Array.from([0, 1, 2].flatMap((axis) => [...plane(axis)])),
        given_ND: pictureRows_MD,
        givenPlaces: row.picturePositions,
      };
    }),
    40,
  );
  const note = (output: DecoderOutput, at: (b: number) => number): void => {
    drafts.forEach(({ row }, b) => {
      if (at(b) >= row.inputIds.length) return;
      const part = (data: Float32Array): Float32Array => {
        const size = data.length / drafts.length;
        return data.slice(b * size, (b + 1) * size);
      };
      walk.seen[b]?.set(at(b), {
        state: part(output.states_BD),
        logits: part(output.logits_BV),
        predicted: part(output.latents_BD),
      });
    });
  };
  note(batch.output, (b) => (numPrompt[b] ?? 0) - 1);
  const longest = Math.max(
    ...drafts.map(({ row }, b) => row.inputIds.length - (numPrompt[b] ?? 0)),
  );
  for (let step = 0; step < longest; step++) {
    const inputs = drafts.map(({ row }, b): StepInput => {
      const [at, length] = [(numPrompt[b] ?? 0) + step, row.inputIds.length];
      const id = row.inputIds[at];
      if (id === undefined) return { id: bundle.padId, position: [0, 0, 0], active: false };
      const p = (axis: number): number => positions[b]?.[axis * length + at] ?? NaN;
      const input = { id, position: [p(0), p(1), p(2)] as const, active: true };
      if (id !== bundle.sequence.latentPad) return input;
      const latent = walk.seen[b]?.get(at - 1)?.predicted ?? new Float32Array(width);
      walk.latents[b]?.push(latent);
      return { ...input, latent };
    });
    note(await batch.step(inputs), (b) => (numPrompt[b] ?? 0) + step);
  }
  return walk;
}

/** A row cut after a position; a span may be cut too. */
function prefix(row: Row, length: number): Row {
  return {
    ...row,
    inputIds: row.inputIds.slice(0, length),
    labels: row.labels.slice(0, length),
    spans: row.spans
      .map(({ start, length: k }) => ({ start, length: Math.min(k, length - start) }))
      .filter((span) => span.length > 0),
    picturePositions: row.picturePositions,
  };
}

/** Uncached decoding: the whole prefix again for every position, latents from its own last state. */
async function walkUncached(
  trace: Trace,
  drafts: readonly Draft[],
  latentPad: number,
): Promise<Walk> {
  const walk: Walk = {
    seen: drafts.map(() => new Map<number, Seen>()),
    latents: drafts.map(() => []),
  };
  for (const [b, draft] of drafts.entries()) {
    const latents = walk.latents[b] ?? [];
    for (let at = draft.row.numPromptTokens - 1; at < draft.row.inputIds.length; at++) {
      if (draft.row.inputIds[at] === latentPad) {
        latents.push(walk.seen[b]?.get(at - 1)?.predicted ?? new Float32Array(0));
      }
      const row = { ...draft, row: prefix(draft.row, at + 1), latents_LD: flat(latents) };
      const result = await trace.run([row]);
      walk.seen[b]?.set(at, {
        state: result.state_D(0, at),
        logits: result.logits_V(0, at),
        predicted: result.latent_D(0, at),
      });
    }
  }
  return walk;
}

function flat(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

function expectSame(what: string, found: Seen | undefined, expected: Seen): void {
  for (const kind of ['state', 'logits', 'predicted'] as const) {
    const error = relativeError(found?.[kind] ?? [], expected[kind]);
    expect(
      worst.note(`${what.split(' ')[0] ?? ''} ${kind}`, what, error),
      `${what}: ${kind}`,
    ).toBeLessThan(TOLERANCE);
  }
}

/** The training objective over rows with given latents as inputs and targets. */
async function runObjective(
  model: GapModel<Weights>,
  rows: readonly TraceRow[],
): Promise<Record<string, Tensor>> {
  const { bundle, head, settings } = model;
  const { config, weights } = bundle.checkpoint;
  const parameters = [...decoderSpecs(config.text), ...headSpecs(head.spec)];
  const latents = { head: head.spec, loss: 'mse' as const, padId: bundle.sequence.latentPad };
  const model_ = encodeObjective(config, {
    pictures: { kind: 'rows' },
    parameters,
    trained: parameters,
    latents,
    withGradients: false,
  });
  await using session = await Session.create(model_, SESSION);
  for (const [name, value] of [...weights.byName, ...head.weights.byName, ...head.fixed]) {
    if (session.inputNames.includes(name)) session.bindInput(name, value);
  }
  const batch = batchRows(
    rows.map(({ row }) => row),
    { padId: bundle.padId, side: 'right' },
  );
  const pictures = flat(rows.map((row) => row.pictureRows_MD));
  const given = flat(rows.map((row) => row.latents_LD));
  const width = config.text.hiddenSize;
  return await session.run({
    ...textFeeds(
      batch,
      rows.flatMap(({ grids }) => grids),
      positionConfig(bundle, settings?.positions),
    ),
    ...latentFeeds(batch, given, given, 1),
    picture_rows: tensor('f32', [pictures.length / width, width], pictures),
  });
}

/** Mean cross-entropy of all labels, in doubles, from the logits of a trace. */
function lossOf(
  rows: readonly TraceRow[],
  logits_V: (row: number, at: number) => Float32Array,
): number {
  const losses = rows.flatMap(({ row }, b) =>
    row.labels.flatMap((label, at) => {
      if (label < 0) return [];
      const logits = logits_V(b, at - 1);
      const top = Math.max(...logits);
      const total = logits.reduce((sum, x) => sum + Math.exp(x - top), 0);
      return [Math.log(total) + top - (logits[label] ?? NaN)];
    }),
  );
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

describe.each(Object.entries(CASES))('the golden trace: %s', (name, options) => {
  it('is the same in training, cached and uncached decoding, at every position', async () => {
    const model = await miniGapModel(options);
    const { bundle } = model;
    const { latentStart, latentPad, latentEnd } = bundle.sequence;
    const drafts = draftRows(bundle, new Rng('rows'));
    const cached = await walkCached(model, drafts);
    await using trace = await Trace.create(model);
    const uncached = await walkUncached(trace, drafts, latentPad);
    const rows = drafts.map((draft, b) => ({
      ...draft,
      latents_LD: flat(cached.latents[b] ?? []),
    }));
    const trained = await trace.run(rows);

    let compared = 0;
    for (const [b, { row }] of drafts.entries()) {
      for (let at = row.numPromptTokens - 1; at < row.inputIds.length; at++) {
        const expected: Seen = {
          state: trained.state_D(b, at),
          logits: trained.logits_V(b, at),
          predicted: trained.latent_D(b, at),
        };
        expectSame(`cached ${name} row ${b} position ${at}`, cached.seen[b]?.get(at), expected);
        expectSame(`uncached ${name} row ${b} position ${at}`, uncached.seen[b]?.get(at), expected);
        compared += 1;
      }
    }
    expect(compared).toBe(
      drafts.reduce((sum, { row }) => sum + row.inputIds.length - row.numPromptTokens + 1, 0),
    );

    // Inputs: start and end are their own embeddings, latents what was read back.
    const table = bundle.checkpoint.weights.get('model.embed_tokens.weight').data;
    const width = bundle.checkpoint.config.text.hiddenSize;
    for (const [b, { row }] of rows.entries()) {
      let latent = 0;
      for (const [at, id] of row.inputIds.entries()) {
        const own = table.subarray(id * width, (id + 1) * width);
        if (id === latentStart || id === latentEnd) expect(trained.inputs_D(b, at)).toEqual(own);
        if (id !== latentPad) continue;
        expect(trained.inputs_D(b, at)).toEqual(cached.latents[b]?.[latent]);
        latent += 1;
      }
      expect(latent).toBe(row.spans.length * MINI_LATENTS);
    }

    // The objective predicts each latent from the state before it: a fixed point of free running.
    const objective = await runObjective(model, rows);
    const predicted = objective['predicted_latents']?.data as Float32Array;
    const error = relativeError(predicted, flat(rows.map((row) => row.latents_LD)));
    expect(worst.note('objective predicted', name, error)).toBeLessThan(TOLERANCE);
    expect(Number(objective['latent_loss']?.data[0])).toBeLessThan(1e-8);
    const loss = Number(objective['language_loss']?.data[0]);
    expect(relativeError([loss], [lossOf(rows, trained.logits_V)])).toBeLessThan(TOLERANCE);
  });

  it('is what free decoding of a batch wrote, token by token and latent by latent', async () => {
    const model = await miniGapModel(options);
    const { bundle } = model;
    const rng = new Rng('prompts');
    const width = bundle.checkpoint.config.text.hiddenSize;
    const prompts = Array.from({ length: 16 }, (_, i) => {
      const grids: GridThw[] =
        i % 3 === 0
          ? []
          : i % 3 === 1
            ? [[1, 4, 2]]
            : [
                [1, 2, 2],
                [1, 2, 4],
              ];
      const ids = promptIds(bundle, i % 2 === 0 ? 'what is it' : 'red', grids);
      const numPictures = ids.filter((id) => id === bundle.sequence.imagePad).length;
      return { promptIds: ids, grids, pictureRows_MD: randomRows(rng, numPictures * width) };
    });
    await using decoder = await Decoder.create(model, SESSION);
    const results = await generateBatch(
      decoder,
      prompts.map((prompt, i) => ({ ...prompt, rng: new Rng(`row ${i}`) })),
      {
        numLatents: MINI_LATENTS,
        maxNewTokens: 48,
        temperature: 2,
        intervention: { kind: 'clean' },
        calibration: { kind: 'none' },
      },
    );
    // Rows that were cut inside a span have no training row.
    const whole = results.flatMap((result, i) => {
      const prompt = prompts[i];
      const opened = result.ids.filter((id) => id === bundle.sequence.latentStart).length;
      return prompt && opened === result.numSpans && result.ids.length > 0
        ? [{ prompt, result, label: `row ${i}` }]
        : [];
    });
    const rows = whole.map(({ prompt, result }) => ({
      row: assembleRow(prompt.promptIds, result.ids, bundle.sequence),
      grids: prompt.grids,
      pictureRows_MD: prompt.pictureRows_MD,
      latents_LD: flat(result.latents),
    }));
    expect(rows.filter(({ row }) => row.spans.length > 0).length).toBeGreaterThan(2);
    expect(rows.some(({ row }) => row.spans.length > 1)).toBe(true);
    await using trace = await Trace.create(model);
    const trained = await trace.run(rows);
    for (const [b, { row }] of rows.entries()) {
      // The same draws from the logits of the plain run give the same words.
      const draws = new Rng(whole[b]?.label ?? '');
      const { imagePad, latentStart, latentPad, latentEnd } = bundle.sequence;
      const end = row.inputIds.length - (whole[b]?.result.finished === true ? 0 : 1);
      for (let at = row.numPromptTokens; at < end; at++) {
        const id = row.inputIds[at] ?? NaN;
        if (id === latentPad || id === latentEnd) continue;
        const banned = [imagePad, latentPad, latentEnd];
        const drawn = sampleToken(trained.logits_V(b, at - 1), { temperature: 2 }, draws, {
          banned,
        });
        expect(drawn, `row ${b} position ${at}, span starts are ${latentStart}`).toBe(id);
      }
      let latent = 0;
      for (const { start, length } of row.spans) {
        for (let at = start; at < start + length; at++) {
          const wrote = whole[b]?.result.latents[latent] ?? [];
          const error = relativeError(trained.latent_D(b, at - 1), wrote);
          expect(
            worst.note('free latents', `${name} row ${b}`, error),
            `row ${b} latent ${latent}`,
          ).toBeLessThan(TOLERANCE);
          const norm = Math.hypot(...trained.state_D(b, at - 1));
          expect(relativeError([whole[b]?.result.stateNorms[latent] ?? NaN], [norm])).toBeLessThan(
            TOLERANCE,
          );
          latent += 1;
        }
      }
      expect(latent).toBe(whole[b]?.result.latents.length);
    }
  });
});

describe('the tables of a row with two spans', () => {
  it('hold the state at start to latent 1 and the state at latent K to <|latent_end|>', async () => {
    const { bundle } = await miniGapModel({});
    const { latentStart, latentPad, latentEnd } = bundle.sequence;
    const drafts = draftRows(bundle, new Rng('rows')).slice(0, 2);
    const batch = batchRows(
      drafts.map(({ row }) => row),
      { padId: bundle.padId, side: 'right', multiple: 8 },
    );
    const ids = [...batch.inputIds_BT];
    const starts = ids.flatMap((id, place) => (id === latentStart ? [place] : []));
    expect(starts).toHaveLength(4);
    const spans = starts.map((start) => Array.from({ length: MINI_LATENTS }, (_, i) => start + i));
    expect([...batch.latentStates_L]).toEqual(spans.flat());
    expect([...batch.latentInputs_L]).toEqual(spans.flat().map((place) => place + 1));
    const feeds = textFeeds(
      batch,
      drafts.flatMap(({ grids }) => grids),
      positionConfig(bundle),
    );
    const [states, labels] = ['labels_to', 'label_ids'].map((key) =>
      Array.from(feeds[key]?.data ?? [], Number),
    );
    const labelAt = new Map(states?.map((place, i) => [place, labels?.[i]]));
    for (const start of starts) {
      expect(labelAt.get(start - 1)).toBe(latentStart);
      for (let i = 0; i < MINI_LATENTS; i++) expect(labelAt.has(start + i)).toBe(false);
      expect(labelAt.get(start + MINI_LATENTS)).toBe(latentEnd);
      expect(ids[start + MINI_LATENTS]).toBe(latentPad);
    }
  });
});

afterAll(() => {
  console.info(`largest differences along the trace: ${worst.summary()}`);
  expect(countLiveSessions()).toBe(0);
});
