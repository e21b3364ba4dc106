// Owns what a run needs of whoever answers: a local model or an endpoint; run.ts drives it.
import type { GapvlError } from '../../errors.ts';
import type { ItemError, ItemRecord } from '../prediction.ts';
import type { DecodingSettings, EndpointSource, ModelSource } from './settings.ts';

/** One question of a run, its pictures still encoded. */
export interface Asked {
  /** The row's index as text. */
  readonly index: string;
  readonly sample: number;
  /** Files of pictures, in the order they stand in before the text. */
  readonly pictures: readonly Uint8Array[];
  readonly prompt: string;
}

/** Answers questions. Dispose it. */
export interface Answerer extends AsyncDisposable {
  /** A record for each question, in order; what fails is in its record. */
  readonly answer: (questions: readonly Asked[]) => Promise<readonly ItemRecord[]>;
}

/** Somebody who could answer; nothing is loaded until `start`. */
export interface Contestant {
  readonly source: ModelSource | EndpointSource;
  readonly decoding: DecodingSettings;
  /** Questions answered together. */
  readonly batchSize: number;
  /** Batches on their way at the same time. */
  readonly concurrency: number;
  /** Words of prompts so far that the vocabulary cannot express. */
  readonly numUnknownWords: () => number;
  /** @param signal - ends answering; what was asked then rejects with its reason. */
  readonly start: (signal: AbortSignal) => Promise<Answerer>;
}

/** The record of a question that has no answer. */
export function failed(
  asked: Pick<Asked, 'index' | 'sample'>,
  error: ItemError,
  batch = 1,
): ItemRecord {
  const { index, sample } = asked;
  return { index, sample, response: null, error, batch, finished: false };
}

/** An error of ours in one line, for a record. */
export function faultText({ parts }: GapvlError): string {
  return parts.got === undefined ? parts.what : `${parts.what}: ${parts.got}`;
}
