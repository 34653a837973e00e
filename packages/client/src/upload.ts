/**
 * Uploading one file: open at a tracker, PUT to the first destination that takes it, close at a
 * tracker. A file counts as stored only when the close was answered, or was looked up after an
 * answer got lost. What fails is given up at the tracker, so that its bytes go away.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type Checksum,
  type Fields,
  formatChecksum,
  type HashType,
  hashTypes,
  OmgfsError,
  toOmgfsError,
} from '@omgfs/protocol';
import type { Agent } from 'undici';
import { type Source, wrongLength } from './source.ts';
import { Deadline } from './deadline.ts';
import type { TrackerPool } from './tracker-pool.ts';

export interface UploadContext {
  pool: TrackerPool;
  agent: Agent;
  /** As a byte string. */
  domain: string;
  stallMs: number;
}

export interface UploadRequest {
  /** As a byte string. */
  key: string;
  className: string;
  source: Source;
  checksum?: HashType | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface StoredFile {
  fid: number;
  bytes: number;
  checksum?: Checksum;
}

interface Destination {
  devid: string;
  path: string;
}

interface Uploaded {
  bytes: number;
  checksum: Checksum | undefined;
}

/** Whole tries from `create_open` on, while the source can be read again. */
const roundsMax = 3;

/**
 * @throws the error of the last try, with what was tried in its message. A source that fails ends
 * the upload with its own error.
 */
export async function upload(context: UploadContext, request: UploadRequest): Promise<StoredFile> {
  const tried: string[] = [];
  for (let round = 1; ; round += 1) {
    try {
      return await uploadOnce(context, request, tried);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (error instanceof SourceFailure) throw error.cause;
      const known = toOmgfsError(error);
      const again = known.retry !== 'never' && request.source.replayable() && round < roundsMax;
      if (again) continue;
      const message = [known.message, ...tried].join('; ');
      throw new OmgfsError(known.code, { message, cause: error, details: { tried } });
    }
  }
}

async function uploadOnce(
  context: UploadContext,
  request: UploadRequest,
  tried: string[],
): Promise<StoredFile> {
  const { pool, domain } = context;
  const { key, className, source, signal } = request;
  const opened = await pool.request(
    'create_open',
    { domain, key, class: className, multi_dest: 1, fid: 0, size: source.size },
    { signal },
  );
  const fid = opened.fid ?? '';
  const destinations = destinationsOf(opened);
  try {
    for (const [index, destination] of destinations.entries()) {
      try {
        const uploaded = await putOnce(context, request, destination);
        await close(context, request, { fid, destination, uploaded });
        const { bytes, checksum } = uploaded;
        return { fid: Number(fid), bytes, ...(checksum === undefined ? {} : { checksum }) };
      } catch (error) {
        if (!(error instanceof PutFailure)) throw error;
        tried.push(`dev${destination.devid}: ${error.message}`);
        const last = index === destinations.length - 1;
        if (last || !source.replayable()) throw allDestinationsFailed(error);
      }
    }
    throw new OmgfsError('BAD_REPLY', { message: 'create_open named no destination' });
  } catch (error) {
    await abandon(context, { fid, destination: destinations[0] });
    throw error;
  }
}

function destinationsOf(opened: Fields): Destination[] {
  // Some trackers answer in the form for one destination even when asked for several.
  if (opened.path !== undefined) return [{ devid: opened.devid ?? '', path: opened.path }];
  const destinations: Destination[] = [];
  for (let number = 1; number <= Number(opened.dev_count ?? 0); number += 1) {
    const path = opened[`path_${number}`];
    const devid = opened[`devid_${number}`];
    if (path !== undefined && devid !== undefined) destinations.push({ devid, path });
  }
  return destinations;
}

/** The destination did not take the bytes. */
class PutFailure extends Error {}

/** The source failed; no other destination can help. */
class SourceFailure extends Error {}

function allDestinationsFailed(last: PutFailure): OmgfsError {
  const message = 'no storage node took the file';
  return new OmgfsError('DEVICE_DOWN', { message, cause: last });
}

async function putOnce(
  { agent, stallMs }: UploadContext,
  request: UploadRequest,
  { path }: Destination,
): Promise<Uploaded> {
  const { source, signal } = request;
  const guard = new Deadline(stallMs, signal);
  const tap = new Tap(request, guard);
  const body = Readable.from(tap.chunks(), { objectMode: false });
  const { origin, pathname } = new URL(path);
  const length = source.size === undefined ? {} : { 'content-length': String(source.size) };
  try {
    guard.arm();
    const response = await agent.request({
      origin,
      path: pathname,
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', ...length },
      body,
      signal: guard.signal,
    });
    const said = (await response.body.text()).trim().slice(0, 200);
    if (response.statusCode >= 300) {
      throw new PutFailure(`PUT answered ${response.statusCode} ${said}`.trim());
    }
    return { bytes: tap.bytes, checksum: tap.checksum };
  } catch (error) {
    signal?.throwIfAborted();
    if (tap.failure !== undefined) throw new SourceFailure('', { cause: tap.failure });
    if (error instanceof PutFailure) throw error;
    const reason = guard.signal.aborted ? guard.signal.reason : error;
    throw new PutFailure(reason instanceof Error ? reason.message : String(reason));
  } finally {
    guard.end();
    body.destroy();
  }
}

/**
 * Counts and digests what goes out, and tells a failing source from a failing destination. It stays
 * one chunk behind: the last one goes out only when the length is right and the digest is known,
 * because a node may answer before anybody asks for what follows the last byte.
 */
class Tap {
  bytes = 0;
  checksum: Checksum | undefined;
  failure: unknown;
  readonly #request: UploadRequest;
  readonly #guard: Deadline;

