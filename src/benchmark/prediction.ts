// Owns the record of one answered item, as journals of `gapvl evaluate` hold it; running writes it, scoring
// and comparing read it.

/** One item of a run, answered or failed: a line of `items.jsonl`. */
export interface ItemRecord {
  /** The row's `index`, as text. */
  readonly index: string;
  /** Number of the repeat, from 0; seeds differ by it. */
  readonly sample: number;
  /** The whole response as it was written, special tokens included; null when the item failed. */
  readonly response: string | null;
  /** Why there is no response; an error is never a wrong answer. */
  readonly error?: ItemError;
  /**
   * Seconds around one generate call (pictures, prefill, decoding), monotonic clock; only for items that
   * were answered, one at a time.
   */
  readonly latencyS?: number;
  /** Rows that were decoded together with this one, itself included; latency counts only for 1. */
  readonly batch: number;
  /** Latent spans written; absent for endpoints. */
  readonly numSpans?: number;
  /** False when the limit of tokens cut the response off. */
  readonly finished: boolean;
  /** Calls it took, endpoints only. */
  readonly attempts?: number;
}

/** Why an item has no response. */
export interface ItemError {
  /** `picture` undecodable or missing; `data` another fault of the row; the others are of an endpoint. */
  readonly kind: 'picture' | 'data' | 'timeout' | 'connection' | 'http' | 'protocol' | 'runtime';
  readonly what: string;
  readonly status?: number;
}
