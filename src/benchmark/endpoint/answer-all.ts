// Owns doing the same for many items, several at a time; running a benchmark and judging call it.

/** How items are worked on. */
export interface AnswerAllOptions {
  /** Most items under way or finished and not taken yet. */
  readonly concurrency: number;
  readonly signal?: AbortSignal;
}

/**
 * Yields results as they finish, in whatever order. When one fails, or the signal aborts, nothing more
 * begins, what is under way is told to stop, and what finished all the same is yielded before the error is
 * thrown: nothing that was paid for is lost.
 * @param items - taken one by one, just before they are worked on.
 */
export async function* answerAll<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  options: AnswerAllOptions,
): AsyncGenerator<Result, void> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(options.signal?.reason);
  if (options.signal?.aborted === true) onAbort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const underWay = new Set<Promise<void>>();
  const finished: Result[] = [];
  const fail = (error: unknown): void => stop.abort(error);
  const isStopped = (): boolean => stop.signal.aborted;
  const begin = (item: Item): void => {
    const task = work(item, stop.signal)
      .then((result) => void finished.push(result), fail)
      .finally(() => underWay.delete(task));
    underWay.add(task);
  };
  const source = iterate(items);
  let isOver = false;
  try {
    while (!isStopped() && (!isOver || underWay.size > 0)) {
      while (!isOver && !isStopped() && underWay.size + finished.length < options.concurrency) {
        const next = await source.next().catch(fail);
        isOver = next?.done !== false;
        // The signal may have aborted while the item was fetched.
        if (next?.done === false && !isStopped()) begin(next.value);
      }
      if (underWay.size > 0 && finished.length === 0) await Promise.race(underWay);
      yield* finished.splice(0);
    }
    await Promise.all(underWay);
    yield* finished.splice(0);
    stop.signal.throwIfAborted();
  } finally {
    stop.abort();
    await Promise.all(underWay);
    if (!isOver) await source.return?.();
    options.signal?.removeEventListener('abort', onAbort);
  }
}

function iterate<Item>(items: Iterable<Item> | AsyncIterable<Item>): AsyncIterator<Item> {
  if (Symbol.asyncIterator in items) return items[Symbol.asyncIterator]();
  const source = items[Symbol.iterator]();
  return {
    // A source that throws rejects.
    next: () => new Promise((resolve) => resolve(source.next())),
    return: () => Promise.resolve(source.return?.() ?? { done: true, value: undefined }),
  };
}
