/** Waiting for a condition with a deadline: the only way tests wait. */
import { setTimeout as delay } from 'node:timers/promises';

/** It only fails what hangs: enough for what takes ten seconds, on a machine that is very busy. */
const deadlineMsDefault = 180_000;

/**
 * Polls `probe` until it returns something other than undefined or false.
 * @throws Error naming `description` and the last failure when the deadline passes.
 */
export async function until<T>(
  description: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { deadlineMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + (options.deadlineMs ?? deadlineMsDefault);
  let failure: unknown;
  for (;;) {
    try {
      const seen = await probe();
      if (seen !== undefined && seen !== false) return seen;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited in vain for: ${description}`, { cause: failure });
    }
    await delay(options.everyMs ?? 20);
  }
}
