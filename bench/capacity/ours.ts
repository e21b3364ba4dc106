// Owns our side of bench/capacity.ts: sampled answers from pictures and questions; last line JSON.
import { prepareExamples } from '../../src/context/prepared.ts';
import type { Raster } from '../../src/data/raster.ts';
import { scorePrepared } from '../../src/evaluate/capacity-run.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import { generateBatch } from '../../src/generate/generate.ts';
import type { GenerationSettings } from '../../src/generate/request.ts';
import { PictureEncoder } from '../../src/model/picture-encoder.ts';
import { Rng } from '../../src/rng.ts';
import { peakBytes } from '../decode/peak.ts';
import type { Side } from '../sides/rounds.ts';
import { NEW_TOKENS, SAMPLES, drawQuestions, openEndless } from './questions.ts';

/** What a child process measures. */
export interface CapacityWork {
  readonly threads: number;
  /** Questions of a batch. */
  readonly cases: readonly string[];
  /** Batches by case. */
  readonly calls: Readonly<Record<string, number>>;
}

async function measure({ threads, cases, calls }: CapacityWork): Promise<Side> {
  const questions = drawQuestions();
  const model = await openEndless();
  await using encoder = new PictureEncoder(model.bundle, { threads });
  await using decoder = await Decoder.create(model, { threads });
  const prepare = (count: number): ReturnType<typeof prepareExamples> => {
    const examples = questions.slice(0, count);
    return prepareExamples(model.bundle, encoder, examples, {
      load: (_, i) => Promise.resolve(questions[i] as { readonly picture: Raster }),
    });
  };
  const [first] = await prepare(1);
  if (!first) throw new Error('there is no question');
  const request = { promptIds: first.promptIds, grids: [first.grid], rng: new Rng(1) };
  const settings: GenerationSettings = {
    ...{ numLatents: 0, maxNewTokens: NEW_TOKENS, temperature: 1 },
    intervention: { kind: 'clean' },
    calibration: { kind: 'none' },
  };
  const rows = { pictureRows_MD: first.pictureRows_MD };
  const [answer] = await generateBatch(decoder, [{ ...request, ...rows }], settings);
  if (answer?.ids.length !== NEW_TOKENS) throw new Error('an answer ended early');
  const ms: Record<string, number[]> = {};
  const score = async (name: string, call: number): Promise<void> => {
    const sampling = { samples: SAMPLES, temperature: 1, maxNewTokens: NEW_TOKENS, seed: call };
    await scorePrepared(decoder, await prepare(Number(name)), sampling);
  };
  for (const name of cases) {
    await score(name, 0);
    ms[name] = [];
    for (let call = 1; call <= (calls[name] ?? 1); call++) {
      const before = performance.now();
      await score(name, call);
      ms[name].push((performance.now() - before) / Number(name));
    }
  }
  return { ms, peakBytes: peakBytes() };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? '') as CapacityWork)));
