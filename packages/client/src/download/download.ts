/**
 * Downloading one file from whichever replica answers, going on with another in mid-body where the
 * first broke. All replicas asked hold one fid, which never changes, so bytes continue exactly; the
 * length, and the ETag where it names the fid, are compared all the same.
 */
import type { Readable } from 'node:stream';
import { OmgfsError, parseFidPath } from '@omgfs/protocol';
import { Deadline } from '../deadline.ts';
import { DownloadStream } from './download-stream.ts';
import type { ReplicaBody, ReplicaPool } from './replica-pool.ts';
import type { ResponseHead } from './response-head.ts';

export interface DownloadContext {
  replicas: ReplicaPool;
  headersTimeoutMs: number;
  stallMs: number;
}

/** Bytes from `start` to `end`, both counted from 0 and inclusive; no `end` means to the last. */
export interface ByteRange {
  start: number;
  end?: number;
}

/** What is done with bytes that are good only until it is done. */
export type UsePiece = (piece: Buffer) => unknown;

export interface Download {
  /** Fails with NO_REPLICA_UP when every replica broke on the way. */
  readonly stream: Readable;
  /** Bytes that the stream will yield. */
  readonly length: number;
  /** Bytes of the whole file. */
  readonly fileLength: number;
  /** Undefined when the tracker's URLs do not tell it. */
  readonly fid: number | undefined;
  /** `ALG:hex` that the bytes are compared with; undefined when they are not. */
  readonly checksum?: string;
  /**
   * Reads all bytes instead of the stream, at half the processor time: each piece is given to
   * `use`, and its memory is used again as soon as that returns, or what it returns settles. So
   * keep nothing of a piece, and answer only when it was taken.
   *
   * @example await download.each((piece) => file.writeFile(piece));
   * @throws what `use` throws, and what the stream would fail with; BAD_ARGS when it was called
   * or the stream asked for before. The stream is not to be had any more.
   */
  each(use: UsePiece): Promise<void>;
}

interface DownloadRequest {
  paths: readonly string[];
  range?: ByteRange | undefined;
  signal?: AbortSignal | undefined;
}

/** A replica that answered; its bytes were not read yet. */
interface OpenReplica {
  url: string;
  body: ReplicaBody;
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
  const first = await session.start(request.range);
  return new ReplicaDownload(session, first);
}

class ReplicaDownload implements Download {
  readonly length: number;
  readonly fileLength: number;
  readonly fid: number | undefined;
  readonly #session: Session;
  #stream: Readable | undefined;
  #isRead = false;

  constructor(session: Session, { start, end, fileLength, version }: OpenReplica) {
    this.#session = session;
    this.length = end - start + 1;
    this.fileLength = fileLength;
    this.fid = version.fid;
  }

  get stream(): Readable {
    if (this.#stream === undefined) this.#begin();
    this.#stream ??= new DownloadStream(this.#session);
    return this.#stream;
  }

  async each(use: UsePiece): Promise<void> {
    this.#begin();
    try {
      for (;;) {
        const piece = await this.#session.next();
        if (piece === undefined) return;
        await use(piece);
      }
    } finally {
      this.#session.end();
    }
  }

  /** What was read already would look like an empty file. */
  #begin(): void {
    if (this.#isRead) throw new OmgfsError('BAD_ARGS', { message: 'a download is read once' });
    this.#isRead = true;
  }
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
  #first: OpenReplica | undefined;
  #current: OpenReplica | undefined;
  #position = 0;
  /** Whether the current replica gave bytes. */
  #gave = false;
  #resumes = 0;
  #ended = false;

  constructor(context: DownloadContext, request: DownloadRequest) {
    this.#context = context;
    this.#request = request;
    this.#left = [...request.paths];
  }

  /** The first replica that has the bytes. */
  async start(range: ByteRange | undefined): Promise<OpenReplica> {
    const first = await this.#openNext(range);
    this.#first = first;
    this.#position = first.start;
    return first;
  }

  /** The next bytes, across replicas; good until the next call. Undefined behind the last. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const { end = -1 } = this.#first ?? {};
      if (this.#position > end || this.#current === undefined) {
        this.#leave();
        return undefined;
      }
      const { piece, why } = await this.#nextOf(this.#current, end);
      if (piece !== undefined) {
        this.#position += piece.length;
        this.#gave = true;
        return piece;
      }
      await this.#goOn(this.#current, why);
    }
  }

  /** Nobody reads on; what is awaited fails. */
  end(): void {
    this.#ended = true;
    this.#leave();
  }

  #leave(): void {
    this.#current?.deadline.end();
    this.#current?.body.end();
  }

