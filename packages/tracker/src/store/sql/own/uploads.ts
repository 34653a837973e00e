/** The statements of resumable uploads; two tables of ours that MogileFS never notices. */
import { limits } from '@omgfs/protocol';
import type { FoundUpload, ResumableUpload, UploadPart, UploadStore } from '../../upload-store.ts';
import type { Engine, Row, Session } from '../engine.ts';
import { int, intOrNull, text, textOrNull } from '../row.ts';
import { bytes, integer, marks, padded, Raw, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const uploadTable = `CREATE TABLE IF NOT EXISTS omg_upload (
  id VARBINARY(64) NOT NULL, dmid BIGINT NOT NULL,
  dkey VARBINARY(${limits.keyBytesMax}) NOT NULL, classname VARBINARY(255) NOT NULL,
  length BIGINT, expires BIGINT NOT NULL, busy BIGINT NOT NULL,
  fid BIGINT NOT NULL,
  ctype VARBINARY(${limits.contentTypeBytesMax}),
  name VARBINARY(${limits.filenameBytesMax}), meta VARBINARY(${limits.metadataBytesMax}),
  PRIMARY KEY (id))`;
const partTable = `CREATE TABLE IF NOT EXISTS omg_upload_part (
  id VARBINARY(64) NOT NULL, start BIGINT NOT NULL, fid BIGINT NOT NULL,
  devids VARBINARY(255) NOT NULL, length BIGINT NOT NULL, PRIMARY KEY (id, start))`;
/** Before 2026-11-21 there was a column more. */
const earlierUploads = {
  probe: 'SELECT target FROM omg_upload LIMIT 0',
  steps: ['ALTER TABLE omg_upload DROP COLUMN target'],
};
/** Parts were on one device: their uploads begin anew, as those of a tracker that was lost. */
const earlierParts = {
  probe: 'SELECT devid FROM omg_upload_part LIMIT 0',
  steps: [
    "ALTER TABLE omg_upload_part ADD COLUMN devids VARBINARY(255) NOT NULL DEFAULT ''",
    'DELETE FROM omg_upload_part WHERE devid IS NOT NULL',
    'ALTER TABLE omg_upload_part DROP COLUMN devid',
  ],
};
const columns = 'id, dmid, dkey, classname, length, expires, busy, fid, ctype, name, meta';

/** The end of an upload is put off when that much of its time has passed. */
const stepsPerTtl = 20;

export function createUploadStore(engine: Engine): UploadStore {
  const { now } = engine.dialect;
  const uploads = new OwnTable(engine, uploadTable, earlierUploads);
  const parts = new OwnTable(engine, partTable, earlierParts);
  return {
    create: async (upload, { ttlSeconds }) => {
      const values = tuples([valuesOf(upload, new Raw(`${now} + ${integer(ttlSeconds)}`))]);
      const keep = engine.dialect.keepRow('id');
      await uploads.write(() =>
        parts.write(() =>
          engine.runLiteral(`INSERT INTO omg_upload (${columns}) VALUES ${values}${keep}`),
        ),
      );
    },
    find: (id) =>
      uploads.read(undefined, () => parts.read(undefined, () => find(engine, engine, id))),
    parts: (id) => parts.read([], () => partsOf(engine, id)),
    setLength: async ({ id, length }) => {
      const sql = 'UPDATE omg_upload SET length = ? WHERE id = ? AND length IS NULL';
      return (await engine.run(sql, [length, bytes(id)])).changes > 0;
    },
    addPart: (request, options) => addPart(engine, request, options),
    claim: async ({ id, leaseSeconds }) => {
      const lease = `busy = ${now} + ${integer(leaseSeconds)}`;
      const sql = `UPDATE omg_upload SET ${lease} WHERE id = ? AND fid = 0 AND busy <= ${now}`;
      return (await engine.run(sql, [bytes(id)])).changes > 0;
    },
    renew: async ({ id, leaseSeconds }) => {
      const lease = `busy = ${now} + ${integer(leaseSeconds)}`;
      await engine.run(`UPDATE omg_upload SET ${lease} WHERE id = ?`, [bytes(id)]);
    },
    forgetParts: async (id) => {
      await engine.run('DELETE FROM omg_upload_part WHERE id = ?', [bytes(id)]);
    },
    remove: async (id) => {
      await engine.run('DELETE FROM omg_upload WHERE id = ?', [bytes(id)]);
      await engine.run('DELETE FROM omg_upload_part WHERE id = ?', [bytes(id)]);
    },
    renewTempfile: async (fid) => {
      // Primary key.
      const sql = `UPDATE tempfile SET createtime = ${now} WHERE fid = ? AND createtime < ${now}`;
      return (await engine.run(sql, [fid])).changes > 0;
    },
    expire: (request) => uploads.read(undefined, () => expire(engine, request)),
  };
}

function valuesOf(upload: ResumableUpload, expires: Raw) {
  const { id, dmid, dkey, className, length, contentType, filename, metadata } = upload;
  const said = [contentType, filename, metadata].map((value) => {
    return value === undefined ? null : bytes(value);
  });
  return [bytes(id), dmid, bytes(dkey), bytes(className), length ?? null, expires, 0, 0, ...said];
}

/** Primary keys. */
async function find(
  { dialect }: Engine,
  session: Session,
  id: string,
  lock = '',
): Promise<FoundUpload | undefined> {
  const [row] = await session.rows(
    `SELECT ${columns} FROM omg_upload WHERE id = ? AND expires > ${dialect.now}${lock}`,
    [bytes(id)],
  );
  if (row === undefined) return undefined;
  const last = await lastPart(session, id);
  return { ...uploadOf(row), bytes: last === undefined ? 0 : last.start + last.length };
}

/** Primary key, its end. */
async function lastPart(session: Session, id: string): Promise<UploadPart | undefined> {
  const [row] = await session.rows(
    `SELECT start, fid, devids, length FROM omg_upload_part
     WHERE id = ? ORDER BY start DESC LIMIT 1`,
    [bytes(id)],
  );
  return row && partOf(row);
}

/** Primary key. */
async function partsOf(session: Session, id: string): Promise<UploadPart[]> {
  const rows = await session.rows(
    'SELECT start, fid, devids, length FROM omg_upload_part WHERE id = ? ORDER BY start',
    [bytes(id)],
  );
  return rows.map(partOf);
}

function uploadOf(row: Row): Omit<FoundUpload, 'bytes'> {
  return {
    id: text(row, 'id'),
    dmid: int(row, 'dmid'),
    dkey: text(row, 'dkey'),
    className: text(row, 'classname'),
    length: intOrNull(row, 'length') ?? undefined,
    expires: int(row, 'expires'),
    fid: int(row, 'fid'),
    contentType: textOrNull(row, 'ctype') ?? undefined,
    filename: textOrNull(row, 'name') ?? undefined,
    metadata: textOrNull(row, 'meta') ?? undefined,
  };
}

function partOf(row: Row): UploadPart {
  const devids = text(row, 'devids').split(',').map(Number);
  return { start: int(row, 'start'), fid: int(row, 'fid'), devids, length: int(row, 'length') };
}

function addPart(
  engine: Engine,
  { id, part }: Parameters<UploadStore['addPart']>[0],
  { ttlSeconds, tempfileAgeSeconds, partsMax }: Parameters<UploadStore['addPart']>[1],
): ReturnType<UploadStore['addPart']> {
  const { now, forUpdate } = engine.dialect;
  return engine.transaction(async (session) => {
    const upload = await find(engine, session, id, forUpdate);
    if (upload === undefined) return 'unknown';
    const { start, fid, devids, length } = part;
    const end = start + length;
    const isNext = upload.bytes === start && upload.fid === 0 && end <= (upload.length ?? end);
    if (!isNext) {
      // It may be run again after a commit whose answer got lost. Primary key.
      const sql = 'SELECT fid FROM omg_upload_part WHERE id = ? AND start = ?';
      const [there] = await session.rows(sql, [bytes(id), start]);
      return there !== undefined && int(there, 'fid') === fid ? 'added' : 'other_offset';
    }
    // Primary key. Of what a request costs, this alone grows with the parts: 0.1 ms for a thousand.
    const count = 'SELECT COUNT(*) AS parts FROM omg_upload_part WHERE id = ?';
    const [row] = await session.rows(count, [bytes(id)]);
    if (row !== undefined && int(row, 'parts') >= partsMax) return 'too_many';
    await session.run(
      'INSERT INTO omg_upload_part (id, start, fid, devids, length) VALUES (?, ?, ?, ?, ?)',
      [bytes(id), start, fid, bytes(devids.join(',')), length],
    );
    // In steps: with every part, its older ones would all be written again.
    const step = Math.ceil(ttlSeconds / stepsPerTtl);
    const later = `${now} + ${integer(ttlSeconds + step)}`;
    const { changes } = await session.run(
      `UPDATE omg_upload SET expires = ${later}
       WHERE id = ? AND expires < ${now} + ${integer(ttlSeconds)}`,
      [bytes(id)],
    );
    const isLater = changes > 0;
    const young = isLater ? (await partsOf(session, id)).map((one) => one.fid) : [fid];
    const expires = isLater ? later : integer(upload.expires);
    for (let at = 0; at < young.length; at += 256) {
      const list = padded(young.slice(at, at + 256));
      // Primary key. They are given up together with the upload, by whichever tracker.
      await session.run(
        `UPDATE tempfile SET createtime = ${expires} - ${integer(tempfileAgeSeconds)}
         WHERE fid IN ${marks(list.length)}`,
        list,
      );
    }
    return 'added';
  });
}

/** Locks those of the uploads that have not become a file. Primary key. @returns their ids. */
export async function lockUploads(
  { dialect }: Engine,
  session: Session,
  ids: readonly string[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const list = padded(ids.map(bytes));
  const rows = await session.rows(
    `SELECT id FROM omg_upload
     WHERE id IN ${marks(list.length)} AND fid = 0${dialect.forUpdate}`,
    list,
  );
  return new Set(rows.map((row) => text(row, 'id')));
}

/** Notes what file an upload became. Primary key. */
export async function finishUpload(
  session: Session,
  { upload, fid }: { upload: string; fid: number },
): Promise<void> {
  await session.run('UPDATE omg_upload SET fid = ? WHERE id = ?', [fid, bytes(upload)]);
}

/** Primary key. */
async function expire(
  engine: Engine,
  { after, limit }: { after: string; limit: number },
): Promise<string | undefined> {
  const rows = await engine.rows(
    `SELECT id, expires <= ${engine.dialect.now} AS expired FROM omg_upload
     WHERE id > ? ORDER BY id LIMIT ${integer(limit)}`,
    [bytes(after)],
  );
  for (const row of rows) {
    if (int(row, 'expired') === 0) continue;
    const id = bytes(text(row, 'id'));
    await engine.run('DELETE FROM omg_upload WHERE id = ?', [id]);
    await engine.run('DELETE FROM omg_upload_part WHERE id = ?', [id]);
  }
  const last = rows[rows.length - 1];
  return last === undefined || rows.length < limit ? undefined : text(last, 'id');
}
