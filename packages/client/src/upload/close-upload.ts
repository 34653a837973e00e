/**
 * The end of an upload at the trackers: `create_close`, made certain when its answer got lost, and
 * the abandonment of an upload that failed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Checksum, formatChecksum, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import type { TrackerPool } from '../tracker-pool.ts';

interface CloseContext {
  pool: TrackerPool;
  domain: string;
}

interface Close {
  key: string;
  fid: string;
  devid: string;
  path: string;
  bytes: number;
  checksum: Checksum | undefined;
  replacing: number | undefined;
  /** Devices that may have the file without having said so; the tracker sees to them. */
  left: readonly string[];
  signal: AbortSignal | undefined;
}

/** Waits before each try: long enough for a tracker to be restarted, since the bytes are there. */
const waitsMs = [0, 100, 400, 1_500, 3_000];

/**
 * Makes the upload the current file of its key. When an answer got lost, the close is repeated; an
 * upload that the tracker does not know any more is looked up, because the lost try may have done
 * it.
 * @throws the refusal of the tracker; the error of the lost try when its outcome stays unknown.
 */
export async function closeUpload({ pool, domain }: CloseContext, close: Close): Promise<void> {
  const { key, fid, devid, path, bytes, checksum, replacing, left, signal } = close;
  const sum = checksum === undefined ? {} : { checksum: formatChecksum(checksum) };
  const only = replacing === undefined ? {} : { replacing };
  const rest = left.length === 0 ? {} : { left: left.join(' ') };
  const args = { domain, key, fid, devid, path, size: bytes, ...sum, ...only, ...rest };
  let lost: OmgfsError | undefined;
  let last: OmgfsError | undefined;
  for (const waitMs of waitsMs) {
    if (waitMs > 0) await delay(waitMs, undefined, { signal });
    try {
      await pool.request('create_close', args, { signal });
      return;
    } catch (error) {
      signal?.throwIfAborted();
      last = toOmgfsError(error);
    }
    if (last.code === 'FID_EXISTS') return;
    if (last.details.uncertain === true) lost = last;
    else if (last.code !== 'NO_TRACKER_UP' && lost === undefined) throw last;
    if (lost !== undefined && (await isCurrent(pool, { domain, key, fid, signal }))) return;
    // Not open any more and not current: the lost try failed, or another writer came after it.
    if (last.code === 'NO_TEMP_FILE') break;
  }
  throw lost ?? last ?? new OmgfsError('FAILURE');
}

async function isCurrent(
  pool: TrackerPool,
  { signal, fid, ...file }: { domain: string; key: string; fid: string; signal: Close['signal'] },
): Promise<boolean> {
  try {
    return (await pool.request('file_info', file, { signal })).fid === fid;
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}

/** How long a failed upload may take to be given up; the caller waits for its error. */
const abandonMs = 3_000;

/** Tells the tracker that the upload is given up; failing that, it finds out by itself. */
export async function abandonUpload(
  { pool, domain }: CloseContext,
  { fid, devid, path }: { fid: string; devid: string; path: string },
): Promise<void> {
  await pool
    .request(
      'create_close',
      { domain, key: '', fid, devid, path, size: 0 },
      { deadlineMs: abandonMs },
    )
    .catch(() => {});
}
