// Owns the check that working on many items at a time loses none, stops at once, and reads no further.
import { describe, expect, it } from 'vitest';
import { answerAll } from '../../../../src/benchmark/endpoint/answer-all.ts';

const NUMBERS = Array.from({ length: 20 }, (_, i) => i);

/** A promise that a test fulfils. */
function later<T>() {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Lets everything that can run, run. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
}

async function collect<T>(from: AsyncIterable<T>): Promise<{ got: T[]; error?: unknown }> {
  const got: T[] = [];
  try {
    for await (const result of from) got.push(result);
  } catch (error) {
    return { got, error };
  }
  return { got };
}

describe('answerAll', () => {
  it.each([1, 3, 50])('yields every result once, %d at a time', async (concurrency) => {
    let numUnderWay = 0;
    let most = 0;
    const work = async (i: number): Promise<number> => {
      most = Math.max(most, (numUnderWay += 1));
      await new Promise((resolve) => setTimeout(resolve, i % 3));
      numUnderWay -= 1;
      return i;
    };
    const { got } = await collect(answerAll(NUMBERS, work, { concurrency }));
    expect(got.sort((a, b) => a - b)).toEqual(NUMBERS);
    expect(most).toBe(Math.min(concurrency, 20));
  });

  it('yields nothing for no items', async () => {
    const work = (): Promise<number> => Promise.resolve(1);
    expect(await collect(answerAll([], work, { concurrency: 4 }))).toEqual({ got: [] });
  });

  it('yields in the order of finishing, and a slow item keeps only its own place', async () => {
    const slow = later<number>();
    const seen: number[] = [];
    const work = (i: number): Promise<number> => (i === 0 ? slow.promise : Promise.resolve(i));
    for await (const i of answerAll(NUMBERS, work, { concurrency: 2 })) {
      seen.push(i);
      if (i === 19) slow.resolve(0);
    }
    expect(seen).toEqual([...NUMBERS.slice(1), 0]);
  });

  it('takes items no sooner than they are worked on, one by one', async () => {
    let numTaken = 0;
    async function* source(): AsyncGenerator<number> {
      for (const i of NUMBERS) {
        numTaken += 1;
        await Promise.resolve();
        yield i;
      }
    }
    const work = (i: number): Promise<number> => Promise.resolve(i);
    const results = answerAll(source(), work, { concurrency: 4 });
    await results.next();
    await settle();
    expect(numTaken).toBeLessThanOrEqual(4);
    await results.return();
  });

  it('throws the first error after what was finished, tells the others to stop, and waits', async () => {
    const fault = new Error('fault');
    const told: unknown[] = [];
    let isQuiet = false;
    const both = later<number>();
    const work = async (i: number, signal: AbortSignal): Promise<number> => {
      if (i < 3) return i;
      if (i === 3) {
        await both.promise;
        throw fault;
      }
      if (i === 4) return both.promise;
      // Goes on until it is told, and takes a moment to end.
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      told.push(signal.reason);
      await settle();
      isQuiet = true;
      throw new Error('told');
    };
    const run = collect(answerAll(NUMBERS, work, { concurrency: 3 }));
    await settle();
    both.resolve(4);
    const { got, error } = await run;
    expect(got).toEqual([0, 1, 2, 4]);
    expect(error).toBe(fault);
    expect(told).toEqual([fault]);
    expect(isQuiet).toBe(true);
  });

  it('throws the reason of an abort after what finished all the same', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const begun: number[] = [];
    const work = async (i: number, signal: AbortSignal): Promise<number> => {
      begun.push(i);
      if (i === 0) return 0;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      // The answer was there already.
      if (i === 1) return 1;
      throw signal.reason;
    };
    const options = { concurrency: 3, signal: stop.signal };
    const run = collect(answerAll(NUMBERS, work, options));
    await settle();
    stop.abort(reason);
    expect(await run).toEqual({ got: [0, 1], error: reason });
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it('begins nothing when the signal has aborted before', async () => {
    const reason = new Error('enough');
    const work = (): Promise<never> => Promise.reject(new Error('begun'));
    const options = { concurrency: 3, signal: AbortSignal.abort(reason) };
    expect(await collect(answerAll(NUMBERS, work, options))).toEqual({ got: [], error: reason });
  });

  it('stops and closes its source when nobody takes results any more', async () => {
    let isClosed = false;
    function* source(): Generator<number> {
      try {
        yield* NUMBERS;
      } finally {
        isClosed = true;
      }
    }
    const signals: AbortSignal[] = [];
    const work = (i: number, signal: AbortSignal): Promise<number> => {
      signals.push(signal);
      return Promise.resolve(i);
    };
    for await (const i of answerAll(source(), work, { concurrency: 2 })) if (i >= 3) break;
    expect(isClosed).toBe(true);
    expect(signals.length).toBeLessThan(8);
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
  });

  it('yields what was finished before its source fails', async () => {
    const fault = new Error('row 3');
    function* source(): Generator<number> {
      yield* [0, 1, 2];
      throw fault;
    }
    const work = (i: number): Promise<number> => Promise.resolve(i);
    const { got, error } = await collect(answerAll(source(), work, { concurrency: 8 }));
    expect(got).toEqual([0, 1, 2]);
    expect(error).toBe(fault);
  });
});
