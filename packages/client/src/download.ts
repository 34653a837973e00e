/**
 * Downloading one file from whichever replica answers, going on with another in mid-body where the
 * first broke. All replicas asked hold one fid, which never changes, so bytes continue exactly; the
 * length, and the ETag where it names the fid, are compared all the same.
 */
import { Readable } from 'node:stream';
import { OmgfsError, parseFidPath } from '@omgfs/protocol';
import type { Agent, Dispatcher } from 'undici';
import { Deadline } from './deadline.ts';

export interface DownloadContext {
  agent: Agent;
  headersTimeoutMs: number;
  stallMs: number;
}

/** Bytes from `start` to `end`, both counted from 0 and inclusive; no `end` means to the last. */
export interface ByteRange {
  start: number;
  end?: number;
}

export interface Download {
  /** Fails with NO_REPLICA_UP when every replica broke on the way. */
  stream: Readable;
  /** Bytes that the stream will yield. */
  length: number;
  /** Bytes of the whole file. */
  fileLength: number;
  /** Undefined when the tracker's URLs do not tell it. */
  fid: number | undefined;
  /** `ALG:hex` that the stream is compared with; undefined when it is not. */
  checksum?: string;
}

interface DownloadRequest {
  paths: readonly string[];
  range?: ByteRange | undefined;
  signal?: AbortSignal | undefined;
}

/** A replica that answered; its bytes were not read yet. */
interface OpenReplica {
  url: string;
  body: Dispatcher.ResponseData['body'];
  deadline: Deadline;
  start: number;
  end: number;
  fileLength: number;
  /** What two replicas of one file have in common, as far as known. */
  version: { fid: number | undefined; etag: string | undefined };
}

/** How often one download goes on with another replica; a flapping network must end some time. */
const resumesMax = 16;

/**
 * Opens the first replica that answers.
 * @throws NO_REPLICA_UP with the reason of each replica; RANGE_NOT_SATISFIABLE; BAD_ARGS.
 */
export async function download(
  context: DownloadContext,
  request: DownloadRequest,
): Promise<Download> {
  checkRange(request.range);
  const session = new Session(context, request);
  const first = await session.openNext(request.range);
  const stream = Readable.from(session.read(first), { objectMode: false });
  // Also when the reader went away: a connection that nobody reads from must not stay open.
  stream.once('close', () => session.end(new OmgfsError('FAILURE', { message: 'not read on' })));
  const { start, end, fileLength, version } = first;
  return { stream, length: end - start + 1, fileLength, fid: version.fid };
}

function checkRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { start, end = start } = range;
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start)
    return;
  throw new OmgfsError('BAD_ARGS', { message: `${start}-${end} is no range of bytes` });
}

class Session {
  readonly #context: DownloadContext;
  readonly #request: DownloadRequest;
  readonly #left: string[];
  readonly #failures: string[] = [];
  #current: OpenReplica | undefined;

  constructor(context: DownloadContext, request: DownloadRequest) {
    this.#context = context;
    this.#request = request;
    this.#left = [...request.paths];
  }

