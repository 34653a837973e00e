/** Ctrl-C, SIGTERM and a closed terminal as an AbortSignal, for commands that have to clean up. */
import { once, setMaxListeners } from 'node:events';

/** The work was ended by a signal, before it was done. */
export class Interrupted extends Error {}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `work` with a signal that the first interrupt aborts; a second one ends the process.
 * @throws Interrupted when the work failed after an interrupt; otherwise what the work throws.
 */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // Many transfers at once listen to it; that is no leak.
  setMaxListeners(0, controller.signal);
  const abort = () => controller.abort(new Interrupted('interrupted'));
  for (const name of signals) process.once(name, abort);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (controller.signal.aborted) throw new Interrupted('interrupted', { cause: error });
    throw error;
  } finally {
    for (const name of signals) process.off(name, abort);
  }
}

/** Resolves when the signal is aborted. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  // Something has to keep the process alive meanwhile.
  const alive = setInterval(() => {}, 3_600_000);
  await once(signal, 'abort');
  clearInterval(alive);
}
