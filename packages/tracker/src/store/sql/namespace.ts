/** Domains, classes and settings. Small tables, read whole by every tracker every few seconds. */
import { hashTypeOf, hashTypes, OmgfsError } from '@omgfs/protocol';
import type { FileClass } from '../../placement/model.ts';
import type { ClassFields } from '../store.ts';
import type { Engine, Session, SqlValue } from './engine.ts';
import { int, intOrNull, text, textOrNull } from './row.ts';
import { bytes } from './statements.ts';

/** As many as trackers that could take an id at the same moment. */
const attemptsMax = 50;

/**
 * Runs a transaction that takes the next free id, again when another tracker took that id first.
 * `refuse` throws when it was not the id that was taken.
 */
export async function withNextId(
  work: () => Promise<number>,
  refuse: () => Promise<void>,
): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof OmgfsError) || error.code !== 'DUPLICATE') throw error;
      await refuse();
      if (attempt === attemptsMax) throw error;
    }
  }
}

export async function loadDomains(session: Engine): Promise<{ dmid: number; name: string }[]> {
  const name = session.dialect.bytes('namespace');
  const rows = await session.rows(`SELECT dmid, ${name} AS namespace FROM domain`);
  return rows.map((row) => ({ dmid: int(row, 'dmid'), name: text(row, 'namespace') }));
}

export async function loadClasses(engine: Engine): Promise<FileClass[]> {
  const { dialect } = engine;
  const rows = await engine.rows(
    `SELECT dmid, classid, ${dialect.bytes('classname')} AS classname, mindevcount, hashtype,
     ${dialect.bytes('replpolicy')} AS replpolicy FROM class`,
  );
  return rows.map((row) => ({
    dmid: int(row, 'dmid'),
    classid: int(row, 'classid'),
    name: text(row, 'classname'),
    mindevcount: int(row, 'mindevcount'),
    hashtype: hashTypeOf(intOrNull(row, 'hashtype')) ?? null,
    replpolicy: textOrNull(row, 'replpolicy') || null,
  }));
}

/** Uploads may outlive their domain, and must not end up in another. Indexes, but for tempfile. */
const highestDmid = `SELECT MAX(id) AS id FROM (
  SELECT MAX(dmid) AS id FROM domain UNION ALL SELECT MAX(dmid) FROM class
  UNION ALL SELECT MAX(dmid) FROM file
  UNION ALL SELECT MAX(dmid) FROM tempfile
) used`;

export function createDomain(engine: Engine, name: string): Promise<number> {
  const namespace = bytes(name);
  const byName = 'SELECT dmid FROM domain WHERE namespace = ?';
  return withNextId(
    () =>
      engine.transaction(
        async (session) => {
          const dmid = await nextId(session, highestDmid);
          const sql = 'INSERT INTO domain (dmid, namespace) VALUES (?, ?)';
          await session.run(sql, [dmid, namespace]);
          return dmid;
        },
        async (session, dmid) => {
          const [row] = await session.rows(byName, [namespace]);
          return row !== undefined && int(row, 'dmid') === dmid;
        },
      ),
    async () => {
      const [row] = await engine.rows(byName, [namespace]);
      if (row !== undefined) throw new OmgfsError('DOMAIN_EXISTS');
    },
  );
}

/** Locks the domain's row, so that classes are not created meanwhile by trackers of ours. */
export function deleteDomain(engine: Engine, dmid: number): Promise<void> {
  const locked = `SELECT dmid FROM domain WHERE dmid = ?${engine.dialect.forUpdate}`;
  return engine.transaction(
    async (session) => {
      if ((await session.rows(locked, [dmid])).length === 0) {
        throw new OmgfsError('DOMAIN_NOT_FOUND');
      }
      // Unique key (dmid, dkey).
      const files = await session.rows('SELECT fid FROM file WHERE dmid = ? LIMIT 1', [dmid]);
      if (files.length > 0) throw new OmgfsError('DOMAIN_HAS_FILES');
      const classes = 'SELECT classid FROM class WHERE dmid = ? AND classid <> 0 LIMIT 1';
      if ((await session.rows(classes, [dmid])).length > 0) {
        throw new OmgfsError('DOMAIN_HAS_CLASSES');
      }
      await session.run('DELETE FROM class WHERE dmid = ?', [dmid]);
      await session.run('DELETE FROM domain WHERE dmid = ?', [dmid]);
    },
    async (session) => (await session.rows(locked, [dmid])).length === 0,
  );
}

/** Files and uploads may name a class that is gone, and must not end up in another. */
const highestClass = `SELECT MAX(id) AS id FROM (
  SELECT MAX(classid) AS id FROM class WHERE dmid = ?
  UNION ALL SELECT MAX(classid) FROM file WHERE dmid = ?
  UNION ALL SELECT MAX(classid) FROM tempfile WHERE dmid = ?
) used`;

/** @returns classid; `default` has 0. @throws DOMAIN_NOT_FOUND, CLASS_EXISTS. */
export function createClass(
  engine: Engine,
  request: { dmid: number; name: string; mindevcount: number } & ClassFields,
): Promise<number> {
  const { dmid } = request;
  const name = bytes(request.name);
  const byName = 'SELECT classid FROM class WHERE dmid = ? AND classname = ?';
  return withNextId(
    () =>
      engine.transaction(
        async (session) => {
          const domain = `SELECT dmid FROM domain WHERE dmid = ?${engine.dialect.forShare}`;
          if ((await session.rows(domain, [dmid])).length === 0) {
            throw new OmgfsError('DOMAIN_NOT_FOUND');
          }
          const ids = [dmid, dmid, dmid];
          const classid = request.name === 'default' ? 0 : await nextId(session, highestClass, ids);
          await insertClass(session, { ...request, classid });
          return classid;
        },
        async (session, classid) => {
          const [row] = await session.rows(byName, [dmid, name]);
          return row !== undefined && int(row, 'classid') === classid;
        },
      ),
    async () => {
      const [row] = await engine.rows(byName, [dmid, name]);
      if (row !== undefined) throw new OmgfsError('CLASS_EXISTS');
    },
  );
}

