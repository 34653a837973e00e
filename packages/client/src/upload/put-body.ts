/**
 * One PUT of a source to one destination. It counts and digests what goes out, and tells a failing
 * source, which no other destination can help, from a failing destination.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Checksum, type HashType, hashTypes } from '@omgfs/protocol';
import type { Agent } from 'undici';
import { Deadline } from '../deadline.ts';
import { type Source, wrongLength } from './source.ts';

export interface PutBodyRequest {
  url: string;
  source: Source;
  checksum?: HashType | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface Uploaded {
  bytes: number;
  checksum: Checksum | undefined;
}

/** The destination did not take the bytes. */
export class PutFailure extends Error {
  /** Of its answer, when it gave one. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}

/** The source failed; its own error is the cause. */
export class SourceFailure extends Error {}

/** @throws PutFailure, SourceFailure, or the reason of the signal. */
export async function putBody(
  { agent, stallMs }: { agent: Agent; stallMs: number },
  request: PutBodyRequest,
): Promise<Uploaded> {
  const { source, signal } = request;
  const deadline = new Deadline(signal);
  const tap = new Tap(request, { deadline, stallMs });
  const body = source.small === undefined ? tap.stream() : tap.whole(source.small);
  const { origin, pathname, search } = new URL(request.url);
  const length = source.size === undefined ? {} : { 'content-length': String(source.size) };
  try {
    tap.waitForNode();
    const response = await agent.request({
      origin,
      path: pathname + search,
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', ...length },
      body,
      signal: deadline.signal,
    });
    const said = (await response.body.text()).trim().slice(0, saidCharsMax);
    if (response.statusCode >= 300) {
      const message = `PUT answered ${response.statusCode} ${said}`.trim();
      throw new PutFailure(message, response.statusCode);
    }
    return { bytes: tap.bytes, checksum: tap.checksum };
  } catch (error) {
    signal?.throwIfAborted();
    if (tap.failure !== undefined) throw new SourceFailure('', { cause: tap.failure.reason });
    if (error instanceof PutFailure) throw error;
    const reason = deadline.signal.aborted ? deadline.signal.reason : error;
    throw new PutFailure(reason instanceof Error ? reason.message : String(reason));
  } finally {
    deadline.end();
    if (body instanceof Readable) body.destroy();
  }
}

/** As much of a storage node's explanation as goes into an error. */
const saidCharsMax = 200;

class Tap {
  bytes = 0;
  checksum: Checksum | undefined;
  /** What the source threw. */
  failure: { reason: unknown } | undefined;
  readonly #request: PutBodyRequest;
  readonly #deadline: Deadline;
  readonly #stallMs: number;

  constructor(request: PutBodyRequest, wait: { deadline: Deadline; stallMs: number }) {
    this.#request = request;
    this.#deadline = wait.deadline;
    this.#stallMs = wait.stallMs;
  }

  waitForNode(): void {
    this.#deadline.arm(this.#stallMs, 'progress of the storage node');
  }

  whole(bytes: Uint8Array): Uint8Array {
    const { checksum: type, onProgress } = this.#request;
    this.bytes = bytes.length;
    if (type) {
      const hex = createHash(hashTypes[type].algorithm).update(bytes).digest('hex');
      this.checksum = { type, hex };
    }
    onProgress?.(this.bytes);
    return bytes;
  }

  stream(): Readable {
    return Readable.from(this.#chunks(), { objectMode: false });
  }

  /**
   * Stays one chunk behind: the last one goes out only when the length is right and the digest is
   * known, because a node may answer before anybody asks for what follows the last byte.
   */
  async *#chunks(): AsyncGenerator<Uint8Array> {
    const { source, checksum: type, onProgress } = this.#request;
    const hash = type && createHash(hashTypes[type].algorithm);
    let held: Uint8Array | undefined;
    this.#deadline.disarm();
    for await (const chunk of this.#sourceChunks()) {
      this.bytes += chunk.length;
      if (source.size !== undefined && this.bytes > source.size) break;
      hash?.update(chunk);
      this.waitForNode();
      if (held !== undefined) yield held;
      held = chunk;
      onProgress?.(this.bytes);
      this.#deadline.disarm();
    }
    if (source.size !== undefined && source.size !== this.bytes) {
      this.failure = { reason: wrongLength(source.size, this.bytes) };
      throw this.failure.reason;
    }
    if (type && hash) this.checksum = { type, hex: hash.digest('hex') };
    this.waitForNode();
    if (held !== undefined) yield held;
  }

  async *#sourceChunks(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#request.source.open();
    } catch (reason) {
      this.failure = { reason };
      throw reason;
    }
  }
}
