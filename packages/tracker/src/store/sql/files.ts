/**
 * Finding current files and their replicas: the hottest reads of the system. One statement carries
 * many keys. On schemas whose keys do not compare byte by byte (those MogileFS made), the
 * database's own comparison decides whether two spellings are one key.
 */
import { type Checksum, hashTypeOf } from '@omgfs/protocol';
import type { FileRow, FileWithReplicas, TempfileRow } from '../store.ts';
import type { Dialect, Engine, Row, Session, SqlValue } from './engine.ts';
import { int, integerOf, intOrNull, text, textOf } from './row.ts';
import { bytes, chunks, integer, marks, padded } from './statements.ts';

export interface Key {
  dmid: number;
  dkey: string;
}

const fileColumns = 'f.fid, f.dmid, f.length, f.classid, f.devcount';

/** The files of keys with their replicas, in the order of the keys. One statement a domain. */
export async function findFiles(
  engine: Engine,
  keys: readonly Key[],
): Promise<(FileWithReplicas | undefined)[]> {
  const { dialect } = engine;
  const domains = byDomain(keys);
  const found = new Map<number, Map<string, FileWithReplicas>>();
  for (const [dmid, dkeys] of domains) found.set(dmid, await findInDomain(engine, dmid, dkeys));
  const files = keys.map(({ dmid, dkey }) => found.get(dmid)?.get(dkey));
  const nothing = [...found.values()].every(({ size }) => size === 0);
  if (dialect.exactKeys || nothing) return files;
  // Another spelling of a key was asked for: the only row there is to a single key is its row.
  const [only] = domains.size === 1 ? found.values() : [];
  if (keys.length === 1) return [only?.values().next().value];
  return Promise.all(
    files.map(async (file, at) => file ?? (await findFiles(engine, [keys[at] as Key]))[0]),
  );
}

/** The files of keys in one domain, by the spelling that is stored. */
async function findInDomain(
  engine: Engine,
  dmid: number,
  dkeys: readonly string[],
): Promise<Map<string, FileWithReplicas>> {
  const list = padded(dkeys);
  const values: SqlValue[] = [dmid];
  for (const dkey of list) values.push(bytes(dkey));
  const files = new Map<string, FileWithReplicas>();
  for (const row of await engine.rows(findText(engine.dialect, list.length), values)) {
    const { fid, length, classid, devcount, devid } = row;
    const dkey = textOf(row.dkey, 'dkey') ?? '';
    let file = files.get(dkey);
    if (file === undefined) {
      file = {
        fid: integerOf(fid, 'fid'),
        dmid,
        dkey,
        length: length === null ? 0 : integerOf(length, 'length'),
        classid: integerOf(classid, 'classid'),
        devcount: integerOf(devcount, 'devcount'),
        devids: [],
      };
      files.set(dkey, file);
    }
    if (devid !== null) file.devids.push(integerOf(devid, 'devid'));
  }
  return files;
}

function byDomain(keys: readonly Key[]): Map<number, string[]> {
  const domains = new Map<number, string[]>();
  for (const { dmid, dkey } of keys) {
    const dkeys = domains.get(dmid);
    if (dkeys === undefined) domains.set(dmid, [dkey]);
    else dkeys.push(dkey);
  }
  return domains;
}

const findTexts = new WeakMap<Dialect, Map<number, string>>();

/** One string for each number of keys: building and hashing a long text each time costs. */
function findText(dialect: Dialect, count: number): string {
  let texts = findTexts.get(dialect);
  if (texts === undefined) {
    texts = new Map();
    findTexts.set(dialect, texts);
  }
  let sql = texts.get(count);
  if (sql === undefined) {
    const keyMarks = Array(count).fill(dialect.keyMark).join(', ');
    // Unique key (dmid, dkey), then the primary key of file_on. A list of keys in one domain costs
    // the server less than a list of pairs.
    sql = `SELECT f.fid, f.length, f.classid, f.devcount, ${dialect.keyColumn} AS dkey, o.devid
     FROM file f LEFT JOIN file_on o ON o.fid = f.fid
     WHERE f.dmid = ? AND f.dkey IN (${keyMarks})`;
    texts.set(count, sql);
  }
  return sql;
}

/** The rows of `file` of some keys, in the order of the keys, locked if wanted. */
export async function currentFiles(options: {
  session: Session;
  dialect: Dialect;
  keys: readonly Key[];
  lock: boolean;
}): Promise<(Row | undefined)[]> {
  const { session, dialect, keys, lock } = options;
  const list = padded(keys);
  // Unique key (dmid, dkey).
  const rows = await session.rows(
    `SELECT ${fileColumns}, ${dialect.keyColumn} AS dkey FROM file f
     WHERE ${dialect.pairsIn(list.length)}${lock ? dialect.forUpdate : ''}`,
    keyValues(list),
  );
  const byKey = new Map(rows.map((row) => [`${int(row, 'dmid')}:${text(row, 'dkey')}`, row]));
  const found = keys.map((key) => byKey.get(keyText(key)));
  if (dialect.exactKeys || rows.length === 0) return found;
  if (keys.length === 1) return [rows[0]];
  const all: (Row | undefined)[] = [];
  for (const [at, row] of found.entries()) {
    all.push(row ?? (await currentFiles({ ...options, keys: [keys[at] as Key] }))[0]);
  }
  return all;
}

