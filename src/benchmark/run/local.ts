// Owns a local model as one who answers a benchmark: pixel limits, latents, batches; `runBenchmark` opens it.
// Axes: M picture tokens, D hidden.
import { fitPicture } from '../../context/prepared.ts';
import { hashModel } from '../../context/provenance.ts';
import { expectFinished } from '../../context/run-folder.ts';
import type { Raster } from '../../data/raster.ts';
import type { SessionOptions } from '../../engine/session.ts';
import { ConfigError, DataError, RuntimeError } from '../../errors.ts';
import { interventionOf, obstacle, variantLabel } from '../../evaluate/interventions.ts';
import { writesLatents } from '../../evaluate/interventions.ts';
import type { InterventionName } from '../../evaluate/interventions.ts';
import { Decoder } from '../../generate/decoder.ts';
import { decodingPlan } from '../../generate/defaults.ts';
import type { DecodingChoices, DecodingPlan } from '../../generate/defaults.ts';
import { generateBatch } from '../../generate/generate.ts';
import type {
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from '../../generate/generate.ts';
import { DEFAULT_EMA_DECAY } from '../../latent/feedback.ts';
import type { Calibration } from '../../latent/feedback.ts';
import type { GapModel } from '../../latent/model.ts';
import { VARIANTS } from '../../latent/variants.ts';
import { promptIds } from '../../model/bundle.ts';
import type { ModelBundle } from '../../model/bundle.ts';
import { PictureEncoder } from '../../model/picture-encoder.ts';
import { rasterGrid } from '../../processor/patches.ts';
import { decodePicture } from '../../processor/picture.ts';
import { QWEN_MAX_PIXELS, QWEN_MIN_PIXELS, pixelLimits } from '../../processor/resize.ts';
import type { PixelOverrides, PixelRange } from '../../processor/resize.ts';
import { expectLatentTokens } from '../../processor/tokens.ts';
import { Rng } from '../../rng.ts';
import { openGapModel } from '../../store/latent-head.ts';
import type { ItemRecord } from '../prediction.ts';
import { failed, faultText } from './answerer.ts';
import type { Answerer, Asked, Contestant } from './answerer.ts';
import { BASELINE_DECODING, BASELINE_PIXELS } from './settings.ts';
import type { ModelSource, Preset } from './settings.ts';

/** Norm calibration by name; `model` is as the variant was trained. */
export const CALIBRATION_NAMES = ['model', 'none', 'ema'] as const;

/** Name of a calibration. */
export type CalibrationName = (typeof CALIBRATION_NAMES)[number];

/** A local model and how it answers. */
export interface LocalOptions extends SessionOptions, DecodingChoices {
  readonly kind: 'model';
  /** Model folder. */
  readonly folder: string;
  /** Of `hashModel`, where it is known. */
  readonly hash?: string;
  /** Default `baseline`: what is not given below is as the published baselines had it. */
  readonly preset?: Preset;
  /** Default: the preset's; those of BASELINE_PIXELS only for a model with Qwen2.5-VL's own limits. */
  readonly minPixels?: number;
  readonly maxPixels?: number;
  /** K; default: what the model was trained with. */
  readonly numLatents?: number;
  /** Default `clean`; `other` and `oracle` are not possible. */
  readonly intervention?: InterventionName;
  /** Default `model`. */
  readonly calibration?: CalibrationName;
  /** Rows decoded together, default 1: latency counts only then. */
  readonly batchSize?: number;
}

/** What all answers of a run share. */
export interface RunContext {
  readonly seed: number;
  readonly system: string | null;
  /** Milliseconds since some moment; without it no latency is kept. */
  readonly now?: () => number;
}

/** ours: graphs that an encoder on another device than the CPU may keep, one a size of picture. */
const MOST_LAYOUTS = 16;

/** Why a benchmark cannot be run like this. */
const IMPOSSIBLE: Partial<Record<InterventionName, string>> = {
  other: "it needs another example's latents, decoded clean before; `gapvl compare` does that",
  oracle: 'it needs auxiliary pictures, which tables of benchmarks do not have',
};

/** Why a model cannot run a benchmark with an intervention; undefined when it can. */
export function localObstacle(model: GapModel, intervention: InterventionName): string | undefined {
  return IMPOSSIBLE[intervention] ?? obstacle(intervention, model, []);
}

function checkLatents(model: GapModel, options: LocalOptions): void {
  const { intervention = 'clean', calibration = 'model', numLatents, folder } = options;
  const needsLatents = calibration === 'ema' || numLatents !== undefined;
  const reason =
    localObstacle(model, intervention) ??
    (needsLatents && !writesLatents(model)
      ? 'the model was not trained to write latents'
      : undefined);
  if (reason === undefined) return;
  const asked = [
    ...(intervention === 'clean' ? [] : [`intervention ${intervention}`]),
    ...(calibration === 'ema' ? ['calibration ema'] : []),
    ...(numLatents === undefined ? [] : [`${numLatents} latents`]),
  ];
  throw new ConfigError({
    what: `${folder} cannot run a benchmark with ${asked.join(', ')}`,
    got: reason,
    expected:
      'clean, zero-latent, noise-unit, noise-spectrum, noise-norm or ema on a model with latents',
    fix: 'leave it out, or name another model',
  });
}

/** Output-as-input with norm calibration is a variant of its own; all others read latents as they are. */
function calibrationOf({ settings }: GapModel, name: CalibrationName): Calibration {
  const isCalibrated = name === 'ema' || VARIANTS[settings?.variant ?? 'base'].calibrated;
  return isCalibrated && name !== 'none'
    ? { kind: 'ema', decay: DEFAULT_EMA_DECAY }
    : { kind: 'none' };
}

/**
 * The limits of the preset under those given. The baseline's are for Qwen2.5-VL: a model with limits of
 * its own, such as a tiny one whose pictures have 96 x 96 pixels, keeps them.
 */
function pixelsOf({ pixels }: ModelBundle, options: LocalOptions): PixelRange {
  const isQwen = pixels.minPixels === QWEN_MIN_PIXELS && pixels.maxPixels === QWEN_MAX_PIXELS;
  const preset = options.preset !== 'model' && isQwen ? BASELINE_PIXELS : pixels;
  const { minPixels, maxPixels } = options;
  return pixelLimits(preset, {
    ...(minPixels === undefined ? {} : { minPixels }),
    ...(maxPixels === undefined ? {} : { maxPixels }),
  } satisfies PixelOverrides);
}

function choicesOf(options: LocalOptions): DecodingChoices {
  const { temperature, topK, topP, repetitionPenalty, stop, maxNewTokens } = options;
  const given = { temperature, topK, topP, repetitionPenalty, stop, maxNewTokens };
  if (options.preset === 'model') return given;
  const own = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...BASELINE_DECODING, ...(Object.fromEntries(own) as DecodingChoices) };
}

