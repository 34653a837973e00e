/** Waiting for what a disk may never answer, with a bound that leaves no timer behind. */
import { startAwakeTimer } from '@omgfs/daemon';

/** @returns what the work gives, or `late`; its failure after that is nobody's. */
export async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<'late'>((resolve) => {
    timer = startAwakeTimer(limitMs, () => resolve('late')).unref();
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
