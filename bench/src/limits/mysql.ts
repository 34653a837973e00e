/**
 * The bare limits of the database: a prepared point SELECT and a single-row INSERT that commits,
 * both through mysql2 with ten connections and one statement in flight on each. They run in two
 * tables of their own, which are dropped at the end.
 */
import { type Connection, createConnection } from 'mysql2';
import { createConnection as createPromiseConnection } from 'mysql2/promise';
import type { Session } from '../load/turn.ts';

export const limitConnections = 10;
const pointRows = 100_000;
const insertBatch = 1000;

const pointTable = 'omg_bench_point';
const insertTable = 'omg_bench_insert';
const columns =
  'id BIGINT UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT, dkey VARBINARY(255), length BIGINT';

export interface MysqlLimits {
  version: string;
  openSelect(): Promise<Session>;
  openInsert(): Promise<Session>;
  /** Drops the tables. */
  close(): Promise<void>;
}

/** Prepares the tables. @throws Error of the driver when the database cannot be used. */
export async function prepareMysqlLimits(uri: string): Promise<MysqlLimits> {
  const admin = await createPromiseConnection({ uri });
  for (const table of [pointTable, insertTable]) {
    await admin.query(`DROP TABLE IF EXISTS ${table}`);
    await admin.query(`CREATE TABLE ${table} (${columns}) ENGINE=InnoDB`);
  }
  for (let from = 0; from < pointRows; from += insertBatch) {
    const rows = Array.from({ length: insertBatch }, (_, at) => `('key-${from + at}', 4096)`);
    await admin.query(`INSERT INTO ${pointTable} (dkey, length) VALUES ${rows.join()}`);
  }
  const [versions] = await admin.query('SELECT VERSION() AS version');
  return {
    version: textOf(versions, 'version'),
    openSelect: () => openSelect(uri),
    openInsert: () => openInsert(uri),
    close: async () => {
      await admin.query(`DROP TABLE ${pointTable}, ${insertTable}`);
      await admin.end();
    },
  };
}

async function openSelect(uri: string): Promise<Session> {
  const connections = await openConnections(uri);
  // Primary key lookup: the cheapest read a SQL server offers.
  const sql = `SELECT id, dkey, length FROM ${pointTable} WHERE id = ?`;
  return {
    run: async (caller) => {
      const id = 1 + Math.floor(Math.random() * pointRows);
      const rows = await execute(connections[caller], sql, [id]);
      if (!Array.isArray(rows) || rows.length !== 1) throw new Error(`no row ${id}`);
    },
    close: () => closeAll(connections),
  };
}

async function openInsert(uri: string): Promise<Session> {
  const connections = await openConnections(uri);
  const sql = `INSERT INTO ${insertTable} (dkey, length) VALUES (?, ?)`;
  let next = 0;
  return {
    run: async (caller) => {
      next += 1;
      await execute(connections[caller], sql, [`key-${next}`, 4096]);
    },
    close: () => closeAll(connections),
  };
}

function openConnections(uri: string): Promise<Connection[]> {
  const open = () =>
    new Promise<Connection>((resolve, reject) => {
      const connection = createConnection({ uri });
      connection.connect((error) => (error === null ? resolve(connection) : reject(error)));
    });
  return Promise.all(Array.from({ length: limitConnections }, open));
}

function execute(
  connection: Connection | undefined,
  sql: string,
  values: (string | number)[],
): Promise<unknown> {
  if (connection === undefined) throw new RangeError('more callers than connections');
  return new Promise((resolve, reject) => {
    connection.execute(sql, values, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

async function closeAll(connections: readonly Connection[]): Promise<void> {
  for (const connection of connections) connection.destroy();
}

function textOf(rows: unknown, column: string): string {
  const first: unknown = Array.isArray(rows) ? rows[0] : undefined;
  return String((first as Record<string, unknown> | undefined)?.[column] ?? 'unknown');
}
