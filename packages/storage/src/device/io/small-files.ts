/**
 * Who writes the small files of one device, and reads those that go out together: while there are
 * many of them a thread of its own (see FileThread), else, and when it cannot, whoever does it for
 * all others. A thread takes some ten
 * megabytes, so a node has a few of them for its busiest devices.
 */
import type { Log } from '../../log.ts';
import { FileThread } from './file-thread.ts';
import { Gather } from './gather.ts';
import type { Lane } from './lane.ts';

/** What the devices of a node share. */
export interface ThreadShare {
  /** Threads that may still be started. */
  free: number;
  /** What they run. */
  program?: URL;
}

export const threadsMax = 8;
/** So many files within a second are worth a thread. */
const busyFiles = 64;
const busyMs = 1000;
/** A thread that has not moved for so long is left alone, and more calls are made side by side. */
const stalledMsMax = 100;
/** As many as are synced side by side. */
const syncedTogether = 16;
/** After one was lost. */
const pauseMs = 60_000;

export class SmallFiles {
  readonly #options: { devid: number; log: Log; share: ThreadShare };
  /** Where files wait for others after their sync. */
  readonly synced = new Gather(syncedTogether);
  #thread: FileThread | undefined;
  #files = 0;
  #sinceMs = 0;
  #used = false;
  #notBeforeMs = 0;

  constructor(options: { devid: number; log: Log; share: ThreadShare }) {
    this.#options = options;
  }

  /** The thread, if it is there and takes a file of that size now; many such files start one. */
  thread(bytes: number, ...paths: string[]): FileThread | undefined {
    if (this.#thread === undefined && FileThread.fits(bytes, ...paths)) this.#count();
    return this.running(bytes, ...paths);
  }

  /** The same of one that was started before. */
  running(bytes: number, ...paths: string[]): FileThread | undefined {
    const thread = this.#thread;
    if (thread === undefined || !FileThread.fits(bytes, ...paths)) return undefined;
    this.#used = true;
    return thread.free && thread.stalledMs < stalledMsMax ? thread : undefined;
  }

  /** For how long its calls have been under way of which none has ended. */
  get stalledMs(): number {
    return this.#thread?.stalledMs ?? 0;
  }

  /** A load and that of the thread: the order that is carried out, and those behind it. */
  addTo(load: Lane['load']): Lane['load'] {
    const orders = this.#thread?.underWay ?? 0;
    if (orders === 0) return load;
    return { ...load, running: load.running + 1, waiting: load.waiting + orders - 1 };
  }

  /** Fails what waits, for a disk that does not answer. */
  failWaiting(reason: Error): void {
    this.#thread?.failWaiting(reason);
  }

  /** Called every now and then: ends a thread that was not needed since the last time. */
  endIdle(): void {
    // Not waited for: its disk may hang.
    if (!this.#used) void this.#thread?.end();
    this.#used = false;
  }

  /** Resolves when what is under way is done. */
  async close(): Promise<void> {
    await this.#thread?.end();
  }

  #count(): void {
    const now = performance.now();
    if (now - this.#sinceMs > busyMs) {
      this.#sinceMs = now;
      this.#files = 0;
    }
    this.#files += 1;
    if (this.#files >= busyFiles && now >= this.#notBeforeMs) this.#start();
  }

  #start(): void {
    const { share } = this.#options;
    if (share.free === 0) return;
    try {
      const thread = new FileThread(share.program);
      share.free -= 1;
      this.#thread = thread;
      this.#used = true;
      this.#options.log.debug({ devid: this.#options.devid }, 'thread.started');
      void thread.gone.then((reason) => {
        share.free += 1;
        this.#thread = undefined;
        if (reason !== undefined) this.#lost(reason);
      });
    } catch (error) {
      this.#lost(error);
    }
  }

  #lost(error: unknown): void {
    const { devid, log } = this.#options;
    this.#notBeforeMs = performance.now() + pauseMs;
    log.warn({ devid, reason: `small files are written the slower way: ${error}` }, 'thread.lost');
  }
}
