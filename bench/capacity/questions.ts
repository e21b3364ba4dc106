// Owns the questions of bench/capacity.ts, drawn the same in every process, and a base that never ends early.
import { fileURLToPath } from 'node:url';
import type { Example } from '../../src/data/example.ts';
import type { Raster } from '../../src/data/raster.ts';
import { sampleExamples } from '../../src/data/splits.ts';
import type { GapModel } from '../../src/latent/model.ts';
import { openGapModel } from '../../src/store/latent-head.ts';

/** The base that ships with the package. */
export const BASE = fileURLToPath(new URL('../../assets/base', import.meta.url));
/** Questions of the largest batch. */
export const MOST_QUESTIONS = 64;
/** Of every answer; as in scoring. */
export const NEW_TOKENS = 24;
/** Answers a question. Source: GAP §4.3. */
export const SAMPLES = 8;

/** Examples with their pictures in memory. */
export function drawQuestions(): (Example & { readonly picture: Raster })[] {
  const drawn = sampleExamples({ split: 'test', count: MOST_QUESTIONS, seed: 6 });
  return [...drawn].map(({ id, question, answer, picture }) => {
    return { id, question, answer, picture, image: 'in memory' };
  });
}

/** No id: nothing ends an answer, so that every side writes the same number of tokens. */
const NEVER = -1;

/** The shipped base, its answers all of the length asked for. */
export async function openEndless(): Promise<GapModel> {
  const model = await openGapModel(BASE);
  const { bundle } = model;
  const generation = bundle.generation ? { ...bundle.generation, endIds: [] } : undefined;
  return {
    ...model,
    bundle: {
      ...bundle,
      sequence: { ...bundle.sequence, responseEnd: NEVER },
      ...(generation ? { generation } : {}),
    },
  };
}
