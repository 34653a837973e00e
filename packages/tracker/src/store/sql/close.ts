/**
 * Closing uploads: a whole batch becomes the current files of their keys in one transaction of a
 * handful of statements. The tempfile rows are claimed by locking them first, so that of several
 * closes of one upload, here or in another tracker, one wins. Readers see the old row of a key or
 * the new one (I3), because both the delete and the insert are in the transaction.
 */
import { hashTypes, OmgfsError } from '@omgfs/protocol';
import type { CloseOutcome, CloseRequest } from '../store.ts';
import type { Engine, Session, SqlValue } from './engine.ts';
import { currentFiles } from './files.ts';
import { finishUpload, lockUploads } from './own/uploads.ts';
import { int } from './row.ts';
import { bytes, marks, padded, Raw, tuples } from './statements.ts';

/** Tries when another tracker stored the same key between our look and our insert. */
const attemptsMax = 5;

/** Closes uploads of distinct fids and distinct keys. @returns the outcomes, in their order. */
export async function closeTempfiles(
  engine: Engine,
  requests: readonly CloseRequest[],
): Promise<CloseOutcome[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await engine.transaction(
        (session) => closeAll(engine, session, requests),
        (session, outcomes) => wasClosed(engine, session, requests, outcomes),
      );
    } catch (error) {
      // The new row of a key was taken: its holder has committed, so the next look finds it.
      const raced = error instanceof OmgfsError && error.code === 'DUPLICATE';
      if (!raced || attempt === attemptsMax) throw error;
    }
  }
}

async function closeAll(
  engine: Engine,
  session: Session,
  requests: readonly CloseRequest[],
): Promise<CloseOutcome[]> {
  const { dialect } = engine;
  const ids = requests.flatMap(({ upload }) => (upload === undefined ? [] : [upload]));
  const uploads = await lockUploads(engine, session, ids);
  const domains = await lockedDomains(engine, session, requests);
  const claimed = await fidsIn(session, lockedTempfiles, dialect.forUpdate, requests);
  const live = await fidsIn(session, currentFids, '', requests);
  const outcomes = requests.map(({ fid, dmid, upload }): CloseOutcome => {
    if (!domains.has(dmid)) return 'unreg_domain';
    if (upload !== undefined && !uploads.has(upload)) return 'no_upload';
    if (live.has(fid)) return 'fid_exists';
    return claimed.has(fid) ? 'stored' : 'no_temp_file';
  });
  const open = requests.filter((_, index) => outcomes[index] === 'stored');
  if (open.length === 0) return outcomes;
  const rows = await currentFiles({ session, dialect, keys: open, lock: true });
  const stored: CloseRequest[] = [];
  const replaced: number[] = [];
  for (const [at, request] of open.entries()) {
    const row = rows[at];
    const fid = row === undefined ? 0 : int(row, 'fid');
    if (request.replacing !== undefined && request.replacing !== fid) {
      outcomes[requests.indexOf(request)] = 'other_file';
      continue;
    }
    stored.push(request);
    if (fid !== 0) replaced.push(fid);
  }
  if (stored.length === 0) return outcomes;
  await deleteFids(
    session,
    'tempfile',
    stored.map(({ fid }) => fid),
  );
  if (replaced.length > 0) {
    await deleteFids(session, 'file', replaced);
    await queueDeletions(engine, session, replaced);
  }
  await insertFiles(engine, session, stored);
  for (const { upload, fid } of stored) {
    if (upload !== undefined) await finishUpload(session, { upload, fid });
  }
  return outcomes;
}

/** Domains that exist, kept from being deleted until the files are in them. Primary key. */
async function lockedDomains(
  { dialect }: Engine,
  session: Session,
  requests: readonly { dmid: number }[],
): Promise<Set<number>> {
  const list = padded([...new Set(requests.map(({ dmid }) => dmid))]);
  const sql = `SELECT dmid FROM domain WHERE dmid IN ${marks(list.length)}${dialect.forShare}`;
  return new Set((await session.rows(sql, list)).map((row) => int(row, 'dmid')));
}

