/** A process may stand still between any two steps, and wake up when others do its work. */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Whether none of the signals has fired, asked right before what cannot be taken back. Who wakes
 * up finds the answer it waited for beside the end of the connection that held its locks; the wait
 * lets both be heard, and timers that are overdue.
 */
export async function isStillOurs(signals: readonly AbortSignal[]): Promise<boolean> {
  await delay(1);
  return signals.every(({ aborted }) => !aborted);
}
