/** Work on items that come one after the other, so many at once and no further ahead. */

/** In no order; the first error ends it, and is thrown when nothing runs any more. */
export async function eachParallel<T>(
  items: AsyncIterable<T>,
  { concurrency }: { concurrency: number },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  let failure: { error: unknown } | undefined;
  const worker = async () => {
    while (failure === undefined) {
      try {
        const next = await iterator.next();
        if (next.done) return;
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await iterator.return?.();
  if (failure !== undefined) throw failure.error;
}

/** What `work` makes of the items, in their order, while further ones are worked on. */
export async function* mapParallel<T, U>(
  items: AsyncIterable<T>,
  { concurrency }: { concurrency: number },
  work: (item: T) => Promise<U>,
): AsyncGenerator<U> {
  const iterator = items[Symbol.asyncIterator]();
  const running: Promise<U>[] = [];
  try {
    for (let ended = false; !ended || running.length > 0; ) {
      if (!ended && running.length < concurrency) {
        const next = await iterator.next();
        if (next.done) ended = true;
        else {
          const promise = work(next.value);
          // Its error is thrown in its turn.
          promise.catch(() => {});
          running.push(promise);
        }
        continue;
      }
      const first = running.shift();
      if (first !== undefined) yield await first;
    }
  } finally {
    await Promise.allSettled(running);
    await iterator.return?.();
  }
}
