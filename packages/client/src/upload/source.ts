/**
 * What can be uploaded, in one shape: an optional length, and bytes that can be read again as often
 * as the upload has to start over. A stream can be read again only from its first bytes, which are
 * kept up to a bound.
 */
import { access, constants, stat } from 'node:fs/promises';
import { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { OmgfsError } from '@omgfs/protocol';
import { handOut } from '../young-memory.ts';
import { filePieces, pieceBytes, unreadable } from './file-pieces.ts';

/** Bytes in memory, a file on disk, or any stream of bytes. */
export type UploadSource =
  | Uint8Array
  | { file: string }
  | AsyncIterable<Uint8Array>
  | ReadableStream<Uint8Array>;

export interface Source {
  /** Known length in bytes. */
  size: number | undefined;
  /** Everything, when it is little and in memory. */
  small?: Uint8Array;
  /** Whether `open` still yields everything from the first byte. */
  replayable(): boolean;
  /** The bytes of a file are in buffers that are used again, see `filePieces`. */
  open(): AsyncIterable<Uint8Array>;
  /** Frees what the source holds; a stream that was not read to its end is cancelled. */
  close(): void;
}

/** Bytes up to this many are kept in memory: small files whole, of streams the beginning. */
const headBytesMax = 1024 * 1024;

/** @throws BAD_ARGS when the file cannot be read or is no file; SOURCE_FAILED of a stream. */
export async function openSource(
  source: UploadSource,
  { size, signal }: { size: number | undefined; signal: AbortSignal | undefined },
): Promise<Source> {
  if (source instanceof Uint8Array) return fromBytes(source);
  // Callers without types hand over anything.
  if (typeof source === 'object' && source !== null) {
    if ('file' in source) return fromFile(source.file);
    if (Symbol.asyncIterator in source) {
      return fromStream(source as AsyncIterable<Uint8Array>, { size, signal });
    }
  }
  const message = `a source is bytes, { file: path } or a stream, not ${typeof source}`;
  throw new OmgfsError('BAD_ARGS', { message });
}

/** @returns the error of a source that was longer or shorter than announced. */
export function wrongLength(announced: number, actual: number): OmgfsError {
  const message = `the source has ${actual} bytes, but ${announced} were announced`;
  return new OmgfsError('SIZE_MISMATCH', { message });
}

function fromBytes(bytes: Uint8Array): Source {
  return {
    size: bytes.length,
    ...(bytes.length <= headBytesMax ? { small: bytes } : {}),
    replayable: () => true,
    async *open() {
      for (let from = 0; from < bytes.length; from += pieceBytes) {
        yield bytes.subarray(from, from + pieceBytes);
      }
    },
    close: () => {},
  };
}

async function fromFile(path: string): Promise<Source> {
  // Asked before anything is opened at a tracker.
  const stats = await Promise.all([stat(path), access(path, constants.R_OK)]).then(
    ([found]) => found,
    (error: unknown) => {
      throw unreadable(path, error);
    },
  );
  if (!stats.isFile()) throw new OmgfsError('BAD_ARGS', { message: `${path} is not a file` });
  if (stats.size === 0) return fromBytes(new Uint8Array());
  return {
    size: stats.size,
    replayable: () => true,
    // A file that grows meanwhile is stored as long as it was; one that shrinks is refused.
    open: () => filePieces(path, stats.size),
    close: () => {},
  };
}

/** Reads ahead to the bound: a short stream becomes plain bytes of known length. */
async function fromStream(
  stream: AsyncIterable<Uint8Array>,
  { size, signal }: { size: number | undefined; signal: AbortSignal | undefined },
): Promise<Source> {
  const reader = new StreamReader(stream);
  const head: Uint8Array[] = [];
  let headBytes = 0;
  let beyondHead = false;
  try {
    while (headBytes < headBytesMax) {
      const chunk = await reader.next(signal);
      if (chunk === undefined) {
        if (size !== undefined && size !== headBytes) throw wrongLength(size, headBytes);
        return fromBytes(Buffer.concat(head));
      }
      head.push(chunk);
      headBytes += chunk.length;
    }
  } catch (error) {
    reader.cancel();
    throw error;
  }
  return {
    size,
    replayable: () => !beyondHead,
    async *open() {
      yield* head;
      beyondHead = true;
      head.length = 0;
      for (;;) {
        const chunk = await reader.next(signal);
        if (chunk === undefined) return;
        yield chunk;
      }
    },
    close: () => reader.cancel(),
  };
}

/** Reads somebody's stream, but never waits for it longer than the caller's signal allows. */
class StreamReader {
  readonly #stream: AsyncIterable<Uint8Array>;
  readonly #iterator: AsyncIterator<unknown>;
  #ended = false;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#stream = stream;
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  /**
   * The next bytes, undefined at the end.
   * @throws SOURCE_FAILED, or what the stream throws where it says itself what to do; BAD_ARGS for
   * what is not bytes; the reason of the signal.
   */
  async next(signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const { done, value } = await orAbort(this.#iterator.next(), signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error instanceof OmgfsError ? error : sourceFailed(error);
    });
    if (done) {
      this.#ended = true;
      return undefined;
    }
    if (value instanceof Uint8Array) {
      // Dropped by whoever made it, too, when it was sent.
      handOut(value.length);
      return value;
    }
    const message = `the source yielded a ${typeof value} where bytes are needed`;
    throw new OmgfsError('BAD_ARGS', { message });
  }

  cancel(): void {
    if (this.#ended) return;
    this.#ended = true;
    // Destroying a request would cut the connection that its answer has to go out on.
    if (this.#stream instanceof IncomingMessage) return;
    if (this.#stream instanceof Readable) this.#stream.destroy();
    // Not awaited: a generator that waits for something hears of it only afterwards.
    else this.#iterator.return?.().catch(() => {});
  }
}

function sourceFailed(cause: unknown): OmgfsError {
  const reason = cause instanceof Error ? cause.message : cause;
  const message = `the stream to be stored failed: ${reason}; nothing was stored`;
  return new OmgfsError('SOURCE_FAILED', { message, cause });
}

async function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
