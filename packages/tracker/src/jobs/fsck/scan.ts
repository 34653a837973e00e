/**
 * Drives a run: reads the files in the order of fids, looks at them, and moves the position. One
 * tracker does that at a time, by a lease in the database; when it dies another goes on where it
 * was (I9). The next files are read while those before are looked at and written.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { stopController } from '../../devices/any-signal.ts';
import type { FsckFile, FsckState } from '../../store/fsck-store.ts';
import { FaultLog } from '../fault-log.ts';
import { Repeater } from '../repeater.ts';
import type { JobServices } from '../services.ts';
import { type Findings, type Inspector, modeOf, waitsOf } from './inspect.ts';

export interface ScanOptions {
  /** Name of this tracker as `fsck_host` keeps it. */
  host: string;
  /** Unique among all trackers, unlike the host. */
  owner: string;
  idleMs: number;
  /** Whether this tracker takes part now. */
  active: () => boolean;
  /** A run of another tracker that stands still for so long is taken over. */
  abandonedMs?: number | undefined;
  /** Said when files wait for a closer look. */
  onSuspects: () => void;
}

/** Files of one step, also when the operator allows more; a step is a commit. */
const stepFilesMax = { full: 1_000, policyOnly: 5_000 };
/** Steps looked at together. */
const stepsAtOnce = 4;
/** `queue_size_for_fsck` when it is not set (spec §3.5). */
const queueMaxDefault = 20_000;
const renewEveryMs = 2_000;
const abandonedMsDefault = 120_000;
const fullWaitMs = 250;

interface Step {
  from: number;
  to: number;
  files: number;
  asksDevices: boolean;
  findings: Promise<Findings>;
}

export class Scan {
  readonly #services: JobServices;
  readonly #inspector: Inspector;
  readonly #options: ScanOptions;
  readonly #repeater: Repeater;
  readonly #faults: FaultLog;
  readonly #stopping = stopController();
  #seen = { position: -1, sinceMs: 0 };
  /** Since when the time of driving is not counted yet, on the clock of `performance`. */
  #uncountedSinceMs = 0;

