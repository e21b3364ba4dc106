// Tests batches of unlike rows: every row gets what it gets alone, penalties, stops and ends included.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRaster } from '../../../src/data/raster.ts';
import type { Raster } from '../../../src/data/raster.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import { generateBatch, generateEvents } from '../../../src/generate/generate.ts';
import type {
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from '../../../src/generate/generate.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { promptIds } from '../../../src/model/bundle.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { rasterGrid } from '../../../src/processor/patches.ts';
import { Rng } from '../../../src/rng.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { MINI_WORDS } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const GREEDY: GenerationSettings = {
  numLatents: MINI_LATENTS,
  maxNewTokens: 40,
  temperature: 0,
  intervention: { kind: 'clean' },
  calibration: { kind: 'none' },
};

/** Height and width of the pictures of each row in merged tokens of 8 x 8 pixels. */
const ROWS: readonly (readonly (readonly [number, number])[])[] = [
  [[2, 3]],
  [],
  [
    [1, 1],
    [4, 2],
  ],
  [[6, 5]],
  [],
  [
    [3, 3],
    [3, 3],
  ],
  [[1, 7]],
  [[2, 3]],
];

function noisePicture([height, width]: readonly [number, number], rng: Rng): Raster {
  const picture = createRaster(8 * width, 8 * height, [0, 0, 0]);
  for (let i = 0; i < picture.data.length; i++) picture.data[i] = rng.int(256);
  return picture;
}

async function makeRequests(model: GapModel): Promise<GenerationRequest[]> {
  await using encoder = new PictureEncoder(model.bundle, SESSION);
  const rng = new Rng('rows');
  const requests: GenerationRequest[] = [];
  for (const [i, sizes] of ROWS.entries()) {
    const pictures = sizes.map((size) => noisePicture(size, rng));
    const grids = pictures.map((picture) => rasterGrid(picture, model.bundle.patches));
    const question = Array.from({ length: 1 + 3 * (i % 4) }, () => rng.pick(MINI_WORDS)).join(' ');
    requests.push({
      promptIds: promptIds(model.bundle, question, grids, i % 3 === 0 ? 'it is one' : undefined),
      grids,
      pictureRows_MD: await encoder.encode(pictures),
      rng: new Rng(`row ${i}`),
    });
  }
  return requests;
}

