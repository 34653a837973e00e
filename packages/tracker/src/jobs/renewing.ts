/** Work may take longer than the lease of its claim; nobody else may begin it meanwhile. */

/** Renews until the work is done; never after this resolves. `renew` does not reject. */
export async function renewing<T>(
  renew: () => Promise<void>,
  everyMs: number,
  work: () => Promise<T>,
): Promise<T> {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= renew().finally(() => {
      running = undefined;
    });
  }, everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    await running;
  }
}
