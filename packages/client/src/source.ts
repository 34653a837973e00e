/**
 * What can be uploaded, in one shape: an optional length, and bytes that can be read again as often
 * as the upload has to start over. A stream can be read again only from its first bytes, which are
 * kept up to a bound.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { OmgfsError } from '@omgfs/protocol';

/** Bytes in memory, a file on disk, or any stream of bytes. */
export type UploadSource =
  | Uint8Array
  | { file: string }
  | AsyncIterable<Uint8Array>
  | ReadableStream<Uint8Array>;

export interface Source {
  /** Known length in bytes. */
  size: number | undefined;
  /** Whether `open` still yields everything from the first byte. */
  replayable(): boolean;
  open(): AsyncIterable<Uint8Array>;
  /** Frees what the source holds; a stream that was not read to its end is cancelled. */
  close(): void;
}

/** First bytes of a stream that are kept, so that a refused destination costs nothing. */
const headBytesMax = 1024 * 1024;
const fileChunkBytes = 256 * 1024;

/** @throws BAD_ARGS when the file cannot be read or is no file. */
export async function openSource(
  source: UploadSource,
  options: { size?: number | undefined; signal?: AbortSignal | undefined },
): Promise<Source> {
  if (source instanceof Uint8Array) return fromBytes(source);
  if ('file' in source) return fromFile(source.file);
  return fromStream(source as AsyncIterable<Uint8Array>, options);
}

function fromBytes(bytes: Uint8Array): Source {
  return {
    size: bytes.length,
    replayable: () => true,
    async *open() {
      if (bytes.length > 0) yield bytes;
    },
    close: () => {},
  };
}

async function fromFile(path: string): Promise<Source> {
  const stats = await stat(path).catch((cause: unknown) => {
    const message = `cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`;
    throw new OmgfsError('BAD_ARGS', { message, cause });
  });
  if (!stats.isFile()) throw new OmgfsError('BAD_ARGS', { message: `${path} is not a file` });
  return {
    size: stats.size,
    replayable: () => true,
    // A file that grows meanwhile is stored as long as it was; one that shrinks is refused.
    open: () =>
      stats.size === 0
        ? fromBytes(new Uint8Array()).open()
        : createReadStream(path, { end: stats.size - 1, highWaterMark: fileChunkBytes }),
    close: () => {},
  };
}

/** Reads ahead to the bound: a short stream becomes plain bytes of known length. */
async function fromStream(
  stream: AsyncIterable<Uint8Array>,
  { size, signal }: { size?: number | undefined; signal?: AbortSignal | undefined },
): Promise<Source> {
  const iterator = stream[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let headBytes = 0;
  let ended = false;
  try {
    while (headBytes < headBytesMax && !ended) {
      const next = await orAborted(iterator.next(), signal);
      if (next.done) ended = true;
      else {
        head.push(next.value);
        headBytes += next.value.length;
      }
    }
  } catch (error) {
    cancel(stream, iterator);
    throw error;
  }
  if (ended) {
    if (size !== undefined && size !== headBytes) throw wrongLength(size, headBytes);
    return fromBytes(Buffer.concat(head));
  }
  let beyondHead = false;
  return {
    size,
    replayable: () => !beyondHead,
    async *open() {
      yield* head;
      beyondHead = true;
      head.length = 0;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        yield next.value;
      }
    },
    close: () => cancel(stream, iterator),
  };
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Ends a stream without waiting: one that is stuck would never answer to `return`. */
function cancel(stream: AsyncIterable<Uint8Array>, iterator: AsyncIterator<Uint8Array>): void {
  if (stream instanceof Readable) stream.destroy();
  else iterator.return?.().catch(() => {});
}

/** @returns the error of a source that was longer or shorter than announced. */
export function wrongLength(announced: number, actual: number): OmgfsError {
  const message = `the source has ${actual} bytes, but ${announced} were announced`;
  return new OmgfsError('SIZE_MISMATCH', { message });
}
