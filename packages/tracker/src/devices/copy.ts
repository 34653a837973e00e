/**
 * Streams a replica from one storage node to another through this process, in memory bounded by a
 * few chunks. The length is always checked and a digest when one is asked for, before the last byte
 * goes out: a source that lies or breaks never completes a file on the target. Also digests a
 * replica in place by reading it.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Checksum, type HashType, hashTypes } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { lacksDirectory } from './directories.ts';
import { contentLengthOf, isSuccess, reasonOf, wasUnsent } from './http.ts';

export interface CopyRequest {
  from: string;
  to: string;
  /** The length the file must have. */
  length: number;
  /** The checksum the file must have. */
  expected?: Checksum | undefined;
  /** Digest to compute when nothing is expected. */
  hashtype?: HashType | undefined;
  /** Each of them ends the copy. */
  signals?: readonly AbortSignal[];
}

/**
 * `copied` with the digest that was asked for, and the length that the target showed afterwards if
 * it has done so; or which end failed and why.
 */
export type CopyOutcome =
  | { state: 'copied'; checksum: Checksum | undefined; shownBytes?: number | undefined }
  | { state: 'source_failed'; reason: string }
  /**
   * `mayFinish`: it gave no last word, so the copy may come into its place later.
   * `lacksDirectory`: perhaps because what is above the copy is missing.
   */
  | { state: 'target_failed'; reason: string; mayFinish?: true; lacksDirectory?: true };

/** Marks what went wrong at the source while the request to the target was being written. */
class SourceError extends Error {}

/** Ends a transfer that makes no progress; a transfer that does may last as long as it needs. */
export class Watchdog {
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #outer: readonly AbortSignal[];
  readonly #onOuter = () => this.#abort.abort(new Error('stopped'));

  constructor(stallMs: number, outer: readonly AbortSignal[]) {
    const reason = `no progress for ${stallMs} ms`;
    this.#timer = setTimeout(() => this.#abort.abort(new Error(reason)), stallMs);
    this.#outer = outer;
    for (const signal of outer) {
      if (signal.aborted) this.#onOuter();
      signal.addEventListener('abort', this.#onOuter, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  progress(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
    for (const signal of this.#outer) signal.removeEventListener('abort', this.#onOuter);
  }
}

/** Copies one replica; never throws. `stallMs` bounds every wait without progress. */
export async function copyReplica(
  agent: Dispatcher,
  request: CopyRequest & { stallMs: number },
): Promise<CopyOutcome> {
  const watchdog = new Watchdog(request.stallMs, request.signals ?? []);
  try {
    const source = await openSource(agent, request, watchdog);
    try {
      return await writeTarget(agent, request, { source, watchdog });
    } finally {
      source.on('error', () => {}).destroy();
    }
  } catch (error) {
    if (error instanceof SourceError) return { state: 'source_failed', reason: error.message };
    return unansweredBy(error);
  } finally {
    watchdog.end();
  }
}

type Body = Dispatcher.ResponseData['body'];

async function openSource(
  agent: Dispatcher,
  { from, length }: CopyRequest,
  watchdog: Watchdog,
): Promise<Body> {
  const reply = await get(agent, from, watchdog).catch((error) => {
    throw new SourceError(reasonOf(error));
  });
  const announced = contentLengthOf(reply.headers);
  if (isSuccess(reply.statusCode) && announced === length) return reply.body;
  reply.body.on('error', () => {}).destroy();
  if (!isSuccess(reply.statusCode)) throw new SourceError(`answered ${reply.statusCode}`);
  throw new SourceError(`has ${announced ?? 'an unknown number of'} bytes instead of ${length}`);
}

async function writeTarget(
  agent: Dispatcher,
  request: CopyRequest,
  { source, watchdog }: { source: Body; watchdog: Watchdog },
): Promise<CopyOutcome> {
  const { expected, length } = request;
  const type = expected?.type ?? request.hashtype;
  const tap = new Tap({ ...request, hashtype: type, watchdog });
  const { origin, pathname } = new URL(request.to);
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'content-length': String(length),
  };
  if (expected?.type === 'MD5') {
    headers['content-md5'] = Buffer.from(expected.hex, 'hex').toString('base64');
  }
  const body = Readable.from(tap.through(source), { objectMode: false });
  const { signal } = watchdog;
  const reply = await agent.request({
    origin,
    path: pathname,
    method: 'PUT',
    headers,
    body,
    signal,
  });
  await reply.body.dump();
  if (!isSuccess(reply.statusCode)) {
    return refusedBy(reply.statusCode);
  }
  const hex = tap.hex;
  return { state: 'copied', checksum: type && hex !== undefined ? { type, hex } : undefined };
}

/** A target that has given up waiting for its disk has not given up the disk. */
export function refusedBy(status: number): CopyOutcome {
  const refused = { state: 'target_failed', reason: `answered ${status}` } as const;
  if (lacksDirectory(status)) return { ...refused, lacksDirectory: true };
  return status === 503 ? { ...refused, mayFinish: true } : refused;
}

/** One that could be reached may go on with what it was asked for. */
export function unansweredBy(error: unknown): CopyOutcome {
  const failed = { state: 'target_failed', reason: reasonOf(error) } as const;
  return wasUnsent(error) ? failed : { ...failed, mayFinish: true };
}

/** Passes chunks on, one behind, so that the last goes out only when all of them are right. */
class Tap {
  readonly #options: CopyRequest & { hashtype: HashType | undefined; watchdog: Watchdog };
  /** Digest of everything, once it has passed. */
  hex: string | undefined;

  constructor(options: CopyRequest & { hashtype: HashType | undefined; watchdog: Watchdog }) {
    this.#options = options;
  }

  async *through(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const { hashtype, watchdog } = this.#options;
    const hash = hashtype && createHash(hashTypes[hashtype].algorithm);
    let bytes = 0;
    let held: Buffer | undefined;
    try {
      for await (const chunk of source) {
        watchdog.progress();
        bytes += chunk.length;
        hash?.update(chunk);
        if (held !== undefined) yield held;
        held = chunk;
      }
    } catch (error) {
      throw new SourceError(reasonOf(error));
    }
    this.hex = hash?.digest('hex');
    this.#check(bytes);
    if (held !== undefined) yield held;
    watchdog.progress();
  }

  #check(bytes: number): void {
    const { length, expected } = this.#options;
    if (bytes !== length) throw new SourceError(`sent ${bytes} bytes instead of ${length}`);
    if (expected !== undefined && this.hex !== expected.hex) {
      throw new SourceError(`has ${expected.type} ${this.hex} instead of ${expected.hex}`);
    }
  }
}

export function get(
  agent: Dispatcher,
  url: string,
  { signal }: Watchdog,
  headers: Record<string, string> = {},
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname } = new URL(url);
  return agent.request({ origin, path: pathname, method: 'GET', headers, signal });
}