/** Files with their replicas by fid; unknown ones are missing. Primary keys. */
export async function filesByFid(
  engine: Engine,
  fids: readonly number[],
): Promise<FileWithReplicas[]> {
  const { keyColumn } = engine.dialect;
  const found = await Promise.all(
    chunks(fids).map((part) => {
      const list = padded(part);
      return engine.rows(
        `SELECT ${fileColumns}, ${keyColumn} AS dkey, o.devid
         FROM file f LEFT JOIN file_on o ON o.fid = f.fid WHERE f.fid IN ${marks(list.length)}`,
        list,
      );
    }),
  );
  return withReplicas(found.flat());
}

/** Devices that hold each fid. Primary key. */
export async function replicasOf(
  session: Session,
  fids: readonly number[],
): Promise<Map<number, number[]>> {
  const replicas = new Map<number, number[]>(fids.map((fid) => [fid, []]));
  for (const part of chunks(fids)) {
    const list = padded(part);
    const rows = await session.rows(
      `SELECT fid, devid FROM file_on WHERE fid IN ${marks(list.length)}`,
      list,
    );
    for (const row of rows) replicas.get(int(row, 'fid'))?.push(int(row, 'devid'));
  }
  return replicas;
}

/** Uploads by fid, in the order of the fids. Primary key. */
export async function findTempfiles(
  engine: Engine,
  fids: readonly number[],
): Promise<(TempfileRow | undefined)[]> {
  const list = padded(fids);
  const rows = await engine.rows(
    `SELECT ${tempfileColumns(engine.dialect)} FROM tempfile WHERE fid IN ${marks(list.length)}`,
    list,
  );
  const byFid = new Map(rows.map((row) => [int(row, 'fid'), toTempfile(row)]));
  return fids.map((fid) => byFid.get(fid));
}

/** Abandoned uploads; reads `tempfile` in the order of fids, which is the order of creation. */
export async function staleTempfiles(
  engine: Engine,
  request: { ageSeconds: number; limit: number },
): Promise<TempfileRow[]> {
  const { dialect } = engine;
  const rows = await engine.rows(
    `SELECT ${tempfileColumns(dialect)} FROM tempfile WHERE createtime <= ${dialect.now} - ?
     ORDER BY fid LIMIT ${integer(request.limit)}`,
    [request.ageSeconds],
  );
  return rows.map(toTempfile);
}

function tempfileColumns(dialect: Dialect): string {
  const columns = ['dkey', 'devids'].map((name) => `${dialect.bytes(name)} AS ${name}`);
  return `fid, createtime, classid, dmid, ${columns.join(', ')}`;
}

function toTempfile(row: Row): TempfileRow {
  // The self-test of a Perl tracker leaves NULL here.
  const devids = text(row, 'devids');
  return {
    fid: int(row, 'fid'),
    createtime: int(row, 'createtime'),
    classid: int(row, 'classid'),
    dmid: int(row, 'dmid'),
    dkey: text(row, 'dkey'),
    devids: devids === '' ? [] : devids.split(',').map(Number),
  };
}

/** Of each fid, in their order. Primary key. A hash type this version does not know is none. */
export async function findChecksums(
  session: Session,
  fids: readonly number[],
): Promise<(Checksum | undefined)[]> {
  const list = padded(fids);
  const rows = await session.rows(
    `SELECT fid, hashtype, HEX(checksum) AS hex FROM checksum WHERE fid IN ${marks(list.length)}`,
    list,
  );
  const byFid = new Map<number, Checksum>();
  for (const row of rows) {
    const type = hashTypeOf(int(row, 'hashtype'));
    if (type === undefined) continue;
    byFid.set(int(row, 'fid'), { type, hex: text(row, 'hex').toLowerCase() });
  }
  return fids.map((fid) => byFid.get(fid));
}

/** Rows in the order of fids. Primary key. */
export async function filesAfter(
  engine: Engine,
  request: { after: number; limit: number },
): Promise<FileRow[]> {
  const rows = await engine.rows(
    `SELECT ${fileColumns}, ${engine.dialect.keyColumn} AS dkey FROM file f
     WHERE f.fid > ? ORDER BY f.fid LIMIT ${integer(request.limit)}`,
    [request.after],
  );
  return rows.map(toFile);
}

function keyValues(keys: readonly Key[]): SqlValue[] {
  const values: SqlValue[] = [];
  for (const { dmid, dkey } of keys) values.push(dmid, bytes(dkey));
  return values;
}

function keyText({ dmid, dkey }: Key): string {
  return `${dmid}:${dkey}`;
}

function toFile(row: Row): FileRow {
  return {
    fid: int(row, 'fid'),
    dmid: int(row, 'dmid'),
    dkey: text(row, 'dkey'),
    length: intOrNull(row, 'length') ?? 0,
    classid: int(row, 'classid'),
    devcount: int(row, 'devcount'),
  };
}

/** Folds the rows of a join, one for each replica, into files. */
function withReplicas(rows: readonly Row[]): FileWithReplicas[] {
  const files = new Map<number, FileWithReplicas>();
  for (const row of rows) {
    const fid = int(row, 'fid');
    let file = files.get(fid);
    if (file === undefined) {
      file = { ...toFile(row), devids: [] };
      files.set(fid, file);
    }
    const devid = intOrNull(row, 'devid');
    if (devid !== null) file.devids.push(devid);
  }
  return [...files.values()];
}
