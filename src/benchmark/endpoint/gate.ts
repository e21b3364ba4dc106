// Owns when a call may begin: how many at a time, how many a minute, and pauses that hold for all.
import type { Sleep } from './types.ts';

/** What a gate goes by. */
export interface GateOptions {
  readonly concurrency: number;
  /** Calls that may begin in a minute; null is no limit. */
  readonly requestsPerMinute: number | null;
  readonly now: () => number;
  readonly sleep: Sleep;
}

/** Lets calls through, in the order they came. */
export class Gate {
  readonly #options: GateOptions;
  readonly #intervalMs: number;
  readonly #waiting: (() => void)[] = [];
  #numFree: number;
  #nextStartMs = -Infinity;
  #pausedUntilMs = -Infinity;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#intervalMs = options.requestsPerMinute === null ? 0 : 60_000 / options.requestsPerMinute;
    this.#numFree = options.concurrency;
  }

  /** Lets nobody through for a time; calls under way go on. */
  pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#options.now() + ms);
  }

  /** Runs a call when its turn has come. @throws the reason of the signal. */
  async run<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(signal);
    try {
      await this.#turn(signal);
      return await call();
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#numFree > 0) {
      this.#numFree -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = (): void => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason as Error);
      };
      this.#waiting.push(enter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** A place is handed over, so that nobody who comes just then gets before those who wait. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#numFree += 1;
    else next();
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const nowMs = this.#options.now();
      const startMs = Math.max(this.#nextStartMs, this.#pausedUntilMs);
      if (nowMs >= startMs) {
        this.#nextStartMs = nowMs + this.#intervalMs;
        return;
      }
      await this.#options.sleep(startMs - nowMs, signal);
    }
  }
}