async function insertClass(
  session: Session,
  row: { dmid: number; classid: number; name: string; mindevcount: number } & ClassFields,
): Promise<void> {
  await session.run(
    `INSERT INTO class (dmid, classid, classname, mindevcount, hashtype, replpolicy)
     VALUES (?, ?, ?, ?, ?, ?)`,
    [
      row.dmid,
      row.classid,
      bytes(row.name),
      row.mindevcount,
      hashtypeValue(row.hashtype),
      row.replpolicy ? bytes(row.replpolicy) : null,
    ],
  );
}

/** The default class gets a row when it has none yet. */
export function updateClass(
  engine: Engine,
  request: { dmid: number; classid: number; mindevcountDefault: number } & ClassFields,
): Promise<void> {
  const { dmid, classid, mindevcount, hashtype, replpolicy } = request;
  const changes: [string, SqlValue][] = [];
  if (mindevcount !== undefined) changes.push(['mindevcount', mindevcount]);
  if (hashtype !== undefined) changes.push(['hashtype', hashtypeValue(hashtype)]);
  if (replpolicy !== undefined) {
    changes.push(['replpolicy', replpolicy === null ? null : bytes(replpolicy)]);
  }
  return engine.transaction(async (session) => {
    const { forUpdate } = engine.dialect;
    const sql = `SELECT classid FROM class WHERE dmid = ? AND classid = ?${forUpdate}`;
    if ((await session.rows(sql, [dmid, classid])).length === 0) {
      if (classid !== 0) throw new OmgfsError('CLASS_NOT_FOUND');
      const wanted = mindevcount ?? request.mindevcountDefault;
      await insertClass(session, { ...request, name: 'default', mindevcount: wanted });
    } else if (changes.length > 0) {
      await updateRow(session, { table: 'class', changes, where: { dmid, classid } });
    }
  });
}

export function deleteClass(
  engine: Engine,
  request: { dmid: number; classid: number },
): Promise<void> {
  const { dmid, classid } = request;
  const where = 'WHERE dmid = ? AND classid = ?';
  const locked = `SELECT classid FROM class ${where}${engine.dialect.forUpdate}`;
  return engine.transaction(
    async (session) => {
      if ((await session.rows(locked, [dmid, classid])).length === 0) {
        throw new OmgfsError('CLASS_NOT_FOUND');
      }
      // Index devcount.
      const files = await session.rows(`SELECT fid FROM file ${where} LIMIT 1`, [dmid, classid]);
      if (files.length > 0) throw new OmgfsError('CLASS_HAS_FILES');
      await session.run(`DELETE FROM class ${where}`, [dmid, classid]);
    },
    async (session) => (await session.rows(locked, [dmid, classid])).length === 0,
  );
}

export async function findSetting(engine: Engine, field: string): Promise<string | undefined> {
  const value = engine.dialect.bytes('value');
  const sql = `SELECT ${value} AS value FROM server_settings WHERE field = ?`;
  const [row] = await engine.rows(sql, [bytes(field)]);
  return (row && textOrNull(row, 'value')) ?? undefined;
}

export async function listSettings(engine: Engine): Promise<{ field: string; value: string }[]> {
  const { dialect } = engine;
  const rows = await engine.rows(
    `SELECT ${dialect.bytes('field')} AS field, ${dialect.bytes('value')} AS value
     FROM server_settings ORDER BY field`,
  );
  return rows.map((row) => ({ field: text(row, 'field'), value: text(row, 'value') }));
}

export async function setSetting(
  engine: Engine,
  request: { field: string; value: string | undefined },
): Promise<void> {
  const field = bytes(request.field);
  if (request.value === undefined) {
    await engine.run('DELETE FROM server_settings WHERE field = ?', [field]);
    return;
  }
  await engine.run(
    `INSERT INTO server_settings (field, value) VALUES (?, ?)
     ${engine.dialect.overwrite('field', ['value'])}`,
    [field, bytes(request.value)],
  );
}

/** One more than the highest id in use, from 1. */
export async function nextId(
  session: Session,
  select: string,
  values: readonly SqlValue[] = [],
): Promise<number> {
  const [row] = await session.rows(select, values);
  return ((row && intOrNull(row, 'id')) ?? 0) + 1;
}

/** Sets columns of one row by its primary key. @returns whether it exists. */
export async function updateRow(
  session: Session,
  update: {
    table: 'class' | 'host' | 'device';
    changes: readonly (readonly [string, SqlValue])[];
    where: Readonly<Record<string, number>>;
  },
): Promise<boolean> {
  const set = update.changes.map(([column]) => `${column} = ?`).join(', ');
  const where = Object.keys(update.where).map((column) => `${column} = ?`);
  const { changes } = await session.run(
    `UPDATE ${update.table} SET ${set} WHERE ${where.join(' AND ')}`,
    [...update.changes.map(([, value]) => value), ...Object.values(update.where)],
  );
  return changes > 0;
}

function hashtypeValue(hashtype: ClassFields['hashtype']): number | null {
  return hashtype ? hashTypes[hashtype].id : null;
}
