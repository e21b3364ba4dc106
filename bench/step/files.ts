// Owns the models and batches of bench/step.ts on disk, which both sides read.
import { cpSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/engine/safetensors.ts';
import { tensor } from '../../src/engine/tensor.ts';
import { parseModelConfig } from '../../src/model/config.ts';
import type { JsonObject, ModelConfig } from '../../src/model/config.ts';
import { int64Tensor } from '../../src/model/feeds.ts';
import { IGNORED_LABEL } from '../../src/processor/sequence.ts';
import { Rng } from '../../src/rng.ts';
import { writeCheckpoint } from '../decode/checkpoint.ts';
import { CHUNK, RESPONSE } from './shapes.ts';
import type { BatchShape, StepShape } from './shapes.ts';

/** Ids at the end of a vocabulary that random text leaves out. */
const SPECIAL_IDS = 16;

/** Writes the model of a shape into a new folder. */
export async function writeModel(folder: string, shape: StepShape): Promise<void> {
  if (shape.folder === undefined) return writeCheckpoint(folder, shape, 'f32');
  cpSync(join(import.meta.dirname, '../..', shape.folder), folder, { recursive: true });
}

async function configOf(folder: string): Promise<ModelConfig> {
  const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as JsonObject;
  return parseModelConfig(json, folder);
}

/** Writes a batch: in every chunk a picture, a question, a labelled response; pixels are noise. */
export async function writeBatch(
  path: string,
  model: string,
  shape: StepShape,
  { rows, length }: BatchShape,
): Promise<void> {
  const { vision, tokens } = await configOf(model);
  const rng = new Rng(`bench step ${rows} ${length}`);
  const word = (): number => rng.nextUint32() % (shape.vocab - SPECIAL_IDS);
  const pictureTokens = shape.pictureSide ** 2;
  const question = CHUNK - RESPONSE - pictureTokens - 1;
  const ids: number[] = [];
  const labels: number[] = [];
  const numPictures = (rows * length) / CHUNK;
  for (let i = 0; i < numPictures; i++) {
    const response = Array.from({ length: RESPONSE }, word);
    const picture = new Array<number>(pictureTokens).fill(tokens.image);
    const prompt = [tokens.visionStart, ...picture, ...Array.from({ length: question }, word)];
    ids.push(...prompt, ...response);
    labels.push(...prompt.map(() => IGNORED_LABEL), ...response);
  }
  const side = shape.pictureSide * vision.mergeSize;
  const grids = Array.from({ length: numPictures }, () => [1, side, side]);
  const width = vision.inChannels * vision.temporalPatchSize * vision.patchSize ** 2;
  const pixels = Float32Array.from({ length: numPictures * side * side * width }, () =>
    rng.normal(),
  );
  const tensors = {
    input_ids: int64Tensor([rows, length], ids),
    labels: int64Tensor([rows, length], labels),
    image_grid_thw: int64Tensor([numPictures, 3], grids.flat()),
    pixel_values: tensor('f32', [pixels.length / width, width], pixels),
  };
  await writeSafetensors(path, new Map(Object.entries(tensors)), new Map());
}
