/**
 * What a SQLite file must be like before the store works on it, beyond its schema version: text in
 * TEXT, in an encoding that keeps bytes, and a counter of fids that never falls back.
 */
import { OmgfsError } from '@omgfs/protocol';
import { text } from '../sql/row.ts';
import type { SqliteDatabase } from './driver.ts';

/** @throws SCHEMA_MISSING for a file whose text would not keep its bytes. */
export function refuseOtherEncodings(database: SqliteDatabase, file: string): void {
  const [row = {}] = database.prepare('PRAGMA encoding').all();
  const encoding = text(row, 'encoding');
  if (encoding === 'UTF-8') return;
  throw new OmgfsError('SCHEMA_MISSING', {
    message:
      `${file} keeps text as ${encoding}, in which not every key can be written; dump it into a ` +
      'new file, which is UTF-8.',
  });
}

/** Brings a file with schema 17 into the shape that is worked with. Runs in a transaction. */
export function adopt(database: SqliteDatabase, warn: (text: string) => void = () => {}): void {
  const tables = new Map(
    database
      .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
      .all()
      .map((row) => [text(row, 'name'), text(row, 'sql')]),
  );
  if (!tables.has('server_settings') || !tables.has('tempfile')) return;
  if (holdsBlobs(database)) {
    for (const table of tables.keys()) makeText(database, table);
    warn('text in the file was BLOB, as early versions of omgfs kept it; it is TEXT now');
  }
  if (/\bautoincrement\b/i.test(tables.get('tempfile') ?? '')) return;
  // SQLite would give out the fid of a closed upload once more.
  database.exec('ALTER TABLE tempfile RENAME TO omg_tempfile');
  database.exec(`CREATE TABLE tempfile (${tempfileColumns})`);
  database.exec(
    `INSERT INTO tempfile (${tempfileNames}) SELECT ${tempfileNames} FROM omg_tempfile`,
  );
  database.exec('DROP TABLE omg_tempfile');
  warn('tempfile of the file had no AUTOINCREMENT and was made anew with it');
}

const tempfileNames = 'fid, createtime, classid, dmid, dkey, devids';
const tempfileColumns = `fid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  createtime INT UNSIGNED NOT NULL, classid TINYINT UNSIGNED NOT NULL,
  dmid SMALLINT UNSIGNED NOT NULL, dkey VARCHAR(255), devids VARCHAR(60)`;

function holdsBlobs(database: SqliteDatabase): boolean {
  const [row] = database.prepare('SELECT typeof(field) AS kind FROM server_settings LIMIT 1').all();
  return row !== undefined && text(row, 'kind') === 'blob';
}

function makeText(database: SqliteDatabase, table: string): void {
  if (/^(?:omg_|sqlite_|checksum$)/.test(table)) return;
  const columns = database
    .prepare(`SELECT name FROM pragma_table_info('${table}') WHERE lower(type) = 'blob'`)
    .all()
    .map((row) => text(row, 'name'));
  const changes = columns.map((column) => `${column} = CAST(${column} AS TEXT)`);
  if (changes.length > 0) database.exec(`UPDATE ${table} SET ${changes.join(', ')}`);
}
