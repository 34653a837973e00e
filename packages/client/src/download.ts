/**
 * Downloading one file from whichever replica answers, going on with another in mid-body where the
 * first broke. All replicas asked hold the same fid, which never changes, so bytes continue exactly;
 * length and ETag are compared all the same.
 */
import { Readable } from 'node:stream';
import { OmgfsError, parseFidPath } from '@omgfs/protocol';
import type { Agent, Dispatcher } from 'undici';
import { Deadline } from './deadline.ts';

export interface DownloadContext {
  agent: Agent;
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
  fid: number | undefined;
}

interface OpenReplica {
  body: Dispatcher.ResponseData['body'];
  guard: Deadline;
  start: number;
  end: number;
  fileLength: number;
  etag: string | undefined;
}

interface DownloadRequest {
  paths: readonly string[];
  range?: ByteRange | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens the first replica that answers.
 * @throws NO_REPLICA_UP with the reason of each replica; RANGE_NOT_SATISFIABLE.
 */
export async function download(
  context: DownloadContext,
  request: DownloadRequest,
): Promise<Download> {
  const left = [...request.paths];
  const failures: string[] = [];
  const first = await openNext(context, { left, failures, request, range: request.range });
  const { start, end, fileLength } = first;
  const place = parseFidPath(new URL(request.paths[0] ?? 'http://x/').pathname);
  const chunks = readOn(context, { left, failures, request, first });
  const stream = Readable.from(chunks, { objectMode: false });
  // A stream that is dropped unread must let its connection go.
  stream.once('close', () => first.body.destroy());
  return { stream, length: end - start + 1, fileLength, fid: place?.fid };
}

interface Attempt {
  /** Replicas that were not tried yet. */
  left: string[];
  failures: string[];
  request: DownloadRequest;
}

async function openNext(
  context: DownloadContext,
  attempt: Attempt & { range: ByteRange | undefined },
): Promise<OpenReplica> {
  for (let url = attempt.left.shift(); url !== undefined; url = attempt.left.shift()) {
    try {
      return await openReplica(context, { url, ...attempt });
    } catch (error) {
      attempt.request.signal?.throwIfAborted();
      if (error instanceof OmgfsError) throw error;
      attempt.failures.push(`${url}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const tried = attempt.failures.join('; ') || 'the tracker knows none';
  throw new OmgfsError('NO_REPLICA_UP', {
    message: `no replica could be read: ${tried}`,
    details: { tried: attempt.failures },
  });
}

async function openReplica(
  { agent, stallMs }: DownloadContext,
  { url, range, request }: { url: string; range: ByteRange | undefined; request: DownloadRequest },
): Promise<OpenReplica> {
  const guard = new Deadline(stallMs, request.signal);
  const { origin, pathname } = new URL(url);
  const wanted = range && `bytes=${range.start}-${range.end ?? ''}`;
  try {
    guard.arm();
    const { statusCode, headers, body } = await agent.request({
      origin,
      path: pathname,
      method: 'GET',
      ...(wanted === undefined ? {} : { headers: { range: wanted } }),
      signal: guard.signal,
    });
    const extent = extentOf({ statusCode, headers });
    if (extent === undefined) {
      await body.dump();
      if (statusCode === 416) throw new OmgfsError('RANGE_NOT_SATISFIABLE');
      throw new Error(`answered ${statusCode}`);
    }
    if (range !== undefined && extent.start !== range.start) {
      body.on('error', () => {}).destroy();
      throw new Error(`answered other bytes than ${wanted}`);
    }
    return { ...extent, body, guard, etag: textOf(headers.etag) };
  } catch (error) {
    guard.end();
    throw guard.signal.aborted ? guard.signal.reason : error;
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

async function* readOn(
  context: DownloadContext,
  attempt: Attempt & { first: OpenReplica },
): AsyncGenerator<Buffer> {
  const { first, failures, request } = attempt;
  const { end, fileLength, etag } = first;
  let position = first.start;
  let replica = first;
  for (;;) {
    const reason = yield* readReplica(replica, end, (bytes) => {
      position += bytes;
    });
    if (position > end) return;
    request.signal?.throwIfAborted();
    failures.push(`stopped at byte ${position}: ${reason}`);
    replica = await openNext(context, { ...attempt, range: { start: position, end } });
    if (replica.fileLength === fileLength && sameTag(etag, replica.etag)) continue;
    replica.guard.end();
    replica.body.on('error', () => {}).destroy();
    const message = 'replicas of the file differ; it cannot be continued from another one';
    throw new OmgfsError('NO_REPLICA_UP', { message, details: { tried: failures } });
  }
}

/** Yields what the replica has of the wanted bytes. @returns why it ended. */
async function* readReplica(
  { body, guard, start }: OpenReplica,
  end: number,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer, string> {
  let position = start;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const wanted = chunk.subarray(0, end + 1 - position);
      position += wanted.length;
      count(wanted.length);
      guard.disarm();
      if (wanted.length > 0) yield wanted;
      guard.arm();
    }
    return 'the body ended';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    guard.end();
    body.on('error', () => {}).destroy();
  }
}

function sameTag(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined || one === other;
}
