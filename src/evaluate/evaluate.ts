// Owns running a model over prepared examples: one prediction an example, for any intervention.
// Axes: K latents, D hidden.
import { RuntimeError } from '../errors.ts';
import type { PreparedExample } from '../context/prepared.ts';
import type { StepDecoder } from '../generate/decoder.ts';
import { generateBatch } from '../generate/generate.ts';
import type { GenerationResult, GenerationSettings } from '../generate/generate.ts';
import { interventionName } from '../latent/feedback.ts';
import { projectOntoPlane } from '../latent/pca.ts';
import { Rng } from '../rng.ts';
import { scoreAnswer } from './answers.ts';

/** One prediction, as it goes into a JSONL file. */
export interface Prediction {
  readonly id: string;
  readonly task: string;
  readonly difficulty: string;
  readonly intervention: string;
  /** Sample number, for repeated sampling. */
  readonly sample: number;
  readonly question: string;
  readonly expected: string;
  readonly response: string;
  readonly answer: string | null;
  readonly correct: boolean;
  readonly numSpans: number;
  readonly finished: boolean;
}

/** A prediction with what the decoder did, for those who look at latents. */
export interface EvaluatedExample {
  readonly prediction: Prediction;
  readonly result: GenerationResult;
}

/** How examples are run. */
export interface EvaluateOptions extends GenerationSettings {
  readonly seed: number;
  readonly batchSize: number;
  readonly sample?: number;
  /** Latents by example id for the intervention `other`. */
  readonly others?: ReadonlyMap<string, Float32Array>;
  readonly signal?: AbortSignal;
}

/** Rows decoded together; ours. */
export const EVALUATION_BATCH = 100;

function replacementFor(
  decoder: StepDecoder,
  item: PreparedExample,
  options: EvaluateOptions,
): Float32Array | undefined {
  if (options.intervention.kind === 'other') return options.others?.get(item.example.id);
  if (options.intervention.kind !== 'oracle') return undefined;
  const { basis, spec } = decoder.model.head;
  // A PCA head can only write points of its plane, so that is what the oracle gives it.
  return item.auxiliaryRows_KD && basis && spec.kind === 'pca'
    ? projectOntoPlane(basis, item.auxiliaryRows_KD)
    : item.auxiliaryRows_KD;
}

/** Runs a model over examples, batch by batch, in order. */
export async function* evaluateExamples(
  decoder: StepDecoder,
  items: readonly PreparedExample[],
  options: EvaluateOptions,
): AsyncGenerator<EvaluatedExample, void> {
  const { tokenizer } = decoder.model.bundle;
  const root = new Rng(options.seed);
  const sample = options.sample ?? 0;
  for (let start = 0; start < items.length; start += options.batchSize) {
    const chunk = items.slice(start, start + options.batchSize);
    const requests = chunk.map((item) => {
      const replacement = replacementFor(decoder, item, options);
      if (
        (options.intervention.kind === 'other' || options.intervention.kind === 'oracle') &&
        !replacement
      ) {
        throw new RuntimeError({
          what: `no latents to replace those of example ${item.example.id} with`,
          expected: `vectors for the intervention ${options.intervention.kind}`,
          fix: 'use examples with auxiliary pictures',
        });
      }
      return {
        promptIds: item.promptIds,
        grids: [item.grid],
        pictureRows_MD: item.pictureRows_MD,
        rng: root.fork(`${item.example.id}/${sample}`),
        ...(replacement ? { replacement } : {}),
      };
    });
    const results = await generateBatch(decoder, requests, options, options.signal);
    for (const [i, result] of results.entries()) {
      const { example } = chunk[i] as PreparedExample;
      const response = tokenizer.decode(result.ids);
      const scored = scoreAnswer(response, example.answer);
      yield {
        result,
        prediction: {
          id: example.id,
          task: example.task ?? '',
          difficulty: example.difficulty ?? '',
          intervention: interventionName(options.intervention),
          sample,
          question: example.question,
          expected: example.answer,
          response,
          answer: scored.answer ?? null,
          correct: scored.correct,
          numSpans: result.numSpans,
          finished: result.finished,
        },
      };
    }
  }
}

/** Latents of every example from another one of the same task, for the intervention `other`. */
export function otherLatents(
  items: readonly PreparedExample[],
  latents: ReadonlyMap<string, Float32Array>,
): Map<string, Float32Array> {
  const others = new Map<string, Float32Array>();
  for (const [i, { example }] of items.entries()) {
    for (let offset = 1; offset < items.length; offset++) {
      const candidate = items[(i + offset) % items.length]?.example;
      if (!candidate || candidate.id === example.id || candidate.task !== example.task) continue;
      const found = latents.get(candidate.id);
      if (!found) continue;
      others.set(example.id, found);
      break;
    }
  }
  return others;
}
