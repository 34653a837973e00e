/** Files in the order of fids with what fsck compares: a few statements for a thousand of them. */
import type { FsckFile, FsckLimits, FsckStore } from '../../fsck-store.ts';
import type { Dialect, Engine, SqlValue } from '../engine.ts';
import { type KeyRange, keyRange } from '../keys.ts';
import { int, intOrNull } from '../row.ts';
import { chunks, integer, marks, padded } from '../statements.ts';

/** Rows of `file` that a limited run passes over at once. */
const windowRows = 50_000;
const replicaRowsMax = 50_000;

const columns = 'f.fid, f.dmid, f.classid, f.length, f.devcount';

export async function readRange(
  engine: Engine,
  request: Parameters<FsckStore['range']>[0],
): ReturnType<FsckStore['range']> {
  const { after, filesMax, limits } = request;
  const isLimited = limits.dmid !== undefined;
  const end = isLimited ? await windowEnd(engine, request) : request.end;
  const filter = filterOf(engine.dialect, limits);
  // Primary key.
  const rows = await engine.rows(
    `SELECT ${columns} FROM file f WHERE f.fid > ? AND f.fid <= ?${filter.sql}
     ORDER BY f.fid LIMIT ${integer(filesMax)}`,
    [after, end, ...filter.values],
  );
  const files = new Map<number, FsckFile>();
  let upTo = after;
  for (const row of rows) {
    const file = toFile(row);
    files.set(file.fid, file);
    upTo = file.fid;
  }
  if (isLimited) await addReplicasOf(engine, files);
  else if (files.size > 0) await addReplicasBetween(engine, files, { after, upTo });
  return { files: [...files.values()], upTo: rows.length < filesMax ? end : upTo };
}

/** A statement that passes over everything in search of a few files would take too long. */
async function windowEnd(
  engine: Engine,
  { after, end }: { after: number; end: number },
): Promise<number> {
  const [row] = await engine.rows(
    `SELECT COUNT(*) AS passed, MAX(fid) AS top FROM (SELECT fid FROM file
     WHERE fid > ? AND fid <= ? ORDER BY fid LIMIT ${windowRows}) w`,
    [after, end],
  );
  if (row === undefined || int(row, 'passed') < windowRows) return end;
  return int(row, 'top');
}

function filterOf(dialect: Dialect, limits: FsckLimits): KeyRange {
  const { dmid, classid, prefix } = limits;
  const conditions: string[] = [];
  const values: SqlValue[] = [];
  for (const [column, value] of Object.entries({ dmid, classid })) {
    if (value === undefined) continue;
    conditions.push(` AND f.${column} = ?`);
    values.push(value);
  }
  const keys = keyRange(dialect, { prefix: prefix ?? '', caseSensitive: true });
  return {
    sql: conditions.join('') + keys.sql,
    values: [...values, ...keys.values],
  };
}

/**
 * The replicas of all fids in a range; cheaper by half than a list of the fids. Fids that are no
 * files, deleted ones for example, may be any number of them, so it goes on page by page.
 */
async function addReplicasBetween(
  engine: Engine,
  files: ReadonlyMap<number, FsckFile>,
  range: { after: number; upTo: number },
): Promise<void> {
  let after = range.after;
  for (;;) {
    // Primary key.
    const rows = await engine.rows(
      `SELECT fid, devid FROM file_on WHERE fid > ? AND fid <= ?
       ORDER BY fid LIMIT ${replicaRowsMax}`,
      [after, range.upTo],
    );
    const isLastPage = rows.length < replicaRowsMax;
    // The last fid of a full page may have more replicas on the next.
    const last = isLastPage ? Number.POSITIVE_INFINITY : int(rows[rows.length - 1] ?? {}, 'fid');
    for (const row of rows) {
      const fid = int(row, 'fid');
      if (fid < last) files.get(fid)?.devids.push(int(row, 'devid'));
    }
    if (isLastPage) return;
    after = last - 1;
  }
}

async function addReplicasOf(engine: Engine, files: ReadonlyMap<number, FsckFile>): Promise<void> {
  for (const part of chunks([...files.keys()])) {
    const list = padded(part);
    // Primary key.
    const rows = await engine.rows(
      `SELECT fid, devid FROM file_on WHERE fid IN ${marks(list.length)}`,
      list,
    );
    for (const row of rows) files.get(int(row, 'fid'))?.devids.push(int(row, 'devid'));
  }
}

/** Primary keys. */
export async function readFiles(engine: Engine, fids: readonly number[]): Promise<FsckFile[]> {
  const files = new Map<number, FsckFile>();
  for (const part of chunks(fids)) {
    const list = padded(part);
    const sql = `SELECT ${columns} FROM file f WHERE f.fid IN ${marks(list.length)}`;
    for (const row of await engine.rows(sql, list)) files.set(int(row, 'fid'), toFile(row));
  }
  await addReplicasOf(engine, files);
  return [...files.values()];
}

/** Primary key. */
export async function withChecksum(engine: Engine, fids: readonly number[]): Promise<Set<number>> {
  const found = new Set<number>();
  for (const part of chunks(fids)) {
    const list = padded(part);
    const sql = `SELECT fid FROM checksum WHERE fid IN ${marks(list.length)}`;
    for (const row of await engine.rows(sql, list)) found.add(int(row, 'fid'));
  }
  return found;
}

function toFile(row: Parameters<typeof int>[0]): FsckFile {
  return {
    fid: int(row, 'fid'),
    dmid: int(row, 'dmid'),
    classid: int(row, 'classid'),
    length: intOrNull(row, 'length') ?? 0,
    devcount: int(row, 'devcount'),
    devids: [],
  };
}
