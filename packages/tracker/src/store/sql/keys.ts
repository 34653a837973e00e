/** Changes to stored files: keys, classes, replicas, and uploads that were given up. */
import { type Checksum, hashTypes } from '@omgfs/protocol';
import { deleteFids, queueDeletions } from './close.ts';
import type { Dialect, Engine, Session, SqlValue } from './engine.ts';
import { currentFiles, type Key } from './files.ts';
import { int, text } from './row.ts';
import { bytes, integer, marks, padded, tuples } from './statements.ts';

/** Removes keys and queues their fids for deletion. @returns which of them existed. */
export function deleteKeys(
  engine: Engine,
  keys: readonly (Key & { fid?: number | undefined })[],
): Promise<boolean[]> {
  const { dialect } = engine;
  let fids: number[] = [];
  return engine.transaction(
    async (session) => {
      const rows = await currentFiles({ session, dialect, keys, lock: true });
      const found = rows.map((row, at) => {
        const fid = row === undefined ? undefined : int(row, 'fid');
        const meant = keys[at]?.fid;
        return meant === undefined || meant === fid ? fid : undefined;
      });
      // Two spellings of one key may be in the batch on schemas that compare loosely.
      const existed = found.map((fid, at) => fid !== undefined && found.indexOf(fid) === at);
      fids = found.filter((fid, at): fid is number => fid !== undefined && existed[at] === true);
      if (fids.length === 0) return existed;
      await deleteFids(session, 'file', fids);
      await queueDeletions(engine, session, fids);
      return existed;
    },
    async (session) => fids.length === 0 || !(await anyLocked(engine, session, fids)),
  );
}

async function anyLocked(engine: Engine, session: Session, fids: number[]): Promise<boolean> {
  const list = padded(fids);
  const sql = `SELECT fid FROM file WHERE fid IN ${marks(list.length)}${engine.dialect.forUpdate}`;
  return (await session.rows(sql, list)).length > 0;
}

/** Changes the class of a file, if it still exists, and queues it for replication. */
export function changeClass(
  engine: Engine,
  request: { fid: number; classid: number },
): Promise<void> {
  const { fid, classid } = request;
  return engine.transaction(async (session) => {
    const sql = 'UPDATE file SET classid = ? WHERE fid = ?';
    const { changes } = await session.run(sql, [classid, fid]);
    if (changes === 0) return;
    await session.run(
      `INSERT INTO file_to_replicate (fid, nexttry) VALUES (?, 0)${engine.dialect.keepEarlierTry}`,
      [fid],
    );
  });
}

/**
 * Replicas that were made, in one transaction. The locks on the file rows order this with an
 * overwrite or delete of the keys. @returns for each whether its file is a current one.
 */
export function addReplicas(
  engine: Engine,
  replicas: readonly { fid: number; devid: number }[],
): Promise<boolean[]> {
  const list = padded(replicas.map(({ fid }) => fid));
  const inList = marks(list.length);
  return engine.transaction(async (session) => {
    // Primary keys, all of them.
    const rows = await session.rows(
      `SELECT fid FROM file WHERE fid IN ${inList}${engine.dialect.forUpdate}`,
      list,
    );
    const current = new Set(rows.map((row) => int(row, 'fid')));
    await insertReplicas(engine, session, replicas);
    if (current.size > 0) {
      await session.run(
        `UPDATE file SET devcount = (SELECT COUNT(*) FROM file_on o WHERE o.fid = file.fid)
         WHERE fid IN ${inList}`,
        list,
      );
    }
    const gone = replicas.map(({ fid }) => fid).filter((fid) => !current.has(fid));
    if (gone.length > 0) await queueDeletions(engine, session, [...new Set(gone)]);
    return replicas.map(({ fid }) => current.has(fid));
  });
}

/** See the contract. The lock on the file row keeps it from going meanwhile. */
export function saveChecksum(
  engine: Engine,
  request: { fid: number; checksum: Checksum },
): Promise<boolean> {
  const { fid, checksum } = request;
  return engine.transaction(async (session) => {
    if (!(await lockFile(engine, session, fid))) return false;
    await session.run('REPLACE INTO checksum (fid, hashtype, checksum) VALUES (?, ?, ?)', [
      fid,
      hashTypes[checksum.type].id,
      Buffer.from(checksum.hex, 'hex'),
    ]);
    return true;
  });
}

/** Forgets a replica and corrects the device count. */
export function removeReplica(
  engine: Engine,
  request: { fid: number; devid: number },
): Promise<void> {
  const { fid, devid } = request;
  return engine.transaction(async (session) => {
    const exists = await lockFile(engine, session, fid);
    await session.run('DELETE FROM file_on WHERE fid = ? AND devid = ?', [fid, devid]);
    if (exists) await recountReplicas(session, fid);
  });
}

