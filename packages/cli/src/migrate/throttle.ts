/** Keeps all transfers together below a rate. */
import { setTimeout as delay } from 'node:timers/promises';

/** What may go at once after a pause, in milliseconds of the rate. */
const burstMs = 200;

export class Throttle {
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal;
  /** When everything that was let through is paid for. */
  #paidAtMs = 0;

  /** @param bytesPerSecond no limit when undefined. */
  constructor(bytesPerSecond: number | undefined, signal: AbortSignal) {
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.#signal = signal;
  }

  /** Resolves when so many bytes may go on. @throws the reason of the signal. */
  async take(bytes: number): Promise<void> {
    const nowMs = performance.now();
    const costMs = (bytes / this.#bytesPerSecond) * 1000;
    this.#paidAtMs = Math.max(this.#paidAtMs, nowMs - burstMs) + costMs;
    const waitMs = this.#paidAtMs - nowMs;
    if (waitMs > 0) await delay(waitMs, undefined, { signal: this.#signal });
  }
}
