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
import type { CopyOutcome, CopyRequest } from './copy.ts';
import { isSuccess, reasonOf } from './http.ts';

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

/** `alone`: the target must be asked for this copy by itself. */
type BatchOutcome = CopyOutcome | 'alone';

export class PullBatches {
  readonly #options: PullBatchOptions;
  readonly #pairs = new Map<string, Batcher<CopyRequest, BatchOutcome>>();
  /** Until when each target gets no batches, by origin. */
  readonly #without = new Map<string, number>();

  constructor(options: PullBatchOptions) {
    this.#options = options;
  }

  /** Never rejects. @returns `alone` when this copy does not travel in a batch. */
  async copy(request: CopyRequest): Promise<BatchOutcome> {
    const target = new URL(request.to).origin;
    if (request.length > pullBatch.fileBytesMax) return 'alone';
    if ((this.#without.get(target) ?? 0) > performance.now()) return 'alone';
    try {
      const outcome = this.#batcher(target, new URL(request.from).origin).run(request);
      return await unlessStopped(request, outcome);
    } catch (error) {
      return { state: 'target_failed', reason: reasonOf(error) };
    }
  }

  #batcher(target: string, source: string): Batcher<CopyRequest, BatchOutcome> {
    const pair = `${target} ${source}`;
    let batcher = this.#pairs.get(pair);
    if (batcher !== undefined) return batcher;
    const queueMax = limits.storeQueueMax;
    const send = (requests: CopyRequest[]) => this.#send(target, requests);
    batcher = new Batcher({ rowsMax, inFlightMax, queueMax, send });
    this.#pairs.set(pair, batcher);
    // What is forgotten while it works comes to its end all the same.
    for (const oldest of this.#pairs.keys()) {
      if (this.#pairs.size <= pairsMax) break;
      this.#pairs.delete(oldest);
    }
    return batcher;
  }

  /** Never rejects. The request ends when all its copies are to be stopped. */
  async #send(origin: string, requests: CopyRequest[]): Promise<BatchOutcome[]> {
    const { agent, stallMs, orderFor } = this.#options;
    const stopped = new AbortController();
    const stop = () => {
      if (requests.every(isStopped)) stopped.abort(new Error('stopped'));
    };
    const signals = new Set(requests.flatMap((request) => request.signals ?? []));
    for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
    stop();
    const timer = setTimeout(() => stopped.abort(new Error(`silent for ${stallMs} ms`)), stallMs);
    try {
      const reply = await agent.request({
        origin,
        path: '/',
        method: 'POST',
        headers: { 'content-type': 'application/json', [pullHeaders.batch]: '1' },
        body: JSON.stringify(requests.map(orderFor)),
        signal: stopped.signal,
        headersTimeout: 0,
        onInfo: () => timer.refresh(),
      });
      const text = await reply.body.text();
      const outcomes = isSuccess(reply.statusCode) ? outcomesOf(text, requests.length) : undefined;
      if (outcomes !== undefined) return outcomes;
      // A server that is not ours may answer anything at all.
      this.#without.set(origin, performance.now() + rememberMs);
      return requests.map(() => 'alone');
    } catch (error) {
      const failed: CopyOutcome = { state: 'target_failed', reason: reasonOf(error) };
      return requests.map(() => failed);
    } finally {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', stop);
    }
  }
}

function isStopped({ signals = [] }: CopyRequest): boolean {
  return signals.some(({ aborted }) => aborted);
}

/** A copy that is to be stopped waits for the others of its batch no longer. */
async function unlessStopped(
  request: CopyRequest,
  outcome: Promise<BatchOutcome>,
): Promise<BatchOutcome> {
  const { signals = [] } = request;
  let stop = () => {};
  const stopped = new Promise<BatchOutcome>((resolve) => {
    stop = () => resolve({ state: 'target_failed', reason: 'stopped' });
  });
  for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
  if (isStopped(request)) stop();
  try {
    return await Promise.race([outcome, stopped]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
  }
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
    return { state: 'target_failed', reason: `answered ${status}` };
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