  /** From the byte where `broken` stopped, with another replica, or the same one once more. */
  async #goOn(broken: OpenReplica, why: string): Promise<void> {
    this.#leave();
    this.#request.signal?.throwIfAborted();
    const { url } = broken;
    this.#failures.push(`${url} stopped at byte ${this.#position}: ${why}`);
    // One that gave bytes may do so again, when the others fail.
    if (this.#gave && this.#resumes < resumesMax) this.#left.push(url);
    this.#resumes += 1;
    this.#gave = false;
    for (;;) {
      const range = { start: this.#position, end: this.#first?.end ?? 0 };
      const replica = await this.#openNext(range).catch((error: unknown) => {
        if (!(error instanceof OmgfsError) || error.code !== 'RANGE_NOT_SATISFIABLE') throw error;
        throw new OmgfsError('NO_REPLICA_UP', { message: error.message, details: error.details });
      });
      if (this.#first === undefined || isSameVersion(replica, this.#first)) return;
      this.#leave();
      this.#failures.push(`${replica.url}: holds another version`);
    }
  }

  async #openNext(range: ByteRange | undefined): Promise<OpenReplica> {
    let beyondEnd = false;
    for (let url = this.#left.shift(); url !== undefined; url = this.#left.shift()) {
      if (this.#ended) break;
      try {
        this.#current = await this.#open(url, range);
        if (this.#ended) this.#leave();
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

  async #open(url: string, range: ByteRange | undefined): Promise<OpenReplica> {
    const deadline = new Deadline(this.#request.signal);
    const wanted = range && `bytes=${range.start}-${range.end ?? ''}`;
    let body: ReplicaBody | undefined;
    try {
      const place = new URL(url);
      deadline.arm(this.#context.headersTimeoutMs, 'answer');
      body = await this.#context.replicas.get(place, { range: wanted, signal: deadline.signal });
      const extent = extentOf(body.head);
      if (extent === undefined || extent.start !== (range?.start ?? 0)) {
        const { status } = body.head;
        if (status === 416) throw new OmgfsError('RANGE_NOT_SATISFIABLE');
        throw new Error(`answered ${status} without the bytes ${wanted ?? 'of the file'}`);
      }
      deadline.disarm();
      const fid = parseFidPath(place.pathname)?.fid;
      // A part may be shorter than what was asked for (RFC 9110 section 15.3.7): the rest is asked
      // for where it ends.
      const last = extent.fileLength - 1;
      const end = Math.min(last, range?.end ?? last);
      const version = { fid, etag: versionTag(fid, body.head.headers.get('etag')) };
      return { ...extent, end, url, body, deadline, version };
    } catch (error) {
      deadline.end();
      body?.end();
      throw deadline.signal.aborted ? deadline.signal.reason : error;
    }
  }

  /** What the replica has of the wanted bytes, or why it has no more. */
  async #nextOf(
    { body, deadline }: OpenReplica,
    end: number,
  ): Promise<{ piece?: Buffer; why: string }> {
    try {
      deadline.arm(this.#context.stallMs, 'further bytes');
      const piece = await body.next();
      deadline.disarm();
      // A node that ignores the end of a range goes on with what nobody wants.
      if (piece !== undefined)
        return { piece: piece.subarray(0, end + 1 - this.#position), why: '' };
      return { why: 'the body ended' };
    } catch (error) {
      const reason = deadline.signal.aborted ? deadline.signal.reason : error;
      return { why: reason instanceof Error ? reason.message : String(reason) };
    }
  }
}

/** At which byte an answer begins; undefined when it holds none of the file. */
function extentOf({
  status,
  headers,
  bodyBytes,
}: ResponseHead): { start: number; fileLength: number } | undefined {
  if (status === 200) return { start: 0, fileLength: bodyBytes };
  if (status !== 206) return undefined;
  const range = headers.get('content-range') ?? '';
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(range);
  if (match === null) return undefined;
  const [start = 0, end = 0, fileLength = 0] = match.slice(1).map(Number);
  if (end - start + 1 !== bodyBytes) return undefined;
  return { start, fileLength };
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