  constructor(request: UploadRequest, guard: Deadline) {
    this.#request = request;
    this.#guard = guard;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    const { source, checksum: type, onProgress } = this.#request;
    const hash = type && createHash(hashTypes[type].algorithm);
    const iterator = source.open()[Symbol.asyncIterator]();
    let held: Uint8Array | undefined;
    try {
      for (;;) {
        this.#guard.disarm();
        const next = await this.#next(iterator);
        if (next.done) break;
        this.bytes += next.value.length;
        hash?.update(next.value);
        this.#guard.arm();
        if (held !== undefined) yield held;
        held = next.value;
        onProgress?.(this.bytes);
      }
    } finally {
      // A file is closed; a stream that may have to go on elsewhere is closed by its owner.
      if (source.replayable()) await iterator.return?.();
    }
    this.#checkLength(source.size);
    if (type && hash) this.checksum = { type, hex: hash.digest('hex') };
    this.#guard.arm();
    if (held !== undefined) yield held;
  }

  async #next(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    try {
      return await iterator.next();
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  #checkLength(announced: number | undefined): void {
    if (announced === undefined || announced === this.bytes) return;
    this.failure = wrongLength(announced, this.bytes);
    throw this.failure;
  }
}

async function close(
  { pool, domain }: UploadContext,
  { key, signal }: UploadRequest,
  upload: { fid: string; destination: Destination; uploaded: Uploaded },
): Promise<void> {
  const { fid, destination, uploaded } = upload;
  const args = {
    domain,
    key,
    fid,
    devid: destination.devid,
    path: destination.path,
    size: uploaded.bytes,
    ...(uploaded.checksum ? { checksum: formatChecksum(uploaded.checksum) } : {}),
  };
  let uncertain = false;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await pool.request('create_close', args, { signal });
      return;
    } catch (error) {
      const known = toOmgfsError(error);
      // A close that was executed although its answer got lost finds no upload the second time.
      const lost = known.details.executed === true || (uncertain && known.code === 'NO_TEMP_FILE');
      if (!lost) throw error;
      uncertain = true;
      if (await isCurrent(pool, { domain, key, fid })) return;
      if (known.code === 'NO_TEMP_FILE' || attempt === closeAttemptsMax) throw error;
    }
  }
}

const closeAttemptsMax = 5;

async function isCurrent(
  pool: TrackerPool,
  { domain, key, fid }: { domain: string; key: string; fid: string },
): Promise<boolean> {
  try {
    return (await pool.request('file_info', { domain, key })).fid === fid;
  } catch {
    return false;
  }
}

/** Tells the tracker that the upload is given up; failing that, it finds out by itself. */
async function abandon(
  { pool, domain }: UploadContext,
  { fid, destination }: { fid: string; destination: Destination | undefined },
): Promise<void> {
  if (destination === undefined) return;
  const { devid, path } = destination;
  await pool
    .request('create_close', { domain, key: '', fid, devid, path, size: 0 })
    .catch(() => {});
}
