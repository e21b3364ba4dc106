// Makes a small dataset, a basis and a model that writes latents from the shipped base, for tests of
// what runs models; a few seconds on one core.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TRAIN_DEFAULTS, applySettings } from '../../src/config.ts';
import { fitBasis } from '../../src/context/fit-basis.ts';
import { writeDataset } from '../../src/data/dataset-writer.ts';
import { trainFolder } from '../../src/train/train-folder.ts';

/** One thread that never spins: tests share their machine. */
export const SESSION = { threads: 1, spinning: false } as const;
/** For hooks that make all this: much more than it takes, for machines that do other work too. */
export const SETUP_LIMIT_MS = 120_000;
/** K of everything here. */
export const LATENTS = 4;

/** The base that ships with the package. */
export const SHIPPED_BASE = fileURLToPath(new URL('../../assets/base', import.meta.url));

/** The model with latents that ships with the package. */
export const SHIPPED_GAP = fileURLToPath(new URL('../../assets/gap', import.meta.url));

/** Paths of what was made. */
export interface SmallWay extends AsyncDisposable {
  readonly folder: string;
  readonly data: string;
  readonly base: string;
  readonly basis: string;
  /** LH+PCA, trained for a moment: writes latents in its responses, and its answers are poor. */
  readonly model: string;
}

/** Makes everything but the trained model. */
export async function makeSmallBase(): Promise<SmallWay> {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-way-'));
  const at = (name: string): string => join(folder, name);
  const way = {
    folder,
    data: at('data'),
    base: SHIPPED_BASE,
    basis: at('basis.safetensors'),
    model: at('model'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
  await writeDataset(way.data, { counts: { train: 40, test: 20 }, seed: 1, easyFraction: 0.5 });
  await fitBasis({
    ...SESSION,
    model: way.base,
    data: way.data,
    out: way.basis,
    numLatents: LATENTS,
    size: { explained: 0.95 },
    kind: 'pca',
    seed: 1,
  });
  return way;
}

/** Makes everything. */
export async function makeSmallWay(): Promise<SmallWay> {
  const way = await makeSmallBase();
  const recipe = applySettings(TRAIN_DEFAULTS, [
    ...['steps=30', 'batchSize=6', `numLatents=${LATENTS}`, 'teacherInputs=plain', 'adapterSize=8'],
  ]);
  const { data, base, basis, model } = way;
  const run = trainFolder({
    ...SESSION,
    variant: 'lh-pca',
    recipe,
    data,
    basis,
    model: base,
    out: model,
  });
  while ((await run.next()).done !== true);
  return way;
}
