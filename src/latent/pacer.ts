// Owns pauses in long computations: progress, abort signal; eigen.ts and tridiagonal.ts call it.
import { setImmediate } from 'node:timers/promises';

/** Multiplications between two looks at the abort signal: about 0.1 s. */
const WORK_BETWEEN_PAUSES = 1e8; // ours

/** How a long computation is watched. */
export interface Watch {
  /** Stops the computation with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told the share of the work that is done, in [0, 1]. */
  readonly onProgress?: (fraction: number) => void;
}

/** Gives other work a turn after every WORK_BETWEEN_PAUSES multiplications. */
export class Pacer {
  readonly #watch: Watch;
  readonly #total: number;
  #done = 0;
  #sincePause = 0;

  /** @param totalWork - multiplications of the whole computation. */
  constructor(totalWork: number, watch: Watch) {
    this.#watch = watch;
    this.#total = totalWork;
  }

  /** Whether enough was done for a pause; a check before `await` keeps the inner loops fast. */
  isDue(work: number): boolean {
    this.#done += work;
    this.#sincePause += work;
    return this.#sincePause >= WORK_BETWEEN_PAUSES;
  }

  /** Reports progress and lets other work run. @throws the reason of an aborted signal. */
  async pause(): Promise<void> {
    this.#sincePause = 0;
    this.#watch.onProgress?.(Math.min(1, this.#done / this.#total));
    await setImmediate();
    this.#watch.signal?.throwIfAborted();
  }
}
