/**
 * Measures what the jobs of this tracker get through and writes it down for all trackers to add up.
 * A rate is help, not truth: it follows changes within half a minute.
 */
import { OmgfsError } from '@omgfs/protocol';
import { FaultLog } from './fault-log.ts';
import type { JobStatus } from './job.ts';
import { Repeater } from './repeater.ts';
import type { JobServices } from './services.ts';

/** The part of a new measurement in the rate. */
const freshShare = 0.4;
/** One in half an hour; less is none. */
const rateMin = 1 / 1800;

interface Measured {
  done: number;
  atMs: number;
  perSecond: number;
}

export class Rates {
  readonly #services: Pick<JobServices, 'store' | 'log'>;
  readonly #options: { tracker: string; jobs: Readonly<Record<string, () => JobStatus>> };
  readonly #repeater: Repeater;
  readonly #faults: FaultLog;
  readonly #measured = new Map<string, Measured>();
  #isAllowed = true;

  /** @param options.tracker is a name that no other process of the cluster has. */
  constructor(
    services: Pick<JobServices, 'store' | 'log'>,
    options: {
      tracker: string;
      everyMs: number;
      jobs: Readonly<Record<string, () => JobStatus>>;
    },
  ) {
    this.#services = services;
    this.#options = options;
    this.#faults = new FaultLog(services.log, 'rates');
    this.#repeater = new Repeater({
      everyMs: options.everyMs,
      run: () => this.#round(),
      onError: (error) => this.#faults.failed(error),
    });
  }

  start(): void {
    this.#repeater.start();
  }

  async stop(): Promise<void> {
    await this.#repeater.stop();
  }

  async #round(): Promise<void> {
    const rates = new Map<string, number>();
    for (const [job, status] of Object.entries(this.#options.jobs)) {
      const before = this.#measured.get(job);
      const perSecond = this.#measure(job, status());
      // A job that rests is said to once, and no more.
      if (perSecond > 0 || (before?.perSecond ?? 0) > 0) rates.set(job, perSecond);
    }
    if (!this.#isAllowed) return;
    try {
      await this.#services.store.rates.write(this.#options.tracker, rates);
      this.#faults.wentWell();
    } catch (error) {
      if (!(error instanceof OmgfsError) || error.code !== 'FAILURE') throw error;
      this.#isAllowed = false;
      this.#services.log.warn({ reason: error.message }, 'rates.unavailable');
    }
  }

  #measure(job: string, { settled: done, state }: JobStatus): number {
    const atMs = performance.now();
    const before = this.#measured.get(job) ?? { done, atMs, perSecond: 0 };
    // When it goes on it does so at the rate it had, and nobody is told of the rate meanwhile.
    if (state === 'paused') {
      this.#measured.set(job, { ...before, done, atMs });
      return before.perSecond;
    }
    const seconds = Math.max(0.001, (atMs - before.atMs) / 1000);
    const fresh = (done - before.done) / seconds;
    // The first measurement is all there is.
    const share = before.perSecond === 0 ? 1 : freshShare;
    const smooth = before.perSecond * (1 - share) + fresh * share;
    const perSecond = smooth < rateMin ? 0 : smooth;
    this.#measured.set(job, { done, atMs, perSecond });
    return perSecond;
  }
}
