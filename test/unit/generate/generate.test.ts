// Tests interleaved decoding of random mini models: interventions, limits, batches, streams.
// Axes: D hidden, K latents of a span.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import type { StepInput } from '../../../src/generate/decoder.ts';
import { generateBatch, generateEvents } from '../../../src/generate/generate.ts';
import type { GenerationEvent, GenerationRequest } from '../../../src/generate/generate.ts';
import type { GenerationResult, GenerationSettings } from '../../../src/generate/generate.ts';
import { meanNorm, norm } from '../../../src/latent/feedback.ts';
import type { Calibration, Intervention } from '../../../src/latent/feedback.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { projectOntoPlane } from '../../../src/latent/pca.ts';
import { promptIds } from '../../../src/model/bundle.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import { Rng } from '../../../src/rng.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const NUM_ROWS = 24;
const MAX_NEW_TOKENS = 40;
const SETTINGS: GenerationSettings = {
  numLatents: MINI_LATENTS,
  maxNewTokens: MAX_NEW_TOKENS,
  temperature: 1.5,
  intervention: { kind: 'clean' },
  calibration: { kind: 'none' },
};

/** Prompts about no, one or two pictures; the generators are made anew for every run. */
function makePrompts(model: GapModel): Omit<GenerationRequest, 'rng'>[] {
  const { bundle } = model;
  const rng = new Rng('prompts');
  const width = bundle.checkpoint.config.text.hiddenSize;
  return Array.from({ length: NUM_ROWS }, (_, i) => {
    const grids: GridThw[] =
      i % 4 === 0
        ? []
        : i % 4 === 1
          ? [
              [1, 2, 2],
              [1, 2, 4],
            ]
          : [[1, 4, 2]];
    const ids = promptIds(bundle, i % 3 === 0 ? 'what is it' : 'red', grids);
    const numTokens = ids.filter((id) => id === bundle.sequence.imagePad).length;
    return { promptIds: ids, grids, pictureRows_MD: randomRows(rng, numTokens * width) };
  });
}

