/**
 * Collects why files wait and writes it down in batches, for every tracker to read. Notes are help,
 * not truth: those that a crash or a flood loses are made again by the next attempt.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Note, NotedJob } from '../store/note-store.ts';
import { FaultLog } from './fault-log.ts';
import { Repeater } from './repeater.ts';
import { type JobServices, nowSeconds } from './services.ts';

/** Changes held in memory; what comes when it is full is dropped. */
const pendingMax = 5_000;
/** Notes kept in the database. */
const keptMax = 100_000;
/** Writes between two looks whether there are too many. */
const pruneEvery = 10_000;

export class Notes {
  readonly #services: Pick<JobServices, 'store' | 'log'>;
  readonly #repeater: Repeater;
  /** By job and fid; undefined where the note is to go. */
  #pending = new Map<string, { job: NotedJob; fid: number; note: Note | undefined }>();
  #written = 0;
  #isAllowed = true;

  constructor(services: Pick<JobServices, 'store' | 'log'>, everyMs: number) {
    this.#services = services;
    const faults = new FaultLog(services.log, 'notes');
    this.#repeater = new Repeater({
      everyMs,
      run: () => this.#flush(),
      onError: (error) => faults.failed(error),
    });
  }

  start(): void {
    this.#repeater.start();
  }

  async stop(): Promise<void> {
    await this.#repeater.stop();
    await this.#flush().catch(() => undefined);
  }

  /** Says why an attempt failed. */
  failed(job: NotedJob, fid: number, why: { code: string; reason: string }): void {
    const { code, reason } = why;
    this.#put(job, fid, { fid, job, utime: nowSeconds(), code, reason });
  }

  /** Says that a file is done with; `failcount` is that of its row, so that most cost nothing. */
  settled(job: NotedJob, { fid, failcount }: { fid: number; failcount: number }): void {
    if (failcount > 0) this.#put(job, fid, undefined);
  }

  #put(job: NotedJob, fid: number, note: Note | undefined): void {
    const id = `${job} ${fid}`;
    if (!this.#isAllowed || (this.#pending.size >= pendingMax && !this.#pending.has(id))) return;
    this.#pending.set(id, { job, fid, note });
  }

  async #flush(): Promise<void> {
    if (this.#pending.size === 0) return;
    const pending = [...this.#pending.values()];
    this.#pending = new Map();
    const { store, log } = this.#services;
    const notes = pending.flatMap(({ note }) => (note === undefined ? [] : [note]));
    try {
      if (notes.length > 0) await store.notes.write(notes);
    } catch (error) {
      if (!(error instanceof OmgfsError) || error.code !== 'FAILURE') throw error;
      this.#isAllowed = false;
      log.warn({ reason: error.message }, 'notes.unavailable');
      return;
    }
    for (const job of ['replicate', 'delete'] as const) {
      const gone = pending.filter((one) => one.job === job && one.note === undefined);
      if (gone.length > 0)
        await store.notes.remove(
          job,
          gone.map(({ fid }) => fid),
        );
    }
    this.#written += notes.length;
    if (this.#written < pruneEvery) return;
    this.#written = 0;
    await store.notes.prune(keptMax);
  }
}
