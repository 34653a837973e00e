/**
 * The `node:sqlite` API: built in where Node has it, else from the package that provides the same.
 */
import type { SqlValue } from '../sql/engine.ts';

export interface SqliteStatement {
  all(...values: SqlValue[]): Record<string, unknown>[];
  run(...values: SqlValue[]): { changes: number | bigint; lastInsertRowid: number | bigint };
}

export interface SqliteDatabase {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

interface SqliteModule {
  DatabaseSync: new (file: string, options: { readOnly: boolean }) => SqliteDatabase;
}

/** Opens a database file, creating it when it is missing, unless it is only to be read. */
export async function openSqlite(file: string, { readOnly = false } = {}): Promise<SqliteDatabase> {
  const { DatabaseSync } = await loadDriver();
  return new DatabaseSync(file, { readOnly });
}

async function loadDriver(): Promise<SqliteModule> {
  // Node 20 has no node:sqlite, and Node 22 before 22.13 hides it behind a flag.
  const builtIn = process.getBuiltinModule('node:sqlite') as SqliteModule | undefined;
  return builtIn ?? (await import('@photostructure/sqlite'));
}
