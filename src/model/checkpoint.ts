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

/** Prefixes that wrappers leave in front of every name: PEFT's models, data-parallel training. */
const WRAPPERS = ['base_model.model.', 'module.'] as const;

/**
 * The name we use for a tensor of a checkpoint: the published layout (`visual.`, `model.layers.`),
 * also for files written in the newer nested one (`model.visual.`, `model.language_model.`), in
 * the one that puts the language model first, or with a wrapper's prefix. Source: transformers
 * 5.23.0 conversion_mapping.py, `Qwen2VLForConditionalGeneration` (Qwen2.5-VL takes the same).
 */
export function canonicalName(fileName: string): string {
  const wrapper = WRAPPERS.find((prefix) => fileName.startsWith(prefix));
  if (wrapper !== undefined) return canonicalName(fileName.slice(wrapper.length));
  if (fileName.startsWith('model.visual.')) return fileName.slice('model.'.length);
  if (fileName.startsWith('model.language_model.'))
    return `model.${fileName.slice('model.language_model.'.length)}`;
  if (/^language_model\.(?:model|lm_head)\./.test(fileName))
    return fileName.slice('language_model.'.length);
  return fileName;
}
