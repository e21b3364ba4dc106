// Tests batches that wait at the start of spans, forks of them, and responses with a given beginning.
// Axes: D hidden, K latents of a span.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShapeError } from '../../../src/errors.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import { generateBatch } from '../../../src/generate/generate.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from '../../../src/generate/generate.ts';
import { advanceRun, forkRun, heldRows, openRun, runResults } from '../../../src/generate/run.ts';
import type { DecodingRun } from '../../../src/generate/run.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { promptIds } from '../../../src/model/bundle.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import { Rng } from '../../../src/rng.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const NUM_ROWS = 24;
const SETTINGS: GenerationSettings = {
  numLatents: MINI_LATENTS,
  maxNewTokens: 40,
  temperature: 1.5,
  intervention: { kind: 'clean' },
  calibration: { kind: 'none' },
  keepAfterSpan: true,
};

describe('a batch on its way', () => {
  let model: GapModel;
  let decoder: Decoder;
  let clean: GenerationResult[];

  const requests = (): GenerationRequest[] => {
    const rng = new Rng('prompts');
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    return Array.from({ length: NUM_ROWS }, (_, i) => {
      const grids: GridThw[] = i % 3 === 0 ? [] : [[1, 4, 2]];
      const ids = promptIds(model.bundle, i % 2 === 0 ? 'what is it' : 'red', grids);
      const numTokens = ids.filter((id) => id === model.bundle.sequence.imagePad).length;
      const pictureRows_MD = randomRows(rng, numTokens * width);
      return { promptIds: ids, grids, pictureRows_MD, rng: new Rng(`row ${i}`) };
    });
  };

  const advance = async (
    run: DecodingRun,
    change: Partial<GenerationSettings> = {},
    until?: 'span',
  ): Promise<GenerationEvent[]> => {
    const events: GenerationEvent[] = [];
    const settings = { ...SETTINGS, ...change };
    for await (const event of advanceRun(run, settings, until ? { until } : {})) events.push(event);
    return events;
  };

  const paused = async (change: Partial<GenerationSettings> = {}): Promise<DecodingRun> => {
    const run = await openRun(decoder, requests(), SETTINGS);
    await advance(run, change, 'span');
    return run;
  };

  beforeAll(async () => {
    model = await miniGapModel({ heads: 2, kvHeads: 1, tied: false, seed: 4 });
    decoder = await Decoder.create(model, SESSION);
    clean = await generateBatch(decoder, requests(), SETTINGS);
  });
  afterAll(async () => {
    await decoder[Symbol.asyncDispose]();
  });

  it('holds exactly the rows that go on to write a span, before anything of it is written', async () => {
    const run = await paused();
    const held = heldRows(run);
    const { latentStart } = model.bundle.sequence;
    expect(held).toEqual(clean.map(({ ids }) => ids.includes(latentStart)));
    expect(held.filter(Boolean).length).toBeGreaterThan(3);
    expect(held.filter((x) => !x).length).toBeGreaterThan(0);
    runResults(run).forEach(({ ids }, i) => {
      expect(ids).not.toContain(latentStart);
      if (!held[i]) expect(ids).toEqual(clean[i]?.ids);
    });
  });

  it('goes on to the very bits of a run that never waited, as often as it is forked', async () => {
    const run = await paused();
    const first = forkRun(run);
    await advance(first);
    const second = forkRun(run);
    await advance(second, { intervention: { kind: 'noise', law: 'unit' } });
    await advance(run);
    expect(runResults(first)).toEqual(clean);
    expect(runResults(run)).toEqual(clean);
    expect(runResults(second)).not.toEqual(clean);
  });

  it('reads given vectors in the place of its own, and the own ones back to the same bits', async () => {
    const run = await paused();
    const own = clean.map(({ latents }) =>
      latents.length === 0 ? undefined : Float32Array.from(latents.flatMap((row) => [...row])),
    );
    const identity = forkRun(run, own);
    await advance(identity, { intervention: { kind: 'given' } });
    expect(runResults(identity)).toEqual(clean);
    const zeros = forkRun(
      run,
      own.map((rows) => (rows ?? new Float32Array(8)).map(() => 0)),
    );
    await advance(zeros, { intervention: { kind: 'given' } });
    runResults(zeros).forEach(({ latents, afterSpan_V }, i) => {
      if ((clean[i]?.latents.length ?? 0) < MINI_LATENTS) return;
      expect(latents.slice(0, MINI_LATENTS).every((row) => row.every((x) => x === 0))).toBe(true);
      if (clean[i]?.afterSpan_V) expect(afterSpan_V).not.toEqual(clean[i].afterSpan_V);
    });
  });

  it('forces the first latents of a row and leaves it the rest', async () => {
    const run = await paused();
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    const given = clean.map(() => randomRows(new Rng('given'), MINI_LATENTS * width));
    const forced = forkRun(run, given);
    await advance(forced, { intervention: { kind: 'forced', count: 2 } });
    const all = forkRun(run, given);
    await advance(all, { intervention: { kind: 'given' } });
    let seen = 0;
    runResults(forced).forEach(({ latents }, i) => {
      if ((clean[i]?.latents.length ?? 0) < MINI_LATENTS) return;
      const wanted = runResults(all)[i]?.latents ?? [];
      expect(latents.slice(0, 2)).toEqual(wanted.slice(0, 2));
      expect(latents.slice(2, 4)).not.toEqual(wanted.slice(2, 4));
      seen += 1;
    });
    expect(seen).toBeGreaterThan(3);
    const none = forkRun(run, given);
    await advance(none, { intervention: { kind: 'forced', count: 0 } });
    expect(runResults(none)).toEqual(clean);
  });

  it('lets a waiting row go another way: no span at all, or its marks alone', async () => {
    const run = await paused();
    const held = heldRows(run);
    const { latentStart, latentEnd } = model.bundle.sequence;
    const suppressed = forkRun(run);
    await advance(suppressed, { intervention: { kind: 'zero-latent' } });
    const marks = forkRun(run);
    await advance(marks, { numLatents: 0 });
    runResults(suppressed).forEach(({ ids }) => {
      expect(ids).not.toContain(latentStart);
    });
    runResults(marks).forEach(({ ids, latents }, i) => {
      expect(latents).toEqual([]);
      const at = ids.indexOf(latentStart);
      if (held[i] && at + 1 < ids.length) expect(ids[at + 1]).toBe(latentEnd);
    });
  });

  it('keeps the logits behind the first span, those the next token is drawn from', async () => {
    const greedy = await generateBatch(decoder, requests(), { ...SETTINGS, temperature: 0 });
    const { latentEnd } = model.bundle.sequence;
    let seen = 0;
    for (const { ids, afterSpan_V } of greedy) {
      const at = ids.indexOf(latentEnd);
      if (at < 0) {
        expect(afterSpan_V).toBeUndefined();
        continue;
      }
      const next = ids[at + 1];
      if (next === undefined || afterSpan_V === undefined) continue;
      const { imagePad, latentPad } = model.bundle.sequence;
      const allowed = [...afterSpan_V].map((x, id) =>
        [imagePad, latentPad, latentEnd].includes(id) ? -Infinity : x,
      );
      expect(allowed.indexOf(Math.max(...allowed))).toBe(next);
      seen += 1;
    }
    expect(seen).toBeGreaterThan(0);
  });

  it('reads a given beginning as if it had written it', async () => {
    const { latentPad, latentEnd } = model.bundle.sequence;
    const settings = { ...SETTINGS, temperature: 0 };
    const greedy = await generateBatch(decoder, requests(), settings);
    const begun = greedy.map(({ ids, latents }) => {
      const end = ids.indexOf(latentEnd);
      const own = ids.slice(0, end < 0 ? Math.min(2, ids.length) : end + 1);
      return { ids: own, latents: latents.slice(0, own.filter((id) => id === latentPad).length) };
    });
    expect(begun.some(({ latents }) => latents.length > 0)).toBe(true);
    const results = await generateBatch(
      decoder,
      requests().map((request, i) => ({
        ...request,
        prefix: begun[i] ?? { ids: [], latents: [] },
      })),
      settings,
    );
    results.forEach((result, i) => {
      expect(result.ids).toEqual(greedy[i]?.ids);
      expect(result.latents.length).toBe(greedy[i]?.latents.length);
      result.latents.forEach((latent, k) => {
        expect(relativeError(latent, greedy[i]?.latents[k] ?? latent)).toBeLessThan(1e-4);
      });
    });
  });

  it('refuses a beginning with an open span or with too few vectors', async () => {
    const { latentStart, latentPad, latentEnd } = model.bundle.sequence;
    const [request] = requests();
    if (!request) throw new Error('no request');
    for (const ids of [[latentStart], [latentStart, latentPad, latentEnd]]) {
      const prefix = { ids, latents: [] };
      await expect(generateBatch(decoder, [{ ...request, prefix }], SETTINGS)).rejects.toThrow(
        ShapeError,
      );
    }
  });
});
