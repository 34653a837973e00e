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
import { int, intOrNull, textOrNull } from './row.ts';
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
  const { domains, classes } = await lockedDomains(engine, session, requests);
  const { claimed, live } = await claim(engine, session, requests);
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
  await queueReplications(engine, session, {
    fids: stored.filter((request) => isShort(request, classes)).map(({ fid }) => fid),
  });
  for (const { upload, fid } of stored) {
    if (upload !== undefined) await finishUpload(session, { upload, fid });
  }
  return outcomes;
}

/** Rows of `class`, by domain and class. */
type Classes = ReadonlyMap<string, { mindevcount: number; replpolicy: string | null }>;

function classKey({ dmid, classid }: { dmid: number; classid: number }): string {
  return `${dmid}:${classid}`;
}

/**
 * Domains that exist, and classes of the files, kept from being changed until the files are in
 * them. Primary keys; classes of other domains than those of their files may be among them.
 */
async function lockedDomains(
  { dialect }: Engine,
  session: Session,
  requests: readonly { dmid: number; classid: number }[],
): Promise<{ domains: Set<number>; classes: Classes }> {
  const dmids = padded([...new Set(requests.map(({ dmid }) => dmid))]);
  const classids = padded([...new Set(requests.map(({ classid }) => classid))]);
  const replpolicy = dialect.bytes('c.replpolicy');
  const sql = `SELECT d.dmid, c.classid, c.mindevcount, ${replpolicy} AS replpolicy
    FROM domain d LEFT JOIN class c ON c.dmid = d.dmid AND c.classid IN ${marks(classids.length)}
    WHERE d.dmid IN ${marks(dmids.length)}${dialect.forShare}`;
  const domains = new Set<number>();
  const classes = new Map<string, { mindevcount: number; replpolicy: string | null }>();
  for (const row of await session.rows(sql, [...classids, ...dmids])) {
    const dmid = int(row, 'dmid');
    domains.add(dmid);
    const classid = intOrNull(row, 'classid');
    if (classid === null) continue;
    const facts = {
      mindevcount: int(row, 'mindevcount'),
      replpolicy: textOrNull(row, 'replpolicy'),
    };
    classes.set(classKey({ dmid, classid }), facts);
  }
  return { domains, classes };
}

/** Whether a file is to be queued for replication. */
function isShort(request: CloseRequest, classes: Classes): boolean {
  const { replicate } = request;
  if (typeof replicate === 'boolean') return replicate;
  const { mindevcount, replpolicy } = classes.get(classKey(request)) ?? {};
  // Without a row it is a default class, of which each tracker may think otherwise.
  return mindevcount !== replicate.mindevcount || (replpolicy || null) !== replicate.replpolicy;
}

/** Locks the uploads that are open, which claims them, and says which fids are files already. */
async function claim(
  { dialect }: Engine,
  session: Session,
  requests: readonly { fid: number }[],
): Promise<{ claimed: Set<number>; live: Set<number> }> {
  const list = padded(requests.map(({ fid }) => fid));
  // Primary keys; that of `file` finds nothing, unless somebody imported files.
  const sql = `SELECT t.fid, f.fid AS live FROM tempfile t LEFT JOIN file f ON f.fid = t.fid
    WHERE t.fid IN ${marks(list.length)}${dialect.forUpdate}`;
  const rows = await session.rows(sql, list);
  const claimed = new Set(rows.map((row) => int(row, 'fid')));
  const live = rows.filter((row) => row.live !== null).map((row) => int(row, 'fid'));
  const unknown = requests.filter(({ fid }) => !claimed.has(fid));
  if (unknown.length === 0) return { claimed, live: new Set(live) };
  return {
    claimed,
    live: new Set([...live, ...(await fidsIn(session, currentFids, '', unknown))]),
  };
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
}

/** Primary key; a row that exists is made due. */
async function queueReplications(
  { dialect }: Engine,
  session: Session,
  { fids }: { fids: readonly number[] },
): Promise<void> {
  if (fids.length === 0) return;
  await session.runLiteral(
    `INSERT INTO file_to_replicate (fid, nexttry) VALUES ${tuples(fids.map((fid) => [fid, 0]))}` +
      dialect.keepEarlierTry,
  );
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
