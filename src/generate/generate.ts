// Owns interleaved decoding of a batch from its prompts to its end: text and latents, streamed.
import type { Decoder } from './decoder.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from './request.ts';
import { advanceRun, openRun, runResults } from './run.ts';

export type {
  GenerationEvent,
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
  ResponsePrefix,
} from './request.ts';

/**
 * Decodes a batch, yielding every token and every latent as it is written.
 * @throws ShapeError for a given beginning of a response whose latents do not fit its tokens.
 */
export async function* generateEvents(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: GenerationSettings,
  signal?: AbortSignal,
): AsyncGenerator<GenerationEvent, void> {
  const run = await openRun(decoder, requests, settings, signal);
  yield* advanceRun(run, settings, signal ? { signal } : {});
}

/** Decodes a batch to the end. */
export async function generateBatch(
  decoder: Decoder,
  requests: readonly GenerationRequest[],
  settings: GenerationSettings,
  signal?: AbortSignal,
): Promise<GenerationResult[]> {
  const run = await openRun(decoder, requests, settings, signal);
  const events = advanceRun(run, settings, signal ? { signal } : {});
  while ((await events.next()).done !== true);
  return runResults(run);
}
