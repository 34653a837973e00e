/** Work on many resources of one request, a few at a time: each waits for disks and databases. */

/** Stops at the first failure and throws it when what was begun has ended. */
export async function inParallel<T>(
  items: AsyncIterable<T>,
  { atOnce, work }: { atOnce: number; work: (item: T) => Promise<void> },
): Promise<void> {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  try {
    for await (const item of items) {
      if (failure !== undefined) break;
      const task = work(item).then(
        () => void running.delete(task),
        (error: unknown) => {
          running.delete(task);
          failure ??= { error };
        },
      );
      running.add(task);
      if (running.size >= atOnce) await Promise.race(running);
    }
  } finally {
    await Promise.all(running);
  }
  if (failure !== undefined) throw failure.error;
}
