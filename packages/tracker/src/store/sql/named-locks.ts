/**
 * The cluster-wide locks of spec §3.7 as seen by one store: a queue per name inside the process,
 * and a driver that competes with other processes. A driver is asked again and again rather than
 * made to wait, so that one connection can serve any number of names.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

export interface LockDriver {
  /** One try; `lost` is called when the lock goes away before it is given back. */
  take(name: string, lost: () => void): Promise<boolean>;
  /** Gives a taken lock back; one that was lost is gone already. */
  give(name: string): Promise<void>;
}

const pollMsMin = 4;
const pollMsMax = 100;

export class NamedLocks {
  readonly #driver: LockDriver;
  /** Names in use in this process, with those who wait for their turn. */
  readonly #queues = new Map<string, (() => void)[]>();
  /**
   * Of all locks until the first of them is lost: nearly always all are lost with one connection,
   * and a signal for each costs more than the lock.
   */
  #lost = signalOfMany();

  constructor(driver: LockDriver) {
    this.#driver = driver;
  }

  /** See the contract. */
  async withLock<T>(
    request: { name: string; waitMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const { name, waitMs } = request;
    const deadline = performance.now() + waitMs;
    if (!(await this.#enter(name, waitMs))) return undefined;
    try {
      const lost = await this.#take(name, deadline);
      if (lost === undefined) return undefined;
      try {
        return await work(lost.signal);
      } finally {
        await this.#driver.give(name);
      }
    } finally {
      this.#leave(name);
    }
  }

  /** Waits for the turn of this caller among those of this process. */
  #enter(name: string, waitMs: number): Promise<boolean> {
    const queue = this.#queues.get(name);
    if (queue === undefined) {
      this.#queues.set(name, []);
      return Promise.resolve(true);
    }
    if (waitMs <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const enter = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(enter), 1);
        resolve(false);
      }, waitMs);
      queue.push(enter);
    });
  }

  #leave(name: string): void {
    const next = this.#queues.get(name)?.shift();
    if (next === undefined) this.#queues.delete(name);
    else next();
  }

  /** @returns undefined when somebody else holds it until the deadline. */
  async #take(name: string, deadline: number): Promise<AbortController | undefined> {
    for (let pollMs = pollMsMin; ; pollMs = Math.min(pollMs * 2, pollMsMax)) {
      const lost = this.#lost;
      if (await this.#driver.take(name, () => this.#lose(lost))) return lost;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return undefined;
      // Spread, so that those who wait for the same name do not ask in step.
      await delay(Math.min(leftMs, pollMs * (0.5 + Math.random())));
    }
  }

  #lose(lost: AbortController): void {
    if (this.#lost === lost) this.#lost = signalOfMany();
    lost.abort();
  }
}

function signalOfMany(): AbortController {
  const controller = new AbortController();
  // Node takes more than ten for a leak.
  setMaxListeners(0, controller.signal);
  return controller;
}