/** Whether a batch was committed whose COMMIT was not answered. */
async function wasClosed(
  engine: Engine,
  session: Session,
  requests: readonly CloseRequest[],
  outcomes: readonly CloseOutcome[],
): Promise<boolean> {
  const stored = requests.filter((_, index) => outcomes[index] === 'stored');
  if (stored.length === 0) return true;
  // Locking waits for a transaction of ours that the server may still be working on.
  const open = await fidsIn(session, lockedTempfiles, engine.dialect.forUpdate, stored);
  return open.size === 0;
}

async function insertFiles(
  engine: Engine,
  session: Session,
  stored: readonly CloseRequest[],
): Promise<void> {
  const { dialect } = engine;
  const replicas = stored.flatMap(({ fid, devids }) => devids.map((devid) => [fid, devid]));
  if (replicas.length > 0) {
    // Primary key; a replica that is known already stays.
    await session.runLiteral(
      `INSERT INTO file_on (fid, devid) VALUES ${tuples(replicas)}${dialect.keepRow('fid')}`,
    );
  }
  const files = stored.map((request): SqlValue[] => {
    const { fid, dmid, dkey, length, classid, devids } = request;
    return [fid, dmid, bytes(dkey), length, classid, devids.length];
  });
  // Fails as a whole when another tracker's row of a key got in between.
  await session.runLiteral(
    `INSERT INTO file (fid, dmid, dkey, length, classid, devcount) VALUES ${tuples(files)}`,
  );
  const checksums = stored.flatMap(({ fid, checksum }) =>
    checksum === undefined
      ? []
      : [[fid, hashTypes[checksum.type].id, Buffer.from(checksum.hex, 'hex')]],
  );
  if (checksums.length > 0) {
    await session.runLiteral(
      `REPLACE INTO checksum (fid, hashtype, checksum) VALUES ${tuples(checksums)}`,
    );
  }
  const queued = stored.filter(({ replicate }) => replicate).map(({ fid }) => [fid, 0]);
  if (queued.length > 0) {
    await session.runLiteral(
      `INSERT INTO file_to_replicate (fid, nexttry) VALUES ${tuples(queued)}` +
        dialect.keepEarlierTry,
    );
  }
}

/** Queues fids for deletion now; primary key, rows that exist are made due. */
export async function queueDeletions(
  engine: Engine,
  session: Session,
  fids: readonly number[],
): Promise<void> {
  const now = new Raw(engine.dialect.now);
  await session.runLiteral(
    `INSERT INTO file_to_delete2 (fid, nexttry) VALUES ${tuples(fids.map((fid) => [fid, now]))}` +
      engine.dialect.keepEarlierTry,
  );
}

/** Primary key; with the lock it is the claim on an upload. */
const lockedTempfiles = 'SELECT fid FROM tempfile WHERE fid IN ';
/** Primary key. */
const currentFids = 'SELECT fid FROM file WHERE fid IN ';

async function fidsIn(
  session: Session,
  select: string,
  lock: string,
  requests: readonly { fid: number }[],
): Promise<Set<number>> {
  const list = padded(requests.map(({ fid }) => fid));
  const rows = await session.rows(`${select}${marks(list.length)}${lock}`, list);
  return new Set(rows.map((row) => int(row, 'fid')));
}

/** Deletes rows by primary key or its first column. */
export async function deleteFids(
  session: Session,
  table:
    | 'file'
    | 'tempfile'
    | 'checksum'
    | 'file_to_delete2'
    | 'file_to_delete'
    | 'file_to_delete_later',
  fids: readonly number[],
): Promise<void> {
  const list = padded(fids);
  await session.run(`DELETE FROM ${table} WHERE fid IN ${marks(list.length)}`, list);
}