describe('a batch of rows of different lengths and pictures', () => {
  let model: GapModel;
  let decoder: Decoder;
  let requests: GenerationRequest[];
  const sessionsBefore = countLiveSessions();

  const alone = async (settings: GenerationSettings): Promise<GenerationResult[]> => {
    const results: GenerationResult[] = [];
    for (const request of requests) {
      results.push(...(await generateBatch(decoder, [request], settings)));
    }
    return results;
  };
  const words = (results: readonly GenerationResult[]) =>
    results.map(({ ids, finished, stop }) => ({ ids, finished, stop }));

  beforeAll(async () => {
    model = await miniGapModel({ heads: 4, kvHeads: 2, tied: false, seed: 11 });
    decoder = await Decoder.create(model, SESSION);
    requests = await makeRequests(model);
  });
  afterAll(async () => {
    await decoder[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(sessionsBefore);
  });

  it('has rows of many lengths', () => {
    expect(new Set(requests.map((request) => request.promptIds.length)).size).toBeGreaterThan(5);
  });

  it.each([1, 1.05, 1.3])(
    'decodes token by token what its rows give alone, at repetition penalty %d',
    async (repetitionPenalty) => {
      const settings = { ...GREEDY, repetitionPenalty };
      const batch = await generateBatch(decoder, requests, settings);
      expect(words(batch)).toEqual(words(await alone(settings)));
      // Rows differ, so that one row's tokens in another's place would show.
      expect(new Set(batch.map(({ ids }) => ids.join())).size).toBeGreaterThan(4);
    },
  );

  it.each([1, 3, 7])(
    'writes the same when prompts are read %d tokens at a time',
    async (tokens) => {
      const whole = await generateBatch(decoder, requests, GREEDY);
      await using patient = await Decoder.create(model, { ...SESSION, prefillTokens: tokens });
      const pieces = await generateBatch(patient, requests, GREEDY);
      expect(words(pieces)).toEqual(words(whole));
      for (const [row, { latents }] of whole.entries()) {
        const found = pieces[row]?.latents ?? [];
        expect(found).toHaveLength(latents.length);
        latents.forEach((latent, i) => {
          expect(relativeError(found[i] ?? [], latent)).toBeLessThan(1e-4);
        });
      }
    },
  );

  it('stops between two pieces of a prompt when asked to', async () => {
    await using patient = await Decoder.create(model, { ...SESSION, prefillTokens: 2 });
    const controller = new AbortController();
    const events = generateEvents(patient, requests, GREEDY, controller.signal);
    const first = events.next();
    controller.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
  });

  it('penalises what was written before, which gives other words', async () => {
    const plain = await generateBatch(decoder, requests, GREEDY);
    const penalised = await generateBatch(decoder, requests, { ...GREEDY, repetitionPenalty: 1.3 });
    const variety = (results: readonly GenerationResult[]): number =>
      results.reduce((sum, { ids }) => sum + new Set(ids).size / ids.length, 0);
    expect(variety(penalised)).toBeGreaterThan(variety(plain));
  });

  it('ends every row at its own stop string, and lets the others go on', async () => {
    const plain = await generateBatch(decoder, requests, GREEDY);
    const { tokenizer, sequence } = model.bundle;
    const special: readonly number[] = Object.values(sequence);
    const isWord = (id: number | undefined): boolean => id !== undefined && !special.includes(id);
    // Two words of one row, one after the other.
    const pairs = plain.map(({ ids }) =>
      ids.findIndex((id, i) => i > 0 && isWord(id) && isWord(ids[i + 1])),
    );
    const row = pairs.findIndex((at) => at > 0);
    const at = pairs[row] ?? 0;
    const stop = [tokenizer.decode(plain[row]?.ids.slice(at, at + 2) ?? [])];
    const settings = { ...GREEDY, stop };
    const batch = await generateBatch(decoder, requests, settings);
    expect(words(batch)).toEqual(words(await alone(settings)));
    expect(batch[row]).toMatchObject({ finished: true, stop: stop[0] });
    expect(batch[row]?.ids).toEqual(plain[row]?.ids.slice(0, at + 2));
    let numUntouched = 0;
    batch.forEach(({ ids, stop: found }, i) => {
      expect(plain[i]?.ids.slice(0, ids.length)).toEqual(ids);
      if (found === undefined) {
        expect(ids).toEqual(plain[i]?.ids);
        numUntouched += 1;
      } else expect(tokenizer.decode(ids)).toContain(found);
    });
    expect(numUntouched).toBeGreaterThan(0);
  });

  it('ends at every token that generation_config.json names', async () => {
    const plain = await generateBatch(decoder, requests, GREEDY);
    const special: readonly number[] = Object.values(model.bundle.sequence);
    const end = plain[0]?.ids.find((id, i) => i > 0 && !special.includes(id)) ?? -1;
    const generation = {
      ...{ temperature: 0, topK: 50, topP: 1, repetitionPenalty: 1, stop: [] },
      endIds: [end],
    };
    const ending = { ...model, bundle: { ...model.bundle, generation } };
    await using own = await Decoder.create(ending, SESSION);
    const batch = await generateBatch(own, requests, GREEDY);
    batch.forEach(({ ids, finished }, i) => {
      const before = plain[i]?.ids ?? [];
      const at = before.indexOf(end);
      expect(ids).toEqual(at < 0 ? before : before.slice(0, at));
      expect(finished).toBe(at >= 0 || plain[i]?.finished);
    });
    expect(batch[0]?.finished).toBe(true);
  });

  it('with a top-k of 1 is greedy at any temperature', async () => {
    const sampled = await generateBatch(decoder, requests, { ...GREEDY, temperature: 3, topK: 1 });
    expect(words(sampled)).toEqual(words(await generateBatch(decoder, requests, GREEDY)));
  });
});

describe('an aborted signal', () => {
  it('stops before anything is read, and within one token afterwards', async () => {
    const before = countLiveSessions();
    const model = await miniGapModel({ seed: 11 });
    const requests = await makeRequests(model);
    const reason = new Error('enough');
    const stop = new AbortController();
    const run = async (limit: number): Promise<number> => {
      await using decoder = await Decoder.create(model, SESSION);
      let numSteps = 0;
      const counted = Object.create(decoder, {
        start: {
          value: async (...args: Parameters<Decoder['start']>) => {
            numSteps += 1;
            const batch = await decoder.start(...args);
            if (numSteps === limit) stop.abort(reason);
            return {
              ...batch,
              step: (inputs: Parameters<typeof batch.step>[0]) => {
                numSteps += 1;
                if (numSteps === limit) stop.abort(reason);
                return batch.step(inputs);
              },
            };
          },
        },
      }) as Decoder;
      const read = async (): Promise<void> => {
        for await (const event of generateEvents(counted, requests, GREEDY, stop.signal)) {
          expect(numSteps).toBeLessThanOrEqual(Math.max(limit, 1));
          if (event.kind === 'end') break;
        }
      };
      await expect(read()).rejects.toBe(reason);
      return numSteps;
    };
    // During the prompt, nothing is drawn from it; afterwards nothing is computed.
    expect(await run(1)).toBe(1);
    expect(await run(0)).toBe(0);
    expect(countLiveSessions()).toBe(before);
  });

  it('stops in the middle of a response, and sessions are given back', async () => {
    const before = countLiveSessions();
    const model = await miniGapModel({ seed: 11 });
    const requests = await makeRequests(model);
    const reason = new Error('enough');
    const stop = new AbortController();
    let numTokens = 0;
    const run = async (): Promise<void> => {
      await using decoder = await Decoder.create(model, SESSION);
      for await (const event of generateEvents(decoder, requests, GREEDY, stop.signal)) {
        if (event.row === 0) numTokens += 1;
        if (numTokens === 3) stop.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    expect(numTokens).toBe(3);
    expect(countLiveSessions()).toBe(before);
  });
});
