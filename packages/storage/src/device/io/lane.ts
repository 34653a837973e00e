/**
 * The system calls of one device that may be under way at once. They run on threads that all
 * devices share, so a disk that hangs may hold its own share of them and not one more.
 */
import { OmgfsError } from '@omgfs/protocol';
import { errnoOf } from '../files.ts';
import type { Runner } from './runner.ts';

/** More than the busiest device should ever see; who comes later is told to try again. */
const waitingMax = 4096;

/** Those that have started leave the queue together, which costs less than one by one. */
const startedMax = 256;

/** What a call ends with when its disk fails, not when something is not there or not allowed. */
const diskErrors: ReadonlySet<string> = new Set(['EIO', 'EROFS', 'ENXIO', 'ENODEV', 'ETIMEDOUT']);

interface Waiting {
  start: () => void;
  fail: (reason: OmgfsError) => void;
}

export class Lane {
  readonly #width: number;
  #running = 0;
  #movedAtMs = 0;
  #failed = 0;
  #onIdle: (() => void) | undefined;
  /** Those before `#next` have started. */
  #waiting: Waiting[] = [];
  #next = 0;

  /** @param width calls under way at once. */
  constructor(width: number) {
    this.#width = width;
  }

  /**
   * Runs a call now, or after those that wait already.
   * @throws DEVICE_BUSY when too many wait; whatever the call throws.
   */
  readonly run: Runner = (call) => {
    if (this.#running < this.#width) return this.#start(call);
    if (this.#waiting.length - this.#next >= waitingMax) {
      return Promise.reject(new OmgfsError('DEVICE_BUSY'));
    }
    return new Promise((resolve, reject) => {
      const start = () => void this.#start(call).then(resolve, reject);
      this.#waiting.push({ start, fail: reject });
    });
  };

  /** Fails all that wait, for a disk that does not answer; what is under way cannot be ended. */
  failWaiting(reason: OmgfsError): void {
    const waiting = this.#waiting.slice(this.#next);
    this.#waiting = [];
    this.#next = 0;
    for (const { fail } of waiting) fail(reason);
  }

  /** Calls under way and waiting now, and those that the disk failed so far. */
  get load(): { running: number; waiting: number; failed: number } {
    const waiting = this.#waiting.length - this.#next;
    return { running: this.#running, waiting, failed: this.#failed };
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** For how long calls have been under way of which none has ended. */
  get stalledMs(): number {
    return this.#running === 0 ? 0 : performance.now() - this.#movedAtMs;
  }

  #start<T>(call: () => Promise<T>): Promise<T> {
    if (this.#running === 0) this.#movedAtMs = performance.now();
    this.#running += 1;
    const running = call();
    running.then(this.#end, this.#fail);
    return running;
  }

  readonly #fail = (error: unknown): void => {
    if (diskErrors.has(errnoOf(error))) this.#failed += 1;
    this.#end();
  };

  readonly #end = (): void => {
    this.#running -= 1;
    this.#movedAtMs = performance.now();
    const next = this.#waiting[this.#next];
    if (next === undefined) {
      if (this.#running === 0) this.#onIdle?.();
      return;
    }
    this.#next += 1;
    // Not only when nobody waits, which may never be: those that have started hold memory.
    if (this.#next >= startedMax || this.#next === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    next.start();
  };
}
