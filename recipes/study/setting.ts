// Owns what all jobs of one seed share: base, examples, capacity scores, moments; made once, kept on disk.
import { createHash } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PRETRAIN_DEFAULTS } from '../../src/config.ts';
import type { CapacityScore } from '../../src/capacity/assignment.ts';
import { prepareExamples } from '../../src/context/prepared.ts';
import type { PreparedExample } from '../../src/context/prepared.ts';
import type { Split } from '../../src/data/example.ts';
import { sampleExamples } from '../../src/data/splits.ts';
import type { GeneratedExample } from '../../src/data/splits.ts';
import { hashModel } from '../../src/context/provenance.ts';
import { writeFileAtomic } from '../../src/engine/atomic-file.ts';
import type { SessionOptions } from '../../src/engine/session.ts';
import {
  CAPACITY_MAX_TOKENS,
  CAPACITY_TEMPERATURE,
  ROWS_AT_ONCE,
  scorePrepared,
} from '../../src/evaluate/capacity-run.ts';
import type { CapacitySampling } from '../../src/evaluate/capacity-run.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import { outputHead } from '../../src/latent/model.ts';
import { MomentAccumulator } from '../../src/latent/moments.ts';
import type { Moments } from '../../src/latent/moments.ts';
import { readModelBundle } from '../../src/store/model-folder.ts';
import type { Weights } from '../../src/model/weights.ts';
import type { ModelBundle } from '../../src/model/bundle.ts';
import { PictureEncoder } from '../../src/model/picture-encoder.ts';
import { pretrain } from '../../src/train/pretrain.ts';
import { alone } from './claim.ts';
import { STUDY } from './jobs.ts';

/** Seeds of the example draws; validation and test are the same for every base. */
export const TEST_DRAW_SEED = 3000;
const DRAW_SEEDS: Readonly<Record<Split, number>> = {
  train: 1000,
  validation: 2000,
  test: TEST_DRAW_SEED,
};

function tell(text: string): void {
  process.stderr.write(text);
}

/** Whether something is at a path. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The base of a seed, pretrained if it is not there; the shipped one serves the first seed. */
async function ensureBase(folder: string, seed: number, options: SessionOptions): Promise<string> {
  const shipped = new URL('../../assets/base', import.meta.url).pathname;
  if (seed === 0 && (await exists(join(shipped, 'model.safetensors')))) return shipped;
  const base = join(folder, `base-${seed}`);
  const recipe = { ...PRETRAIN_DEFAULTS, seed: STUDY.baseSeeds[seed] ?? seed };
  await alone(
    join(folder, 'claims'),
    `base-${seed}`,
    async () => {
      // Of a finished base this yields nothing.
      for await (const record of pretrain(recipe, { ...options, folder: base })) {
        if (record.step % 100 === 0)
          process.stderr.write(
            `base ${seed}: step ${record.step}, loss ${record.loss.toFixed(4)}\n`,
          );
      }
    },
    tell,
  );
  return base;
}

/** Generated examples of a split with their pictures encoded. */
export async function prepareDraw(
  bundle: ModelBundle,
  encoder: PictureEncoder,
  split: Split,
  count: number,
  seed: number,
  numLatents: number,
): Promise<PreparedExample[]> {
  const offset = split === 'train' ? seed : 0;
  const drawn: GeneratedExample[] = [
    ...sampleExamples({ split, count, seed: DRAW_SEEDS[split] + offset }),
  ];
  const examples = drawn.map(({ id, question, answer, think, parser, task, difficulty }) => ({
    id,
    question,
    answer,
    think,
    parser,
    task,
    difficulty,
    split,
    image: 'in memory',
    auxiliary: 'in memory',
  }));
  return prepareExamples(bundle, encoder, examples, {
    numLatents,
    load: (_, i) => Promise.resolve(drawn[i] as GeneratedExample),
  });
}

/** How capacity is sampled; the seed goes with the base. */
const SAMPLING = {
  samples: STUDY.numSamples,
  temperature: CAPACITY_TEMPERATURE,
  maxNewTokens: CAPACITY_MAX_TOKENS,
};

async function scoreBase(
  bundle: ModelBundle,
  items: readonly PreparedExample[],
  sampling: CapacitySampling,
  options: SessionOptions,
): Promise<CapacityScore[]> {
  await using decoder = await Decoder.create({ bundle, head: outputHead() }, options);
  const scores: CapacityScore[] = [];
  const size = Math.floor(ROWS_AT_ONCE / sampling.samples);
  for (let start = 0; start < items.length; start += size) {
    scores.push(...(await scorePrepared(decoder, items.slice(start, start + size), sampling)));
    if (scores.length % (20 * size) === 0)
      tell(`capacity ${sampling.seed}: ${scores.length}/${items.length}\n`);
  }
  return scores;
}

/** What the jobs of one seed and one latent budget start from. */
export interface Setting {
  readonly bundle: ModelBundle<Weights>;
  readonly train: readonly PreparedExample[];
  readonly validation: readonly PreparedExample[];
  readonly test: readonly PreparedExample[];
  readonly capacity: readonly CapacityScore[];
  readonly moments: Moments;
}

/** Makes the setting of a seed; capacity scores are kept in a file, the rest is quick. */
export async function makeSetting(
  folder: string,
  seed: number,
  numLatents: number,
  options: SessionOptions,
): Promise<Setting> {
  const base = await ensureBase(folder, seed, options);
  const bundle = await readModelBundle(base);
  await using encoder = new PictureEncoder(bundle, options);
  const draw = (split: Split, count: number): Promise<PreparedExample[]> =>
    prepareDraw(bundle, encoder, split, count, seed, numLatents);
  const train = await draw('train', STUDY.numTrain);
  await mkdir(folder, { recursive: true });
  // Named by what it comes from: scores of another base are other scores.
  const sampling = { ...SAMPLING, seed };
  const origin = `${await hashModel(base)} ${STUDY.numTrain} ${JSON.stringify(sampling)}`;
  const name = `capacity-${createHash('sha256').update(origin).digest('hex').slice(0, 12)}`;
  const file = join(folder, `${name}.json`);
  await alone(
    join(folder, 'claims'),
    name,
    async () => {
      if (await exists(file)) return;
      const scores = await scoreBase(bundle, train, sampling, options);
      await writeFileAtomic(file, [JSON.stringify(scores)]);
    },
    tell,
  );
  const accumulator = new MomentAccumulator(bundle.checkpoint.config.text.hiddenSize);
  for (const { auxiliaryRows_KD } of train)
    if (auxiliaryRows_KD) await accumulator.add(auxiliaryRows_KD);
  return {
    bundle,
    train,
    validation: await draw('validation', STUDY.numValidation),
    test: await draw('test', STUDY.numTest),
    capacity: JSON.parse(await readFile(file, 'utf8')) as CapacityScore[],
    moments: await accumulator.moments(),
  };
}
