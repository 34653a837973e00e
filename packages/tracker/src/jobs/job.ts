/**
 * A background job: claims due units from a queue of the database and works on some of them at
 * once. It claims only what it can begin at once, so that a tracker that dies holds little back,
 * and for many together while the queue is long. A failing unit never ends it; a failing database
 * slows it down. How many run at once can change meanwhile.
 */
import { stopController } from '../devices/any-signal.ts';
import type { Log } from '../log.ts';
import { FaultLog } from './fault-log.ts';
import { Renewing } from './renewing.ts';
import { Repeater } from './repeater.ts';

export interface JobOptions<Unit> {
  name: string;
  log: Log;
  /** Units that run at once; 0 lets the job rest. */
  concurrency: number;
  /** The wait after the queue was found empty, in milliseconds. */
  idleMs: number;
  /** Claims up to `limit` due units. */
  claim: (limit: number) => Promise<Unit[]>;
  /** Rows of the queue in a unit, where it is not one. */
  rowsOf?: (unit: Unit) => number;
  /**
   * Works on one unit; `stopping` fires when the tracker stops.
   * @returns how many of its rows wait in the queue for another try.
   */
  work: (unit: Unit, stopping: AbortSignal) => Promise<number>;
  /** Queues a unit whose work threw for another try. */
  putOff: (unit: Unit) => Promise<void>;
  /** How long a claim lasts, in seconds. */
  claimSeconds: number;
  /** Begins the claims of units anew that are in work for longer. */
  renew: (units: Unit[]) => Promise<void>;
}

export interface JobStatus {
  name: string;
  state: 'running' | 'paused' | 'stopped';
  concurrency: number;
  /** Units in work now. */
  running: number;
  /** Rows of the queue that were worked on. */
  processed: number;
  /** Those among them that are done, and wait for nothing. */
  settled: number;
  failed: number;
  /** What failed last, unless something went well since. */
  lastError: string | undefined;
}

/** Claims cost the same for one unit and for many. */
const gatherMsMax = 100;
/** Of what a claim lasts: the first renewal comes in its first half. */
const renewAfter = 0.24;

export class Job<Unit> {
  readonly #options: JobOptions<Unit>;
  readonly #repeater: Repeater;
  readonly #stopping = stopController();
  readonly #running = new Set<Promise<void>>();
  #concurrency: number;
  #paused = false;
  #onSlot: () => void = () => {};
  #processed = 0;
  #settled = 0;
  #failed = 0;
  readonly #faults: FaultLog;
  readonly #renewing: Renewing<Unit>;

  constructor(options: JobOptions<Unit>) {
    this.#options = options;
    this.#concurrency = options.concurrency;
    this.#faults = new FaultLog(options.log, options.name);
    this.#repeater = new Repeater({
      everyMs: options.idleMs,
      run: () => this.#drain(),
      onError: (error) => this.#faults.failed(error),
    });
    const renewals = new FaultLog(options.log, `${options.name}-claims`);
    this.#renewing = new Renewing({
      everyMs: options.claimSeconds * renewAfter * 1000,
      renew: (units) => options.renew(units).then(() => renewals.wentWell()),
      onError: (error) => renewals.failed(error),
    });
  }

  start(): void {
    this.#repeater.start();
  }

  /** Lets the units in work come to an end and starts no other. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#onSlot();
    await this.#repeater.stop();
    await Promise.all(this.#running);
    await this.#renewing.stop();
  }

  /** Says that a unit may wait in the queue. */
  wake(): void {
    this.#repeater.wake();
  }

  /** Lets units in work come to an end and starts no other until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#slotsChanged();
  }

  /** Sets how many units run at once from now on; those in work are not cut off. */
  setConcurrency(count: number): void {
    this.#concurrency = count;
    this.#slotsChanged();
  }

  status(): JobStatus {
    const stopped = this.#stopping.signal.aborted;
    return {
      name: this.#options.name,
      state: stopped ? 'stopped' : this.#paused ? 'paused' : 'running',
      concurrency: this.#concurrency,
      running: this.#running.size,
      processed: this.#processed,
      settled: this.#settled,
      failed: this.#failed,
      lastError: this.#faults.last,
    };
  }

  /** Works until the queue is empty or the job must rest. */
  async #drain(): Promise<void> {
    let isLong = false;
    while (!this.#stopping.signal.aborted && !this.#paused && this.#concurrency > 0) {
      const free = this.#concurrency - this.#running.size;
      if (free <= 0) {
        await new Promise<void>((resolve) => {
          this.#onSlot = resolve;
        });
        // What was written together ends together, and is claimed for together.
        await new Promise(setImmediate);
        continue;
      }
      if (isLong && free < this.#concurrency / 2) await this.#gather();
      const limit = Math.max(1, this.#concurrency - this.#running.size);
      const units = await this.#options.claim(limit);
      if (units.length === 0) return;
      isLong = units.length === limit;
      for (const unit of units) this.#begin(unit);
    }
  }

  /** Waits until half of the units in work have ended, for a short while. */
  #gather(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, gatherMsMax);
      this.#onSlot = () => {
        if (this.#running.size > this.#concurrency / 2) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #begin(unit: Unit): void {
    this.#renewing.begin(unit);
    const done = this.#work(unit).finally(() => {
      this.#renewing.end(unit);
      this.#running.delete(done);
      this.#onSlot();
    });
    this.#running.add(done);
  }

  async #work(unit: Unit): Promise<void> {
    try {
      const waiting = await this.#options.work(unit, this.#stopping.signal);
      const rows = this.#options.rowsOf?.(unit) ?? 1;
      this.#processed += rows;
      this.#settled += rows - waiting;
      this.#faults.wentWell();
    } catch (error) {
      this.#failed += 1;
      this.#faults.failed(error);
      // When this fails too, the claim runs out some time and the unit comes up again.
      await this.#options.putOff(unit).catch((again: unknown) => this.#faults.failed(again));
    }
  }

  #slotsChanged(): void {
    this.#onSlot();
    this.wake();
  }
}
