// Owns everything a run is made from, as run.json holds it, and which of it makes another run; run.ts decides it,
// scoring and comparing read it.
import type { Device } from '../../engine/device.ts';
import { isObject } from '../../engine/strict-json.ts';
import type { InterventionName } from '../../evaluate/interventions.ts';
import type { DecodingChoices } from '../../generate/defaults.ts';
import type { Calibration } from '../../latent/feedback.ts';
import type { PixelRange } from '../../processor/resize.ts';
import type { DatasetName, PromptBuilder } from '../types.ts';

/** Marks run.json; the number changes with the layout. */
export const RUN_FORMAT = 'gapvl.evaluation-run.1';

/**
 * How the published baselines were decoded. Source: VLMEvalKit vlmeval/config.py and
 * vlmeval/vlm/qwen2_vl/model.py, `Qwen2.5-VL-7B-Instruct`.
 */
export const BASELINE_DECODING = {
  maxNewTokens: 2048,
  temperature: 0.01,
  topP: 0.001,
  topK: 1,
  repetitionPenalty: 1,
  stop: [],
} as const satisfies DecodingChoices;

/** Sizes of pictures of the published baselines. Source: as BASELINE_DECODING. */
export const BASELINE_PIXELS: PixelRange = {
  minPixels: 1280 * 28 * 28,
  maxPixels: 16384 * 28 * 28,
};

/** Whose decoding and pixel limits hold where nothing is given. */
export const PRESETS = ['baseline', 'model'] as const;

/** Name of a preset: that of the published baselines, or what the model's own files say. */
export type Preset = (typeof PRESETS)[number];

/** A local model that answers. */
export interface ModelSource {
  readonly kind: 'model';
  /** Where it stands; a copy elsewhere is the same model. */
  readonly folder: string;
  /** SHA-256 of `hashModel`. */
  readonly hash: string;
  readonly variant: string;
  /** K; 0 for a model that writes no latents. */
  readonly numLatents: number;
  readonly intervention: InterventionName;
  readonly calibration: Calibration;
  readonly pixels: PixelRange;
  readonly threads: number | null;
  readonly device: Device;
  /** Rows decoded together. */
  readonly batchSize: number;
}

/** An endpoint that answers. */
export interface EndpointSource {
  readonly kind: 'endpoint';
  /** Without user, password, query and fragment. */
  readonly url: string;
  readonly model: string;
  /** Further fields of the body. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** How the endpoint is treated; another treatment makes no other run. */
  readonly operation: {
    readonly concurrency: number;
    readonly requestsPerMinute: number | null;
    readonly timeoutS: number;
    readonly retries: number;
  };
}

/** How responses are decoded; null is up to the endpoint. */
export interface DecodingSettings {
  readonly maxNewTokens: number | null;
  readonly temperature: number | null;
  readonly topP: number | null;
  readonly topK: number | null;
  readonly repetitionPenalty: number | null;
  readonly stop: readonly string[];
}

/** All settings of a run: run.json. */
export interface RunSettings {
  readonly format: typeof RUN_FORMAT;
  readonly benchmark: DatasetName;
  readonly data: {
    /** Name of the file; a copy of another name is the same table. */
    readonly file: string;
    readonly md5: string;
    /** Rows of the whole table; those that share an index count once. */
    readonly numRows: number;
    /** Whether the MD5 is the published one; null where none is published. */
    readonly isPublished: boolean | null;
  };
  readonly source: ModelSource | EndpointSource;
  readonly promptBuilder: PromptBuilder;
  /** System message; null: what the chat template does without one, or none. */
  readonly system: string | null;
  readonly decoding: DecodingSettings;
  readonly seed: number;
  /** Answers a row. */
  readonly samples: number;
  /** First rows only; null: all. */
  readonly limit: number | null;
  /** gapvl, node and onnxruntime-node. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Where something was found or how it was treated; another place makes no other run. */
const IRRELEVANT = /^(?:data\.file|source\.folder|source\.operation\..*)$/;

/** Fields by dotted name, what makes no difference left out. */
export function comparedFields(settings: RunSettings): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const visit = (value: unknown, name: string): void => {
    if (isObject(value)) {
      for (const [key, part] of Object.entries(value)) {
        visit(part, name === '' ? key : `${name}.${key}`);
      }
    } else if (!IRRELEVANT.test(name)) fields[name] = value;
  };
  visit(settings, '');
  return fields;
}