/** The same model whose tokenizer reads its unknown token for words that it does not know. */
function lenient(model: GapModel, onUnknown: () => void): GapModel {
  const { tokenizer } = model.bundle;
  return {
    ...model,
    bundle: {
      ...model.bundle,
      tokenizer: {
        ...tokenizer,
        encodePieces: (pieces) => tokenizer.encodePieces(pieces, { onUnknown }),
      },
    },
  };
}

/**
 * Opens a local model to answer a benchmark; its graphs are compiled at `start`.
 * @throws ConfigError for an intervention that is not possible; CheckpointError for a broken model.
 */
export async function openLocal(options: LocalOptions, context: RunContext): Promise<Contestant> {
  const { folder, batchSize = 1, intervention = 'clean' } = options;
  await expectFinished(folder);
  let numUnknownWords = 0;
  const model = lenient(await openGapModel(folder), () => (numUnknownWords += 1));
  checkLatents(model, options);
  const numLatents = options.numLatents ?? model.settings?.numLatents ?? 0;
  if (numLatents > 0) expectLatentTokens(model.bundle.sequence, folder);
  const plan = decodingPlan(model.bundle, choicesOf(options), numLatents);
  const calibration = intervention === 'ema' ? 'ema' : (options.calibration ?? 'model');
  const source: ModelSource = {
    kind: 'model',
    folder,
    hash: options.hash ?? (await hashModel(folder)),
    variant: variantLabel(model),
    numLatents,
    intervention,
    calibration: calibrationOf(model, calibration),
    pixels: pixelsOf(model.bundle, options),
    threads: options.threads ?? null,
    device: options.device ?? 'cpu',
    batchSize,
  };
  return {
    source,
    decoding: plan,
    batchSize,
    concurrency: 1,
    numUnknownWords: () => numUnknownWords,
    start: async (signal) => {
      const decoder = await Decoder.create(model, options);
      return new LocalModel({ model, decoder, source, plan, session: options, signal, ...context });
    },
  };
}

interface LocalParts extends RunContext {
  readonly model: GapModel;
  readonly decoder: Decoder;
  readonly source: ModelSource;
  readonly plan: DecodingPlan;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

/** A question with its pictures encoded. */
interface Ready {
  readonly asked: Asked;
  readonly request: Omit<GenerationRequest, 'rng'>;
}

/** What became of a question: its result and the rows decoded with it, or a record of its fault. */
type Outcome = { readonly result: GenerationResult; readonly batch: number } | ItemRecord;

class LocalModel implements Answerer {
  private readonly parts: LocalParts;
  private readonly settings: GenerationSettings;
  private readonly root: Rng;
  private readonly layouts = new Set<string>();
  private encoder: PictureEncoder;

