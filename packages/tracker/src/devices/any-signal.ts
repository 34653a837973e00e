/**
 * One signal for work that several may end. `AbortSignal.any` would do, but Node 20 keeps what it
 * makes for as long as a signal it was made of lives, and ours live as long as the process.
 */
import { setMaxListeners } from 'node:events';

/** What ends work of which much may be going on: Node takes more than ten listeners for a leak. */
export function stopController(): AbortController {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  return stop;
}

/** Runs `work` under a signal that ends with the first of `signals`, which keep nothing of it. */
export async function underAny<T>(
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const either = new AbortController();
  // As many as there are jobs at work; Node takes more than ten for a leak.
  setMaxListeners(0, ...signals);
  const abort = () => either.abort(new Error('stopped'));
  for (const signal of signals) signal.addEventListener('abort', abort, { once: true });
  if (signals.some(({ aborted }) => aborted)) abort();
  try {
    return await work(either.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', abort);
  }
}