  constructor(parts: { services: JobServices; inspector: Inspector }, options: ScanOptions) {
    this.#services = parts.services;
    this.#inspector = parts.inspector;
    this.#options = options;
    this.#faults = new FaultLog(parts.services.log, 'fsck');
    this.#repeater = new Repeater({
      everyMs: options.idleMs,
      run: () => this.#run(),
      onError: (error) => this.#faults.failed(error),
    });
  }

  start(): void {
    this.#repeater.start();
  }

  wake(): void {
    this.#repeater.wake();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#repeater.stop();
  }

  get lastError(): string | undefined {
    return this.#faults.last;
  }

  get #isActive(): boolean {
    return this.#options.active() && !this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    if (!this.#isActive) return;
    const state = await this.#fsck.state();
    if (state.host !== undefined && (await this.#lease(state))) await this.#drive();
    this.#faults.wentWell();
  }

  get #fsck() {
    return this.#services.store.fsck;
  }

  async #lease(state: FsckState): Promise<boolean> {
    const { owner, host } = this.#options;
    return this.#fsck.lease({ owner, host, abandoned: await this.#isAbandoned(state) });
  }

  /** Whether nobody drives the run, although nothing keeps it from going on. */
  async #isAbandoned({ position, queueMax = queueMaxDefault }: FsckState): Promise<boolean> {
    const nowMs = performance.now();
    if (position !== this.#seen.position) this.#seen = { position, sinceMs: nowMs };
    const { abandonedMs = abandonedMsDefault } = this.#options;
    if (nowMs - this.#seen.sinceMs < abandonedMs) return false;
    return (await this.#fsck.due(queueMax)) < queueMax;
  }

  async #drive(): Promise<void> {
    const { owner, host } = this.#options;
    const { log } = this.#services;
    const renewal = setInterval(() => {
      // When this fails the lease runs out, and the next step is refused.
      this.#fsck.lease({ owner, host, abandoned: false }).catch((error) => {
        this.#faults.failed(error);
      });
    }, renewEveryMs);
    this.#uncountedSinceMs = performance.now();
    try {
      let state = await this.#fsck.state();
      log.info({ position: state.position, end: state.end }, 'fsck.started');
      while (state.host !== undefined && this.#isActive && (await this.#lease(state))) {
        await this.#pass(state);
        state = await this.#fsck.state();
      }
      log.info({ position: state.position, end: state.end }, 'fsck.left');
    } finally {
      clearInterval(renewal);
      await this.#fsck.release(owner);
    }
  }

  /** Until the end, or until somebody moved, reset or stopped the run. */
  async #pass(begun: FsckState): Promise<void> {
    const { owner } = this.#options;
    const steps: Step[] = [];
    const pace = new Pace();
    let state = begun;
    let after = state.position;
    const readOn = () => {
      const filesAhead = steps.reduce((sum, step) => sum + step.files, 0);
      return handled(this.#read(state, { after, filesAhead, pace }));
    };
    let reading = readOn();
    // Nothing more can be read before a step is written.
    let isHeld = false;
    try {
      for (;;) {
        const [oldest] = steps;
        const isFull = isHeld || after >= state.end || steps.length >= stepsAtOnce;
        if (oldest !== undefined && (isFull || (await isFirst(oldest.findings, reading)))) {
          steps.shift();
          if (!(await this.#commit(oldest))) return;
          isHeld = false;
        } else {
          const range = await reading;
          isHeld = range === undefined && oldest !== undefined;
          if (range !== undefined) {
            const { files, upTo } = range;
            const findings = handled(this.#inspector.inspect(files, modeOf(state)));
            const asksDevices = !state.policyOnly;
            steps.push({ from: after, to: upTo, files: files.length, asksDevices, findings });
            after = upTo;
          } else if (oldest === undefined && after >= state.end) {
            await this.#fsck.finish({ owner, from: after });
            return;
          }
          reading = readOn();
          if (oldest !== undefined || range !== undefined) continue;
        }
        state = await this.#fsck.state();
        if (state.host === undefined || !this.#isActive || state.end !== begun.end) return;
      }
    } finally {
      await Promise.allSettled([reading, ...steps.map(({ findings }) => findings)]);
    }
  }

  async #commit({ from, to, files, asksDevices, findings }: Step): Promise<boolean> {
    const found = await findings;
    const { suspects, miscounted } = found;
    const nowMs = performance.now();
    const moved = await this.#fsck.advance({
      owner: this.#options.owner,
      from,
      to,
      checked: files,
      activeMs: nowMs - this.#uncountedSinceMs,
      miscounted,
      waits: waitsOf(found, { asksDevices }),
    });
    this.#uncountedSinceMs = nowMs;
    if (moved) this.#inspector.report(found);
    if (suspects.length > 0) this.#options.onSuspects();
    return moved;
  }

  /** The next files; undefined when there are none, or no room for them at the moment. */
  async #read(
    state: FsckState,
    ahead: { after: number; filesAhead: number; pace: Pace },
  ): Promise<{ files: FsckFile[]; upTo: number } | undefined> {
    const { after, filesAhead, pace } = ahead;
    const { end, limits, queueMax = queueMaxDefault, ratePerSecondMax } = state;
    if (after >= end) return undefined;
    const signal = this.#stopping.signal;
    const room = queueMax - filesAhead - (await this.#fsck.due(queueMax));
    if (room <= 0) {
      if (filesAhead === 0) await delay(fullWaitMs, undefined, { signal }).catch(() => {});
      return undefined;
    }
    const stepMax = state.policyOnly ? stepFilesMax.policyOnly : stepFilesMax.full;
    const filesMax = Math.min(room, stepMax, ratePerSecondMax ?? stepMax);
    await pace.wait(signal);
    const range = await this.#fsck.range({ after, end, limits, filesMax });
    pace.spent(range.files.length, ratePerSecondMax);
    return range;
  }
}

/** A promise that is awaited later; if it fails before that, this is not news to the process. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Whether `one` is settled before `other`, or both are. */
function isFirst(one: Promise<unknown>, other: Promise<unknown>): Promise<boolean> {
  const settled = (promise: Promise<unknown>, answer: boolean) =>
    promise.then(
      () => answer,
      () => answer,
    );
  return Promise.race([settled(one, true), settled(other, false)]);
}

/** Keeps to a rate. */
class Pace {
  #freeAtMs = 0;

  async wait(signal: AbortSignal): Promise<void> {
    const waitMs = this.#freeAtMs - performance.now();
    if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {});
  }

  spent(files: number, perSecondMax: number | undefined): void {
    if (perSecondMax === undefined) return;
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now()) + (1000 * files) / perSecondMax;
  }
}
