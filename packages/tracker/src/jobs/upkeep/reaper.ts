/**
 * Takes dead devices off the books (spec §5.4): their files are queued for replication, then their
 * rows go, in batches of one transaction each. What is left is what the database still says, so any
 * tracker goes on where another died (I9), and a device that is no longer dead keeps the rest.
 */
import { FaultLog } from '../fault-log.ts';
import type { JobStatus } from '../job.ts';
import { Repeater } from '../repeater.ts';
import type { JobServices } from '../services.ts';

export interface ReaperOptions {
  /** Reaps when above 0. */
  concurrency: number;
  /** The wait between two rounds: the rate is a number of fids per round. */
  everyMs: number;
  /** How long a device has to be dead before the first row goes: time to take a mistake back. */
  graceMs: number;
  /** Told when files wait for replication. */
  onReaped: () => void;
}

const rateDefault = 1000;
const batchRows = 250;

export class Reaper {
  readonly #services: JobServices;
  readonly #options: ReaperOptions;
  readonly #repeater: Repeater;
  readonly #faults: FaultLog;
  readonly #deadSinceMs = new Map<number, number>();
  #concurrency: number;
  #paused = false;
  #stopped = false;
  #processed = 0;
  #failed = 0;

  constructor(services: JobServices, options: ReaperOptions) {
    this.#services = services;
    this.#options = options;
    this.#concurrency = options.concurrency;
    this.#faults = new FaultLog(services.log, 'reaper');
    this.#repeater = new Repeater({
      everyMs: options.everyMs,
      run: () => this.#round(),
      onError: (error) => {
        this.#failed += 1;
        this.#faults.failed(error);
      },
    });
  }

  start(): void {
    this.#repeater.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#repeater.stop();
  }

  wake(): void {
    this.#repeater.wake();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  setConcurrency(count: number): void {
    this.#concurrency = count;
  }

  status(): JobStatus {
    return {
      name: 'reaper',
      state: this.#stopped ? 'stopped' : this.#paused ? 'paused' : 'running',
      concurrency: this.#concurrency,
      running: this.#deadSinceMs.size,
      processed: this.#processed,
      settled: this.#processed,
      failed: this.#failed,
      lastError: this.#faults.last,
    };
  }

  async #round(): Promise<void> {
    const due = this.#dueDevices();
    if (due.length === 0 || this.#isResting) return;
    const { store } = this.#services;
    await store.withLock({ name: 'mgfs:reaper', waitMs: 0 }, async (lost) => {
      for (const devid of due) await this.#reapDevice(devid, lost);
    });
    this.#faults.wentWell();
  }

  get #isResting(): boolean {
    return this.#stopped || this.#paused || this.#concurrency === 0;
  }

  #dueDevices(): number[] {
    const { topology } = this.#services;
    const dead = [...topology.devices()].filter(({ status }) => status === 'dead');
    const devids = new Set(dead.map(({ devid }) => devid));
    for (const devid of this.#deadSinceMs.keys()) {
      if (!devids.has(devid)) this.#deadSinceMs.delete(devid);
    }
    const nowMs = performance.now();
    for (const devid of devids) {
      if (!this.#deadSinceMs.has(devid)) this.#deadSinceMs.set(devid, nowMs);
    }
    return [...this.#deadSinceMs]
      .filter(([, sinceMs]) => nowMs - sinceMs >= this.#options.graceMs)
      .map(([devid]) => devid);
  }

  /** Up to as many rows as a round may take, while replication keeps up. */
  async #reapDevice(devid: number, lost: AbortSignal): Promise<void> {
    const { store, topology, log } = this.#services;
    const rate = Number(topology.setting('queue_rate_for_reaper')) || rateDefault;
    const queueMax = Number(topology.setting('queue_size_for_reaper')) || 0;
    let reaped = 0;
    while (reaped < rate && !lost.aborted && !this.#isResting) {
      let limit = Math.min(batchRows, rate - reaped);
      if (queueMax > 0) limit = Math.min(limit, queueMax - (await this.#waiting(queueMax)));
      if (limit <= 0) break;
      const count = await store.upkeep.reap({ devid, limit });
      reaped += count;
      this.#processed += count;
      if (count < limit) break;
    }
    if (reaped === 0) return;
    log.info({ devid, reaped }, 'device.reaped');
    this.#options.onReaped();
  }

  #waiting(max: number): Promise<number> {
    return this.#services.store.upkeep.waitingReplications(max);
  }
}