describe('decoding a batch', () => {
  let model: GapModel;
  let decoder: Decoder;
  let prompts: Omit<GenerationRequest, 'rng'>[];
  let clean: GenerationResult[];
  const sessionsBefore = countLiveSessions();

  const decode = async (
    change: Partial<GenerationSettings> = {},
    replacements: readonly (Float32Array | undefined)[] = [],
  ): Promise<GenerationResult[]> =>
    generateBatch(
      decoder,
      prompts.map((prompt, i) => {
        const replacement = replacements[i];
        return { ...prompt, rng: new Rng(`row ${i}`), ...(replacement ? { replacement } : {}) };
      }),
      { ...SETTINGS, ...change },
    );

  /** Latents of each row as replacement vectors; rows without any get something. */
  const ownLatents = (results: readonly GenerationResult[]): Float32Array[] =>
    results.map(({ latents }) =>
      latents.length === 0
        ? new Float32Array(model.bundle.checkpoint.config.text.hiddenSize)
        : Float32Array.from(latents.flatMap((latent) => [...latent])),
    );

  beforeAll(async () => {
    // A seed with which greedy decoding opens spans, too.
    model = await miniGapModel({ heads: 2, kvHeads: 1, tied: false, seed: 4 });
    decoder = await Decoder.create(model, SESSION);
    prompts = makePrompts(model);
    clean = await decode();
  });

  afterAll(async () => {
    await decoder[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(sessionsBefore);
  });

  const rowsWithSpans = (): number[] =>
    clean.flatMap(({ numSpans }, i) => (numSpans > 0 ? [i] : []));

  it('writes some rows with spans of exactly K latents, some without', () => {
    const { latentStart, latentPad, latentEnd } = model.bundle.sequence;
    expect(rowsWithSpans().length).toBeGreaterThan(3);
    expect(rowsWithSpans().length).toBeLessThan(NUM_ROWS);
    for (const { ids, latents, stateNorms, numSpans } of clean) {
      const text = ids
        .map((id) => ({ [latentStart]: '[', [latentPad]: '.', [latentEnd]: ']' })[id] ?? 'a')
        .join('');
      expect(text).toMatch(/^(a|\[\.{4}\])*(\[\.{0,4})?$/);
      expect(numSpans).toBe(text.split(']').length - 1);
      expect(latents.length).toBe(text.split('.').length - 1);
      expect(stateNorms.length).toBe(latents.length);
    }
  });

  it('gives cut rows exactly the limit of tokens and finished rows no more', () => {
    expect(clean.some(({ finished }) => finished)).toBe(true);
    expect(clean.some(({ finished }) => !finished)).toBe(true);
    for (const { ids, finished } of clean) {
      if (finished) expect(ids.length).toBeLessThanOrEqual(MAX_NEW_TOKENS);
      else expect(ids.length).toBe(MAX_NEW_TOKENS);
    }
  });

  it('never writes pads, ends or picture tokens by itself', () => {
    const { imagePad, latentPad, latentEnd } = model.bundle.sequence;
    const isOpen = clean.map(({ ids }) => ids.includes(imagePad));
    expect(isOpen).not.toContain(true);
    for (const { ids } of clean) {
      const inside = ids.filter((id, i) => id === latentPad && ids[i - 1] !== latentPad);
      const opened = ids.filter((id) => id === model.bundle.sequence.latentStart);
      expect(inside.length).toBeLessThanOrEqual(opened.length);
      expect(ids[0]).not.toBe(latentEnd);
    }
  });

  it('is the same again with the same generators, bit for bit', async () => {
    expect(await decode()).toEqual(clean);
  });

  it('gives a row alone what it gets in the batch', async () => {
    for (const i of [0, ...rowsWithSpans()].slice(0, 4)) {
      const [alone] = await generateBatch(
        decoder,
        [{ ...(prompts[i] as GenerationRequest), rng: new Rng(`row ${i}`) }],
        SETTINGS,
      );
      expect(alone?.ids).toEqual(clean[i]?.ids);
      alone?.latents.forEach((latent, k) => {
        expect(relativeError(latent, clean[i]?.latents[k] ?? [])).toBeLessThan(1e-4);
      });
    }
  });

  it('gives samples of one prompt what they get with prompts of their own', async () => {
    const prompt = prompts[2] as GenerationRequest;
    const copy = { ...prompt, promptIds: [...prompt.promptIds] };
    const run = (rows: readonly Omit<GenerationRequest, 'rng'>[]): Promise<GenerationResult[]> =>
      generateBatch(
        decoder,
        rows.map((row, i) => ({ ...row, rng: new Rng(`sample ${i}`) })),
        SETTINGS,
      );
    const shared = await run([prompt, prompt, prompt]);
    const apart = await run([prompt, copy, prompt]);
    expect(shared.map(({ ids }) => ids)).toEqual(apart.map(({ ids }) => ids));
    expect(new Set(shared.map(({ ids }) => ids.join())).size).toBe(3);
  });

  it('does not write a span under zero-latent, and what stands before one stays', async () => {
    const { latentStart } = model.bundle.sequence;
    const greedy = await decode({ temperature: 0 });
    const results = await decode({ temperature: 0, intervention: { kind: 'zero-latent' } });
    for (const { ids, latents, numSpans } of results) {
      expect([numSpans, latents.length]).toEqual([0, 0]);
      expect(ids).not.toContain(latentStart);
    }
    const opened = greedy.filter(({ ids }) => ids.includes(latentStart));
    expect(opened.length).toBeGreaterThan(3);
    greedy.forEach(({ ids }, i) => {
      const before = ids.indexOf(latentStart);
      const length = before < 0 ? ids.length : before;
      expect(results[i]?.ids.slice(0, length)).toEqual(ids.slice(0, length));
    });
  });

  it('with other = the own clean latents is clean, bit for bit', async () => {
    const results = await decode({ intervention: { kind: 'other' } }, ownLatents(clean));
    expect(results).toEqual(clean);
  });

  const CHANGES: Readonly<Record<string, readonly [Intervention, Calibration]>> = {
    'noise of variance 1': [{ kind: 'noise', law: 'unit' }, { kind: 'none' }],
    'noise of the spectrum': [{ kind: 'noise', law: 'spectrum' }, { kind: 'none' }],
    'noise of equal norm': [{ kind: 'noise', law: 'norm' }, { kind: 'none' }],
    'latents of another row': [{ kind: 'other' }, { kind: 'none' }],
    'latents of the oracle': [{ kind: 'oracle' }, { kind: 'none' }],
    'EMA calibration': [{ kind: 'clean' }, { kind: 'ema', decay: 0.9 }],
  };

  it.each(Object.entries(CHANGES))(
    '%s changes latents only, and what comes after them',
    async (_name, [intervention, calibration]) => {
      const foreign = ownLatents(clean).map((own) => own.map((x, i) => 2 * x + Math.sin(i)));
      const results = await decode({ intervention, calibration }, foreign);
      let changedTails = 0;
      clean.forEach((own, i) => {
        const found = results[i];
        const start = own.ids.indexOf(model.bundle.sequence.latentStart);
        if (start < 0) {
          expect(found).toEqual(own);
          return;
        }
        // Up to the end of the first span the tokens are the same, and only the latents differ.
        const behind = Math.min(start + MINI_LATENTS + 2, own.ids.length);
        expect(found?.ids.slice(0, behind)).toEqual(own.ids.slice(0, behind));
        if (own.latents.length === 0) return;
        expect(found?.stateNorms[0]).toBe(own.stateNorms[0]);
        // Without a picture the calibration starts from the first latent, which stays as it is.
        const first = calibration.kind === 'ema' && prompts[i]?.grids.length === 0 ? 1 : 0;
        const [now, then] = [found?.latents[first], own.latents[first]];
        if (then) expect(relativeError(now ?? [], then)).toBeGreaterThan(1e-3);
        if (found?.ids.join() !== own.ids.join()) changedTails += 1;
      });
      expect(changedTails).toBeGreaterThan(0);
    },
  );

  it('calibrates the first latent of a row to the mean norm of its picture', async () => {
    const results = await decode({ calibration: { kind: 'ema', decay: 0.99 } });
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    for (const i of rowsWithSpans()) {
      const picture = meanNorm(prompts[i]?.pictureRows_MD ?? new Float32Array(0), width);
      const first = norm(results[i]?.latents[0] ?? new Float32Array(0));
      if (picture > 0) expect(first).toBeCloseTo(picture, 4);
      else expect(first).toBeGreaterThan(0);
    }
  });

  it('writes latents of a PCA head on the plane of the basis', () => {
    const { basis } = model.head;
    if (!basis) throw new Error('the mini model has a basis');
    for (const i of rowsWithSpans()) {
      for (const latent of clean[i]?.latents ?? []) {
        expect(relativeError(projectOntoPlane(basis, latent), latent)).toBeLessThan(1e-5);
      }
    }
  });

  it('refuses other without latents to write', async () => {
    await expect(decode({ intervention: { kind: 'other' } })).rejects.toThrow(RuntimeError);
  });

  it('writes the marks alone at K = 0', async () => {
    const results = await decode({ numLatents: 0 });
    const { latentStart, latentEnd } = model.bundle.sequence;
    expect(results.some(({ numSpans }) => numSpans > 0)).toBe(true);
    for (const { ids, latents } of results) {
      expect(latents).toEqual([]);
      ids.forEach((id, i) => {
        if (id === latentEnd) expect(ids[i - 1]).toBe(latentStart);
      });
    }
  });

  it('streams every token and latent in order, and one end a row after which nothing comes', async () => {
    const events: GenerationEvent[] = [];
    const requests = prompts.map((prompt, i) => ({ ...prompt, rng: new Rng(`row ${i}`) }));
    for await (const event of generateEvents(decoder, requests, SETTINGS)) events.push(event);
    clean.forEach((own, i) => {
      const mine = events.filter(({ row }) => row === i);
      expect(mine.at(-1)).toEqual({ row: i, kind: 'end', finished: own.finished });
      const ids = mine.slice(0, -1).map((event) => {
        if (event.kind === 'end') throw new Error('a row ends once');
        return event.kind === 'token' ? event.id : model.bundle.sequence.latentPad;
      });
      expect(ids).toEqual(own.ids);
    });
  });

  it('stops with the reason of an aborted signal', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const requests = prompts.map((prompt, i) => ({ ...prompt, rng: new Rng(`row ${i}`) }));
    let seen = 0;
    const run = async (): Promise<void> => {
      for await (const _event of generateEvents(decoder, requests, SETTINGS, stop.signal)) {
        seen += 1;
        if (seen === 2 * NUM_ROWS) stop.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    expect(seen).toBeLessThanOrEqual(3 * NUM_ROWS);
  });

  it('reads latents: other vectors in a span give other logits right after it', async () => {
    const { bundle } = model;
    const width = bundle.checkpoint.config.text.hiddenSize;
    const ids = promptIds(bundle, 'red', []);
    const { latentStart, latentPad, latentEnd } = bundle.sequence;
    const flatPositions = Int32Array.from([0, 1, 2].flatMap(() => [...ids.keys()]));
    const logitsAfter = async (latents: readonly Float32Array[]): Promise<Float32Array> => {
      const row = {
        ids,
        positions_3T: flatPositions,
        given_ND: new Float32Array(0),
        givenPlaces: [],
      };
      const batch = await decoder.start([row], 10);
      let { output } = batch;
      const inputs: Omit<StepInput, 'position'>[] = [
        { id: latentStart, active: true },
        ...latents.map((latent) => ({ id: latentPad, latent, active: true })),
        { id: latentEnd, active: true },
      ];
      for (const [i, input] of inputs.entries()) {
        const at = ids.length + i;
        output = await batch.step([{ ...input, position: [at, at, at] }]);
      }
      return output.logits_BV;
    };
    const rng = new Rng('latents');
    const own = Array.from({ length: MINI_LATENTS }, () => randomRows(rng, width));
    const logits = await logitsAfter(own);
    expect(await logitsAfter(own)).toEqual(logits);
    const others = own.map((latent, i) => (i === 1 ? randomRows(rng, width) : latent));
    expect(relativeError(await logitsAfter(others), logits)).toBeGreaterThan(1e-3);
  });
});
