/**
 * Creates the schema in an empty database and refuses databases this version must not touch. The
 * statements are the numbered files below schema/; each is harmless when run twice, and the version
 * row comes last, so a creation that was interrupted is completed by the next start.
 */
import { readdir, readFile } from 'node:fs/promises';
import { OmgfsError } from '@omgfs/protocol';
import type { Row } from './sql/engine.ts';
import { text } from './sql/row.ts';

/** The version of spec §3.2, which MogileFS 2.73 has too. */
export const schemaVersion = 17;

/** src/store and dist/store are equally deep below the repository. */
const schemaFolder = new URL('../../../../schema/', import.meta.url);

/** What a migration needs of a connection. */
export interface SchemaSession {
  engine: 'mysql' | 'sqlite';
  rows(sql: string): Promise<Row[]>;
  exec(sql: string): Promise<void>;
  tableExists(name: string): Promise<boolean>;
  /** A text column as bytes. */
  bytes(column: string): string;
}

/**
 * Makes sure that the database has the schema of this version.
 * The caller keeps other starters out, or lets them run the same statements.
 * @throws SCHEMA_TOO_NEW, SCHEMA_MISSING.
 */
export async function ensureSchema(
  session: SchemaSession,
  options: { createSchema: boolean },
): Promise<void> {
  const version = await readVersion(session);
  if (version === schemaVersion) return;
  if (version !== undefined) throw wrongVersion(version);
  if (await holdsFiles(session)) {
    throw new OmgfsError('SCHEMA_MISSING', {
      message:
        'The database holds files but no schema_version in server_settings. If it is a MogileFS ' +
        'database, bring it to schema 17 with mogdbsetup of MogileFS 2.73 first.',
    });
  }
  if (!options.createSchema) {
    throw new OmgfsError('SCHEMA_MISSING', {
      message:
        'The database has no MogileFS schema. Check that the DSN names the right database; to ' +
        'set up a new one, start the tracker with the creation of the schema allowed.',
    });
  }
  for (const statement of await statementsOf(session.engine)) await session.exec(statement);
}

async function readVersion(session: SchemaSession): Promise<number | undefined> {
  if (!(await session.tableExists('server_settings'))) return undefined;
  const value = session.bytes('value');
  const rows = await session.rows(
    `SELECT ${session.bytes('field')} AS field, ${value} AS value FROM server_settings`,
  );
  const row = rows.find((candidate) => text(candidate, 'field') === 'schema_version');
  return row === undefined ? undefined : Number.parseInt(text(row, 'value'), 10);
}

async function holdsFiles(session: SchemaSession): Promise<boolean> {
  if (!(await session.tableExists('file'))) return false;
  return (await session.rows('SELECT fid FROM file LIMIT 1')).length > 0;
}

function wrongVersion(version: number): OmgfsError {
  if (version > schemaVersion) {
    return new OmgfsError('SCHEMA_TOO_NEW', {
      message: `The database has schema ${version}, newer than ${schemaVersion}; upgrade omgfs.`,
    });
  }
  return new OmgfsError('SCHEMA_MISSING', {
    message:
      `The database has schema ${version}; this version needs ${schemaVersion}. ` +
      'Upgrade it with mogdbsetup of MogileFS 2.73 first.',
  });
}

/** The statements of all numbered files in order, without comments. */
async function statementsOf(engine: 'mysql' | 'sqlite'): Promise<string[]> {
  const folder = new URL(`${engine}/`, schemaFolder);
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), 'utf8')));
  return texts.flatMap((sql) =>
    sql
      .replaceAll(/^--.*$/gm, '')
      .split(/;\s*$/m)
      .map((statement) => statement.trim())
      .filter((statement) => statement !== ''),
  );
}
