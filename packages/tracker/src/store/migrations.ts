/**
 * Creates the schema in an empty database, upgrades one of schema 6 and later when asked to, and
 * refuses databases this version must not touch. New tables are the numbered files below schema/,
 * changed columns are in `schema/steps.ts`; every statement is harmless when run twice, and the
 * version row comes last, so whatever was interrupted is completed by the next run.
 */
import { readdir, readFile } from 'node:fs/promises';
import { OmgfsError } from '@omgfs/protocol';
import { alterStatement, columnSteps } from './schema/steps.ts';
import { fidBits } from './schema/table-text.ts';
import type { Row } from './sql/engine.ts';
import { text } from './sql/row.ts';

/** The version of spec §3.2, which MogileFS 2.73 has too. */
export const schemaVersion = 17;
/** The oldest version that can be upgraded. */
const schemaVersionMin = 6;

/** src/store and dist/store are equally deep below the repository. */
const schemaFolder = new URL('../../../../schema/', import.meta.url);

/** What a migration needs of a connection. */
export interface SchemaSession {
  engine: 'mysql' | 'sqlite';
  rows(sql: string): Promise<Row[]>;
  exec(sql: string): Promise<void>;
  /** Columns of a table with their definitions; undefined when there is no such table. */
  columnsOf(table: string): Promise<ReadonlyMap<string, string> | undefined>;
  /** A text column as bytes. */
  bytes(column: string): string;
}

export interface SchemaOptions {
  createSchema: boolean;
  /** Completes and upgrades the schema instead of refusing what is older. */
  upgrade?: boolean;
  /** Leaves `schema_version` as it is (`mogdbsetup --noschemabump`). */
  keepVersion?: boolean;
  /** Told each statement before it runs. */
  onStatement?: (sql: string) => void;
  /** Told what an operator should change about a database that can be used. */
  warn?: (text: string) => void;
}

/** Seconds after which a new installation counts a device as lost: longer than any reboot. */
const healAfter = 3600;

/**
 * Makes sure that the database has the schema of this version.
 * The caller keeps other starters out, or lets them run the same statements.
 * @throws SCHEMA_TOO_NEW, SCHEMA_MISSING.
 */
export async function ensureSchema(session: SchemaSession, options: SchemaOptions): Promise<void> {
  const version = await readVersion(session);
  if (version === schemaVersion && !options.upgrade) return;
  if (version === undefined) await refuseForeign(session, options);
  else if (version > schemaVersion) throw tooNew(version);
  else if (!options.upgrade || version < schemaVersionMin) throw tooOld(version);
  const exec = async (sql: string) => {
    options.onStatement?.(sql);
    await session.exec(sql);
  };
  await createTables({ ...session, exec }, { complete: version !== undefined });
  // Only where no tracker of MogileFS can be at work yet, which would not know of lost devices.
  if (version === undefined) await exec(settingStatement('omg_heal_after', healAfter));
  for (const number of [0, ...range(schemaVersionMin + 1, schemaVersion)]) {
    await alterColumns({ ...session, exec }, number);
    const reached = version === undefined ? number === schemaVersion : number > version;
    if (reached && options.keepVersion !== true) {
      await exec(settingStatement('schema_version', number));
    }
  }
}

/** No version row: an empty database, or one whose files nobody vouches for. */
async function refuseForeign(session: SchemaSession, options: SchemaOptions): Promise<void> {
  if (await holdsFiles(session)) {
    throw new OmgfsError('SCHEMA_MISSING', {
      message:
        'The database holds files but no schema_version in server_settings. If it is a MogileFS ' +
        'database, bring it to schema 17 with mogdbsetup of MogileFS 2.73 first.',
    });
  }
  if (options.createSchema) return;
  throw new OmgfsError('SCHEMA_MISSING', {
    message:
      'The database has no MogileFS schema. Check that the DSN names the right database; to ' +
      'set up a new one, run mogdbsetup or start the tracker with --create_schema.',
  });
}

async function readVersion(session: SchemaSession): Promise<number | undefined> {
  if ((await session.columnsOf('server_settings')) === undefined) return undefined;
  const value = session.bytes('value');
  const rows = await session.rows(
    `SELECT ${session.bytes('field')} AS field, ${value} AS value FROM server_settings`,
  );
  const row = rows.find((candidate) => text(candidate, 'field') === 'schema_version');
  return row === undefined ? undefined : Number.parseInt(text(row, 'value'), 10);
}

async function holdsFiles(session: SchemaSession): Promise<boolean> {
  if ((await session.columnsOf('file')) === undefined) return false;
  return (await session.rows('SELECT fid FROM file LIMIT 1')).length > 0;
}

function tooNew(version: number): OmgfsError {
  return new OmgfsError('SCHEMA_TOO_NEW', {
    message: `The database has schema ${version}, newer than ${schemaVersion}; upgrade omgfs.`,
  });
}

function tooOld(version: number): OmgfsError {
  const start = `The database has schema ${version}; this version needs ${schemaVersion}.`;
  const advice =
    version < schemaVersionMin
      ? `Bring it to ${schemaVersionMin} or later with mogdbsetup of MogileFS first.`
      : 'Upgrade it with mogdbsetup first.';
  return new OmgfsError('SCHEMA_MISSING', { message: `${start} ${advice}` });
}

/** All tables; in an existing database only those it lacks, with fids as wide as it has them. */
async function createTables(
  session: SchemaSession,
  { complete }: { complete: boolean },
): Promise<void> {
  const bits = complete ? fidBits((await session.columnsOf('file'))?.get('fid')) : 64;
  const statements = (await statementsOf(session.engine)).map((sql) => {
    const table = /^CREATE (?:TABLE IF NOT EXISTS|INDEX .+? ON) (\w+)/.exec(sql)?.[1] ?? '';
    return { table, sql: bits === 64 ? sql : sql.replace(/\bfid BIGINT/, 'fid INT') };
  });
  const present = new Set<string>();
  for (const { table } of statements) {
    if (complete && (await session.columnsOf(table)) !== undefined) present.add(table);
  }
  for (const { table, sql } of statements) if (!present.has(table)) await session.exec(sql);
}

async function alterColumns(session: SchemaSession, version: number): Promise<void> {
  for (const step of columnSteps.filter((candidate) => candidate.version === version)) {
    const definition = (await session.columnsOf(step.table))?.get(step.column);
    const statement = alterStatement(step, { engine: session.engine, definition });
    if (statement !== undefined) await session.exec(statement);
  }
}

/** By primary key. */
function settingStatement(field: string, value: number): string {
  return `REPLACE INTO server_settings (field, value) VALUES ('${field}', '${value}')`;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
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