/** Claims an upload and hands its bytes to the delete queue, unless its fid is a current file. */
export function abandonTempfile(
  engine: Engine,
  request: { fid: number; devids: readonly number[] },
): Promise<boolean> {
  const { fid, devids } = request;
  const locked = `SELECT fid FROM tempfile WHERE fid = ?${engine.dialect.forUpdate}`;
  return engine.transaction(
    async (session) => {
      if ((await session.rows(locked, [fid])).length === 0) return false;
      await deleteFids(session, 'tempfile', [fid]);
      if (await lockFile(engine, session, fid)) return true;
      if (devids.length > 0) {
        await insertReplicas(
          engine,
          session,
          devids.map((devid) => ({ fid, devid })),
        );
      }
      await queueDeletions(engine, session, [fid]);
      return true;
    },
    async (session, result) => !result || (await session.rows(locked, [fid])).length === 0,
  );
}

/** Drops a tempfile row whose fid is a current file. Primary keys. */
export async function dropClosedTempfile(engine: Engine, fid: number): Promise<boolean> {
  const { changes } = await engine.run(
    `DELETE FROM tempfile
     WHERE fid = ? AND EXISTS (SELECT 1 FROM file WHERE file.fid = tempfile.fid)`,
    [fid],
  );
  return changes > 0;
}

async function lockFile(engine: Engine, session: Session, fid: number): Promise<boolean> {
  const sql = `SELECT fid FROM file WHERE fid = ?${engine.dialect.forUpdate}`;
  return (await session.rows(sql, [fid])).length > 0;
}

async function insertReplicas(
  engine: Engine,
  session: Session,
  replicas: readonly { fid: number; devid: number }[],
): Promise<void> {
  const rows = tuples(replicas.map(({ fid, devid }) => [fid, devid]));
  const sql = `INSERT INTO file_on (fid, devid) VALUES ${rows}${engine.dialect.keepRow('fid')}`;
  await session.runLiteral(sql);
}

async function recountReplicas(session: Session, fid: number): Promise<void> {
  await session.run(
    `UPDATE file SET devcount = (SELECT COUNT(*) FROM file_on WHERE fid = ?) WHERE fid = ?`,
    [fid, fid],
  );
}

/**
 * Keys below a prefix after a key, in the order of the unique index (dmid, dkey): bytes on schemas
 * of ours, their collation on schemas that MogileFS made, so that pages neither skip nor repeat.
 */
export async function listKeys(
  engine: Engine,
  request: {
    dmid: number;
    prefix: string;
    after: string;
    limit: number;
    caseSensitive: boolean;
  },
): Promise<string[]> {
  const { dialect } = engine;
  const { sql, values } = keyRange(dialect, request);
  // Collations that pad with blanks sort a key of control characters before the empty one.
  const isFirstPage = request.after === '';
  const rows = await engine.rows(
    `SELECT ${dialect.keyColumn} AS dkey FROM file f
     WHERE f.dmid = ?${isFirstPage ? '' : ` AND f.dkey > ${dialect.keyMark}`}${sql}
     ORDER BY f.dkey LIMIT ${integer(request.limit)}`,
    [request.dmid, ...(isFirstPage ? [] : [bytes(request.after)]), ...values],
  );
  return rows.map((row) => text(row, 'dkey'));
}

/** Conditions, each after an AND, and their values. */
export interface KeyRange {
  sql: string;
  values: SqlValue[];
}

/** That a key begins with a prefix; none for an empty one. */
export function keyRange(
  dialect: Dialect,
  request: { prefix: string; caseSensitive: boolean },
): KeyRange {
  const prefix = bytes(request.prefix);
  if (prefix.length === 0) return { sql: '', values: [] };
  if (dialect.exactKeys) {
    const end = successor(prefix);
    if (end === undefined) return { sql: ' AND f.dkey >= ?', values: [prefix] };
    return { sql: ' AND f.dkey >= ? AND f.dkey < ?', values: [prefix, end] };
  }
  const pattern = bytes(`${request.prefix.replace(/[%_\\]/g, '\\$&')}%`);
  const like = ` AND f.dkey LIKE ${dialect.keyMark}`;
  if (!request.caseSensitive) return { sql: like, values: [pattern] };
  const same = ` AND SUBSTRING(${dialect.keyColumn}, 1, ${prefix.length}) = ?`;
  return { sql: like + same, values: [pattern, prefix] };
}

/** The first byte string after all that begin with `prefix`; undefined when there is none. */
function successor(prefix: Buffer): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return undefined;
  const next = Buffer.from(prefix.subarray(0, length));
  next[length - 1] = (next[length - 1] as number) + 1;
  return next;
}
