/**
 * Node-to-node copies of small files, many in one request (see the storage node's `pulls.ts`): each
 * pair of nodes has its batches, so that a node that hangs delays only what comes from it or goes
 * to it. Nodes that know single pulls only are remembered.
 */
import {
  limits,
  type PullAnswer,
  type PullOrder,
  parseChecksum,
  pullBatch,
  pullHeaders,
} from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { Batcher } from '../batcher.ts';
import { type CopyOutcome, type CopyRequest, refusedBy, unansweredBy } from './copy.ts';
import { isSuccess, placeOf, readText, reasonOf } from './http.ts';

export interface PullBatchOptions {
  agent: Dispatcher;
  /** The target tells every few seconds that it goes on; silence for so long ends the wait. */
  stallMs: number;
  /** The order as it is sent, with its signatures. */
  orderFor: (request: CopyRequest) => PullOrder;
}

/** A target that does not know batches is not asked again for so long. */
const rememberMs = 600_000;
/** So many are written and synced together, while the next are on their way. */
const rowsMax = pullBatch.ordersMax;
const inFlightMax = 2;
/** Batchers of pairs of nodes; idle ones go first. */
const pairsMax = 1000;

/** However slowly it goes on: no longer than what it was asked with is good for. */
const batchMsMax = 900_000;

/** `alone`: the target must be asked for this copy by itself. */
type BatchOutcome = CopyOutcome | 'alone';

interface Waiting {
  request: CopyRequest;
  /** What is said first counts. */
  resolve: (outcome: BatchOutcome) => void;
}

export class PullBatches {
  readonly #options: PullBatchOptions;
  readonly #pairs = new Map<string, Batcher<Waiting, undefined>>();
  /** Until when each target gets no batches, by origin. */
  readonly #without = new Map<string, number>();

  constructor(options: PullBatchOptions) {
    this.#options = options;
  }

  /** Never rejects. @returns `alone` when this copy does not travel in a batch. */
  copy(request: CopyRequest): Promise<BatchOutcome> {
    if (request.length > pullBatch.fileBytesMax) return alone;
    const target = placeOf(request.to).origin;
    if ((this.#without.get(target) ?? 0) > performance.now()) return alone;
    const batcher = this.#batcher(target, placeOf(request.from).origin);
    return new Promise((resolve) => {
      const refused = (error: unknown) => {
        resolve({ state: 'target_failed', reason: reasonOf(error) });
      };
      batcher.run({ request, resolve }).catch(refused);
    });
  }

  #batcher(target: string, source: string): Batcher<Waiting, undefined> {
    const pair = `${target} ${source}`;
    let batcher = this.#pairs.get(pair);
    if (batcher !== undefined) return batcher;
    const queueMax = limits.storeQueueMax;
    const send = async (batch: Waiting[]) => {
      await this.#send(target, batch);
      return batch.map(() => undefined);
    };
    batcher = new Batcher({ rowsMax, inFlightMax, queueMax, send });
    this.#pairs.set(pair, batcher);
    // What is forgotten while it works comes to its end all the same.
    for (const oldest of this.#pairs.keys()) {
      if (this.#pairs.size <= pairsMax) break;
      this.#pairs.delete(oldest);
    }
    return batcher;
  }

  /** Never rejects. A copy that is to be stopped does not wait for the others. */
  async #send(origin: string, batch: readonly Waiting[]): Promise<void> {
    const stopped = new AbortController();
    const stop = () => {
      const going = batch.filter(({ request, resolve }) => {
        if (isStopped(request)) resolve({ state: 'target_failed', reason: 'stopped' });
        return !isStopped(request);
      });
      if (going.length === 0) stopped.abort(new Error('stopped'));
    };
    const signals = new Set(batch.flatMap(({ request }) => request.signals ?? []));
    for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
    stop();
    try {
      const outcomes = await this.#exchange(origin, batch, stopped);
      for (const [at, { resolve }] of batch.entries()) resolve(outcomes?.[at] ?? 'alone');
    } catch (error) {
      const failed = unansweredBy(error);
      for (const { resolve } of batch) resolve(failed);
    } finally {
      for (const signal of signals) signal.removeEventListener('abort', stop);
    }
  }

  /** One request and its answers; undefined when the target does not take such requests. */
  async #exchange(
    origin: string,
    batch: readonly Waiting[],
    stopped: AbortController,
  ): Promise<BatchOutcome[] | undefined> {
    const { agent, stallMs, orderFor } = this.#options;
    const endMs = performance.now() + batchMsMax;
    const timer = setTimeout(() => stopped.abort(new Error(`silent for ${stallMs} ms`)), stallMs);
    try {
      const reply = await agent.request({
        origin,
        path: '/',
        method: 'POST',
        headers: { 'content-type': 'application/json', [pullHeaders.batch]: '1' },
        body: JSON.stringify(batch.map(({ request }) => orderFor(request))),
        signal: stopped.signal,
        headersTimeout: 0,
        onInfo: () => {
          if (performance.now() < endMs) timer.refresh();
        },
      });
      const text = await readText(reply.body);
      const outcomes = isSuccess(reply.statusCode) ? outcomesOf(text, batch.length) : undefined;
      // A server that is not ours may answer anything at all.
      if (outcomes === undefined) this.#without.set(origin, performance.now() + rememberMs);
      return outcomes;
    } finally {
      clearTimeout(timer);
    }
  }
}

const alone = Promise.resolve('alone' as const);

function isStopped({ signals = [] }: CopyRequest): boolean {
  return signals.some(({ aborted }) => aborted);
}

/** @returns undefined for an answer that is none. */
function outcomesOf(text: string, count: number): BatchOutcome[] | undefined {
  const answers = listOf(text);
  if (answers?.length !== count) return undefined;
  return answers.map(({ status, bytes, checksum, reason = '' }) => {
    if (status === 201) {
      const sum = checksum === undefined ? undefined : parseChecksum(checksum);
      return { state: 'copied', checksum: sum, shownBytes: bytes };
    }
    if (status === 502) return { state: 'source_failed', reason: reason.slice(0, 200) };
    // By itself it may be refused for good, or be carried by the tracker.
    if ([400, 401, 403, 404].includes(status)) return 'alone';
    return refusedBy(status);
  });
}

function listOf(text: string): PullAnswer[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