  constructor(parts: LocalParts) {
    const { source, plan } = parts;
    this.parts = parts;
    this.root = new Rng(parts.seed);
    this.encoder = this.newEncoder();
    this.settings = {
      ...plan,
      numLatents: source.numLatents,
      intervention: interventionOf(source.intervention).intervention,
      calibration: source.calibration,
    };
  }

  private newEncoder(): PictureEncoder {
    const { model, session, signal } = this.parts;
    return new PictureEncoder(model.bundle, { ...session, signal });
  }

  async answer(questions: readonly Asked[]): Promise<readonly ItemRecord[]> {
    const startMs = this.parts.now?.();
    const prepared: (Ready | ItemRecord)[] = [];
    for (const asked of questions) prepared.push(await this.prepare(asked));
    const outcomes = await this.generate(prepared.filter((one) => 'request' in one));
    const endMs = this.parts.now?.();
    const isTimed = questions.length === 1 && startMs !== undefined && endMs !== undefined;
    const latency = isTimed ? { latencyS: (endMs - startMs) / 1000 } : {};
    let at = 0;
    return prepared.map((one): ItemRecord => {
      if (!('request' in one)) return one;
      const outcome = outcomes[at++];
      if (outcome === undefined) throw new RuntimeError({ what: 'a question got no outcome' });
      if (!('result' in outcome)) return outcome;
      const { index, sample } = one.asked;
      const { result, batch } = outcome;
      return {
        ...{ index, sample, response: this.response(result), batch },
        ...{ numSpans: result.numSpans, finished: result.finished },
        ...latency,
      };
    });
  }

  /** Everything that was written, cut before the stop string. */
  private response({ ids, stop }: GenerationResult): string {
    const whole = this.parts.model.bundle.tokenizer.decode(ids);
    const end = stop === undefined ? -1 : whole.lastIndexOf(stop);
    return end < 0 ? whole : whole.slice(0, end);
  }

  /** The prompt with its pictures encoded one by one, so that a row's bits do not depend on others. */
  private async prepare(asked: Asked): Promise<Ready | ItemRecord> {
    const { model, source, system } = this.parts;
    const { bundle } = model;
    const pictures: Raster[] = [];
    const parts: Float32Array[] = [];
    try {
      for (const [i, bytes] of asked.pictures.entries()) {
        this.parts.signal.throwIfAborted();
        const picture = await decodePicture(bytes, { name: `${i + 1} of row ${asked.index}` });
        const fitted = fitPicture(bundle, picture, source.pixels);
        parts.push(await this.encode(fitted));
        pictures.push(fitted);
      }
    } catch (error) {
      this.parts.signal.throwIfAborted();
      const kind = error instanceof DataError ? 'picture' : 'runtime';
      if (!(error instanceof DataError || error instanceof RuntimeError)) throw error;
      return failed(asked, { kind, what: faultText(error) });
    }
    const grids = pictures.map((picture) => rasterGrid(picture, bundle.patches));
    try {
      const ids = promptIds(bundle, asked.prompt, grids, system ?? undefined);
      return { asked, request: { promptIds: ids, grids, pictureRows_MD: joined(parts) } };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return failed(asked, { kind: 'data', what: faultText(error) });
    }
  }

  private async encode(picture: Raster): Promise<Float32Array> {
    const isBounded = this.parts.source.device === 'cpu';
    const layout = `${picture.width}x${picture.height}`;
    if (!isBounded && !this.layouts.has(layout) && this.layouts.size === MOST_LAYOUTS) {
      await this.encoder[Symbol.asyncDispose]();
      this.encoder = this.newEncoder();
      this.layouts.clear();
    }
    this.layouts.add(layout);
    return this.encoder.encode([picture]);
  }

  /** Decodes a batch; when that fails its rows are tried one by one, to find whose fault it is. */
  private async generate(ready: readonly Ready[]): Promise<readonly Outcome[]> {
    if (ready.length === 0) return [];
    const { decoder, signal } = this.parts;
    const requests = ready.map(({ asked, request }) => ({
      ...request,
      rng: this.root.fork(`${asked.index}/${asked.sample}`),
    }));
    try {
      const results = await generateBatch(decoder, requests, this.settings, signal);
      return results.map((result) => ({ result, batch: ready.length }));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RuntimeError)) throw error;
      const [first] = ready;
      if (ready.length === 1 && first)
        return [failed(first.asked, { kind: 'runtime', what: faultText(error) })];
      const alone: Outcome[] = [];
      for (const one of ready) alone.push(...(await this.generate([one])));
      return alone;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.encoder[Symbol.asyncDispose]();
    await this.parts.decoder[Symbol.asyncDispose]();
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}
