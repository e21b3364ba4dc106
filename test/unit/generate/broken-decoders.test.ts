// Tests that the decoders which are broken on purpose are broken in the one way they say.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Decoder } from '../../../src/generate/decoder.ts';
import type { StepDecoder } from '../../../src/generate/decoder.ts';
import type { GenerationRequest, GenerationResult } from '../../../src/generate/generate.ts';
import { advanceRun, forkRun, openRun, runResults } from '../../../src/generate/run.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { promptIds } from '../../../src/model/bundle.ts';
import { Rng } from '../../../src/rng.ts';
import { withBrokenInjection, withIgnoredEdits } from '../../helpers/broken-decoders.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { randomRows } from '../../helpers/mini-model.ts';

const NUM_ROWS = 16;
const SETTINGS = {
  numLatents: MINI_LATENTS,
  maxNewTokens: 30,
  temperature: 1.5,
  intervention: { kind: 'clean' },
  calibration: { kind: 'none' },
  keepAfterSpan: true,
} as const;

describe('a decoder that is broken on purpose', () => {
  let model: GapModel;
  let decoder: Decoder;
  let width: number;

  const requests = (): GenerationRequest[] =>
    Array.from({ length: NUM_ROWS }, (_, i) => {
      const ids = promptIds(model.bundle, i % 2 === 0 ? 'what is it' : 'red', [[1, 4, 2]]);
      const pictureRows_MD = randomRows(new Rng(`picture ${i}`), 2 * width);
      return { promptIds: ids, grids: [[1, 4, 2]], pictureRows_MD, rng: new Rng(`row ${i}`) };
    });

  /** Rows that go on from the start of their spans, clean or with given vectors. */
  const decode = async (
    broken: StepDecoder,
    given: readonly (Float32Array | undefined)[] = [],
  ): Promise<GenerationResult[]> => {
    const run = await openRun(broken, requests(), SETTINGS);
    for await (const _ of advanceRun(run, SETTINGS, { until: 'span' }));
    const fork = forkRun(run, given);
    const intervention = { kind: given.length > 0 ? 'given' : 'clean' } as const;
    for await (const _ of advanceRun(fork, { ...SETTINGS, intervention }));
    return runResults(fork);
  };
  const vectors = (seed: string): Float32Array[] =>
    requests().map(() => randomRows(new Rng(seed), MINI_LATENTS * width));
  const texts = (results: readonly GenerationResult[]): unknown[] =>
    results.map(({ ids, afterSpan_V }) => [ids, afterSpan_V]);

  beforeAll(async () => {
    model = await miniGapModel({ heads: 2, kvHeads: 1, tied: false, seed: 4 });
    width = model.bundle.checkpoint.config.text.hiddenSize;
    decoder = await Decoder.create(model, SESSION);
  });
  afterAll(async () => {
    await decoder[Symbol.asyncDispose]();
  });

  it('by its injection writes the same whatever vectors it is given, and not what a sound one does', async () => {
    const broken = withBrokenInjection(decoder);
    const clean = await decode(broken);
    expect(clean.filter(({ afterSpan_V }) => afterSpan_V !== undefined).length).toBeGreaterThan(3);
    expect(texts(await decode(broken, vectors('one')))).toEqual(texts(clean));
    expect(texts(clean)).not.toEqual(texts(await decode(decoder)));
  });

  it('by its replacement writes what a sound one does, whatever it is told to read instead', async () => {
    const broken = withIgnoredEdits(decoder);
    const clean = await decode(decoder);
    expect(await decode(broken)).toEqual(clean);
    expect(texts(await decode(broken, vectors('one')))).toEqual(texts(clean));
    expect(texts(await decode(decoder, vectors('one')))).not.toEqual(texts(clean));
  });

  it('by its injection ignores the latents of a given beginning too, and reads its pictures', async () => {
    const broken = withBrokenInjection(decoder);
    const { latentStart, latentPad, latentEnd } = model.bundle.sequence;
    const ids = [latentStart, ...Array<number>(MINI_LATENTS).fill(latentPad), latentEnd];
    const begun = async (by: StepDecoder, seed: string, picture: string): Promise<unknown> => {
      const rows = requests().map((request, i) => ({
        ...request,
        pictureRows_MD: randomRows(new Rng(`${picture} ${i}`), 2 * width),
        prefix: {
          ids,
          latents: Array.from({ length: MINI_LATENTS }, (_, k) =>
            randomRows(new Rng(`${seed} ${k}`), width),
          ),
        },
      }));
      return [...(await openRun(by, rows, SETTINGS)).output.logits_BV];
    };
    expect(await begun(broken, 'one', 'a')).toEqual(await begun(broken, 'two', 'a'));
    expect(await begun(broken, 'one', 'a')).not.toEqual(await begun(broken, 'one', 'b'));
    expect(await begun(decoder, 'one', 'a')).not.toEqual(await begun(decoder, 'two', 'a'));
  });
});
