/** Opens the store a DSN names: the one place that knows all engines. */
import type { Log } from '../log.ts';
import type { Dsn } from './dsn.ts';
import type { SchemaOptions } from './migrations.ts';
import type { Engine } from './sql/engine.ts';
import { createSqlStore } from './sql/sql-store.ts';
import { openSqliteEngine } from './sqlite/sqlite-engine.ts';
import type { Store, StoreOptions } from './store.ts';

export { type Dsn, parseDsn } from './dsn.ts';
export type { SchemaOptions } from './migrations.ts';

/**
 * Opens a store whose database has the schema of this version.
 * @throws DB_DOWN when the database cannot be reached; SCHEMA_MISSING and SCHEMA_TOO_NEW when its
 * schema is not ours to use, with a message that says what to do.
 */
export async function openStore(
  dsn: Dsn,
  options: StoreOptions & SchemaOptions & { log: Log },
): Promise<Store> {
  return createSqlStore(await openEngine(dsn, options), options);
}

/** The engine of a database alone; rejects as `openStore`. */
export async function openEngine(dsn: Dsn, options: SchemaOptions): Promise<Engine> {
  if (dsn.engine === 'sqlite') return openSqliteEngine(dsn, options);
  // Its client is not loaded where there is no server.
  const { openMySqlEngine } = await import('./mysql/mysql-engine.ts');
  return openMySqlEngine(dsn, options);
}
