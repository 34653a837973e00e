/**
 * Carries many small requests in few sends. While as many batches as allowed are in flight,
 * requests are collected; an idle batcher sends at the end of the event loop's turn, so nothing is
 * delayed. Promises: requests that share a conflict key are sent one after the other in order of
 * arrival; a request that cannot be carried fails alone; the queue is bounded.
 */
import { limits, OmgfsError, toOmgfsError } from '@omgfs/protocol';

export interface BatcherOptions<Request, Result> {
  /** Most requests in one send. */
  rowsMax: number;
  /** Most sends at the same time. */
  inFlightMax: number;
  /** Requests waiting; more are refused with DB_DOWN. */
  queueMax: number;
  /** What must not be worked on twice at the same time. */
  conflictKeys?: (request: Request) => readonly string[];
  /** Answers each request, in their order; on rejection nothing of the batch has happened. */
  send: (requests: Request[]) => Promise<Result[]>;
}

interface Waiting<Request, Result> {
  request: Request;
  keys: readonly string[];
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

const noKeys: readonly string[] = [];

export class Batcher<Request, Result> {
  readonly #options: BatcherOptions<Request, Result>;
  #waiting: Waiting<Request, Result>[] = [];
  /** Conflict keys of what is in flight. */
  readonly #busy = new Set<string>();
  #inFlight = 0;
  #scheduled = false;

  constructor(options: BatcherOptions<Request, Result>) {
    this.#options = options;
  }

  /** @throws DB_DOWN when the queue is full; else what `send` throws for this request. */
  run(request: Request): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= this.#options.queueMax) {
        const message = 'The database is too slow: too many requests wait for it.';
        reject(new OmgfsError('DB_DOWN', { message }));
        return;
      }
      const keys = this.#options.conflictKeys?.(request) ?? noKeys;
      this.#waiting.push({ request, keys, resolve, reject });
      this.#schedule();
    });
  }

  /** One event loop turn's arrivals join the same batch. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#options.inFlightMax) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#inFlight < this.#options.inFlightMax && this.#waiting.length > 0) {
      const batch = this.#options.conflictKeys === undefined ? this.#takeFirst() : this.#take();
      if (batch.length === 0) return;
      this.#inFlight += 1;
      void this.#carry(batch);
    }
  }

  #takeFirst(): Waiting<Request, Result>[] {
    return this.#waiting.splice(0, this.#options.rowsMax);
  }

  /** The oldest requests whose keys nobody before them has, in flight or waiting. */
  #take(): Waiting<Request, Result>[] {
    const batch: Waiting<Request, Result>[] = [];
    const left: Waiting<Request, Result>[] = [];
    const passed = new Set<string>();
    let index = 0;
    for (; index < this.#waiting.length && batch.length < this.#options.rowsMax; index += 1) {
      const entry = this.#waiting[index];
      if (entry === undefined) break;
      const blocked = entry.keys.some((key) => this.#busy.has(key) || passed.has(key));
      (blocked ? left : batch).push(entry);
      // Those behind a held-back request wait for it, or they would overtake it.
      for (const key of entry.keys) passed.add(key);
    }
    this.#waiting = left.concat(this.#waiting.slice(index));
    for (const entry of batch) for (const key of entry.keys) this.#busy.add(key);
    return batch;
  }

  async #carry(batch: Waiting<Request, Result>[]): Promise<void> {
    try {
      await this.#send(batch);
    } finally {
      this.#inFlight -= 1;
      for (const entry of batch) for (const key of entry.keys) this.#busy.delete(key);
      if (this.#waiting.length > 0) this.#schedule();
    }
  }

  async #send(batch: Waiting<Request, Result>[]): Promise<void> {
    try {
      const results = await this.#options.send(batch.map((entry) => entry.request));
      batch.forEach((entry, index) => {
        entry.resolve(results[index] as Result);
      });
    } catch (thrown) {
      const error = toOmgfsError(thrown);
      if (batch.length > 1 && error.code !== 'DB_DOWN') {
        for (const entry of batch) await this.#send([entry]);
        return;
      }
      for (const entry of batch) entry.reject(error);
      // Who waits behind a database that is down would only find the same out later.
      if (error.code === 'DB_DOWN') for (const entry of this.#drain()) entry.reject(error);
    }
  }

  #drain(): Waiting<Request, Result>[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}

/** A batcher of the size that suits statements. */
export function batched<Request, Result>(
  options: Pick<BatcherOptions<Request, Result>, 'send' | 'conflictKeys' | 'inFlightMax'>,
): Batcher<Request, Result> {
  const { storeBatchRowsMax: rowsMax, storeQueueMax: queueMax } = limits;
  return new Batcher({ rowsMax, queueMax, ...options });
}