  /** The next replica that has the bytes. */
  async openNext(range: ByteRange | undefined): Promise<OpenReplica> {
    let beyondEnd = false;
    for (let url = this.#left.shift(); url !== undefined; url = this.#left.shift()) {
      try {
        this.#current = await this.#open(url, range);
        return this.#current;
      } catch (error) {
        this.#request.signal?.throwIfAborted();
        beyondEnd ||= error instanceof OmgfsError && error.code === 'RANGE_NOT_SATISFIABLE';
        this.#failures.push(`${url}: ${error instanceof Error ? error.message : error}`);
      }
    }
    const tried = this.#failures.join('; ') || 'the tracker knows none';
    throw new OmgfsError(beyondEnd ? 'RANGE_NOT_SATISFIABLE' : 'NO_REPLICA_UP', {
      message: `no replica could be read: ${tried}`,
      details: { tried: this.#failures },
    });
  }

  /** The bytes from the first replica on, across replicas. */
  async *read(first: OpenReplica): AsyncGenerator<Buffer> {
    const { end } = first;
    let position = first.start;
    let replica = first;
    for (let resumes = 0; ; resumes += 1) {
      const before = position;
      const reason = yield* this.#readReplica(replica, end, (bytes) => {
        position += bytes;
      });
      if (position > end) return;
      this.#request.signal?.throwIfAborted();
      this.#failures.push(`${replica.url} stopped at byte ${position}: ${reason}`);
      // One that gave bytes may do so again, when the others fail.
      if (position > before && resumes < resumesMax) this.#left.push(replica.url);
      replica = await this.#resume({ start: position, end }, first);
    }
  }

  end(reason: unknown): void {
    this.#current?.deadline.cancel(reason);
    this.#current?.body.on('error', () => {}).destroy();
  }

  async #resume(range: ByteRange, first: OpenReplica): Promise<OpenReplica> {
    for (;;) {
      const replica = await this.openNext(range).catch((error: unknown) => {
        if (!(error instanceof OmgfsError) || error.code !== 'RANGE_NOT_SATISFIABLE') throw error;
        throw new OmgfsError('NO_REPLICA_UP', { message: error.message, details: error.details });
      });
      if (isSameVersion(replica, first)) return replica;
      this.end(new OmgfsError('FAILURE', { message: 'not the same bytes' }));
      this.#failures.push(`${replica.url}: holds another version`);
    }
  }

  async #open(url: string, range: ByteRange | undefined): Promise<OpenReplica> {
    const deadline = new Deadline(this.#request.signal);
    const { origin, pathname, search } = new URL(url);
    const wanted = range && `bytes=${range.start}-${range.end ?? ''}`;
    try {
      deadline.arm(this.#context.headersTimeoutMs, 'answer');
      const { statusCode, headers, body } = await this.#context.agent.request({
        origin,
        path: pathname + search,
        method: 'GET',
        ...(wanted === undefined ? {} : { headers: { range: wanted } }),
        signal: deadline.signal,
      });
      const extent = extentOf({ statusCode, headers });
      if (extent === undefined || (range !== undefined && extent.start !== range.start)) {
        body.on('error', () => {}).destroy();
        if (statusCode === 416) throw new OmgfsError('RANGE_NOT_SATISFIABLE');
        throw new Error(`answered ${statusCode} without the bytes ${wanted ?? 'of the file'}`);
      }
      deadline.disarm();
      const fid = parseFidPath(pathname)?.fid;
      const end = Math.min(extent.end, range?.end ?? extent.end);
      const version = { fid, etag: versionTag(fid, textOf(headers.etag)) };
      return { ...extent, end, url, body, deadline, version };
    } catch (error) {
      deadline.end();
      throw deadline.signal.aborted ? deadline.signal.reason : error;
    }
  }

  /** Yields what the replica has of the wanted bytes. @returns why it ended. */
  async *#readReplica(
    { body, deadline, start }: OpenReplica,
    end: number,
    count: (bytes: number) => void,
  ): AsyncGenerator<Buffer, string> {
    const { stallMs } = this.#context;
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let position = start;
    try {
      for (;;) {
        deadline.arm(stallMs, 'further bytes');
        const next = await chunks.next();
        deadline.disarm();
        if (next.done) return 'the body ended';
        const wanted = next.value.subarray(0, end + 1 - position);
        position += wanted.length;
        count(wanted.length);
        if (wanted.length > 0) yield wanted;
        // A node that ignores the end of a range would go on with what nobody wants.
        if (wanted.length < next.value.length) return 'the range ended';
      }
    } catch (error) {
      const reason = deadline.signal.aborted ? deadline.signal.reason : error;
      return reason instanceof Error ? reason.message : String(reason);
    } finally {
      deadline.end();
      body.on('error', () => {}).destroy();
    }
  }
}

/** Which bytes an answer holds; undefined when it is no answer with known bytes. */
function extentOf({
  statusCode,
  headers,
}: Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>):
  | { start: number; end: number; fileLength: number }
  | undefined {
  if (statusCode === 200) {
    const text = textOf(headers['content-length']);
    if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
    return { start: 0, end: Number(text) - 1, fileLength: Number(text) };
  }
  if (statusCode !== 206) return undefined;
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(
    textOf(headers['content-range']) ?? '',
  );
  if (match === null) return undefined;
  return { start: Number(match[1]), end: Number(match[2]), fileLength: Number(match[3]) };
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

/**
 * The tags of foreign storage servers are made of file times or inodes and differ between replicas
 * of one fid; only a tag that begins with the fid names the version on every node.
 */
function versionTag(fid: number | undefined, etag: string | undefined): string | undefined {
  return fid === undefined || etag?.startsWith(`"${fid}-`) ? etag : undefined;
}

function isSameVersion(one: OpenReplica, other: OpenReplica): boolean {
  const { fid, etag } = one.version;
  if (one.fileLength !== other.fileLength || fid !== other.version.fid) return false;
  return etag === undefined || other.version.etag === undefined || etag === other.version.etag;
}
