/**
 * Uploading one file: open at a tracker, PUT to the first destination that takes it, close at a
 * tracker. A file counts as stored only when the close was answered, or was looked up after an
 * answer got lost. What fails is given up at the tracker, so that its bytes go away.
 */
import {
  type Checksum,
  type Fields,
  type HashType,
  OmgfsError,
  toOmgfsError,
} from '@omgfs/protocol';
import type { Agent } from 'undici';
import type { TrackerPool } from '../tracker-pool.ts';
import { abandonUpload, closeUpload } from './close-upload.ts';
import { PutFailure, putBody, SourceFailure } from './put-body.ts';
import type { Source } from './source.ts';

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
  replacing?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface StoredFile {
  fid: number;
  bytes: number;
  /** The digest of what was sent, when it was asked for. */
  checksum?: Checksum;
}

interface Destination {
  devid: string;
  path: string;
}

/** A destination that did not take the file. */
interface Try {
  message: string;
  full: boolean;
}

const full = {
  message: 'every storage node that was offered is full: delete files, or add devices',
};

/** Whether nothing else than full devices was in the way. */
function isFull({ code }: OmgfsError, tried: readonly Try[]): boolean {
  return code === 'DEVICE_DOWN' && tried.length > 0 && tried.every((one) => one.full);
}

/** Whole tries from `create_open` on, while the source can be read again. */
const roundsMax = 3;

/**
 * @throws the error of the last try, with what was tried in its message and in `details.tried`. A
 * source that fails ends the upload with the error that it throws.
 */
export async function upload(context: UploadContext, request: UploadRequest): Promise<StoredFile> {
  const tried: Try[] = [];
  for (let round = 1; ; round += 1) {
    try {
      return await uploadOnce(context, request, tried);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (error instanceof SourceFailure) throw error.cause;
      const known = toOmgfsError(error);
      const again = known.retry === 'other' && request.source.replayable() && round < roundsMax;
      if (again) continue;
      const said = tried.map(({ message }) => message);
      const { code, message } = isFull(known, tried) ? new OmgfsError('DEVICE_FULL', full) : known;
      throw new OmgfsError(code, {
        message: [message, ...said].join('; '),
        cause: error,
        details: { ...known.details, tried: said },
      });
    }
  }
}

async function uploadOnce(
  context: UploadContext,
  request: UploadRequest,
  tried: Try[],
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
  const left: string[] = [];
  let current = destinations[0];
  try {
    for (const destination of destinations) {
      current = destination;
      const { devid, path } = destination;
      const uploaded = await putBody(context, { ...request, url: path }).catch((error: unknown) => {
        if (!(error instanceof PutFailure)) throw error;
        const message = `dev${devid} at ${path}: ${error.message}`;
        tried.push({ message, full: error.status === 507 });
        if (error.status === undefined) left.push(devid);
        if (!source.replayable()) throw noneTook('the stream cannot be read again');
        return undefined;
      });
      if (uploaded === undefined) continue;
      const { bytes, checksum } = uploaded;
      const { replacing } = request;
      const close = { key, fid, devid, path, bytes, checksum, replacing, left, signal };
      await closeUpload(context, close);
      return { fid: Number(fid), bytes, ...(checksum === undefined ? {} : { checksum }) };
    }
    throw noneTook(`${destinations.length} were offered`);
  } catch (error) {
    if (current !== undefined) await abandonUpload(context, { fid, ...current });
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

function noneTook(why: string): OmgfsError {
  return new OmgfsError('DEVICE_DOWN', { message: `no storage node took the file (${why})` });
}
