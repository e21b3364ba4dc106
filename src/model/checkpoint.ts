// Owns what a checkpoint is once read, and how its tensors are named; store/ reads and writes it.
import type { JsonObject, ModelConfig } from './config.ts';
import type { WeightSource } from './weights.ts';

/** A model of a folder: read into memory to be trained (`Weights`), or opened to be run. */
export interface Checkpoint<W extends WeightSource = WeightSource> {
  readonly folder: string;
  readonly config: ModelConfig;
  /** config.json as it was, to be written back unchanged. */
  readonly configJson: JsonObject;
  readonly weights: W;
  /** Our parameter name to the name the file uses. */
  readonly fileNames: ReadonlyMap<string, string>;
}

/**
 * The name we use for a tensor of a checkpoint: the published layout (`visual.`, `model.layers.`),
 * also for files written in the newer nested one. Source: the conversion mapping of
 * transformers' Qwen2_5_VLForConditionalGeneration.
 */
export function canonicalName(fileName: string): string {
  if (fileName.startsWith('model.visual.')) return fileName.slice('model.'.length);
  if (fileName.startsWith('model.language_model.'))
    return `model.${fileName.slice('model.language_model.'.length)}`;
  if (fileName.startsWith('language_model.model.')) return fileName.slice('language_model.'.length);
  return fileName;
}
