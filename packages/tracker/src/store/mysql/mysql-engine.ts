/**
 * The store's engine on MySQL 8, MariaDB and Galera: statements and transactions over a pool, run
 * again after deadlocks and lost connections where that is safe.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { OmgfsError } from '@omgfs/protocol';
import type { MySqlDsn } from '../dsn.ts';
import { ensureSchema, type SchemaOptions } from '../migrations.ts';
import type { Dialect, Engine, Row, RunResult, Session, SqlValue } from '../sql/engine.ts';
import { NamedLocks } from '../sql/named-locks.ts';
import { bytes } from '../sql/statements.ts';
import { Connections, connect, type MySqlSession, NoAnswer, NoConnection } from './connections.ts';
import { describeTable } from './describe.ts';
import { detectDialect } from './dialect.ts';
import { mysqlError } from './errors.ts';
import { galeraSettings, isGalera } from './galera.ts';
import { ensureLeaseTable, LeaseDriver } from './lease-driver.ts';
import { GetLockDriver } from './lock-driver.ts';

const attemptsMax = 5;
/** On Galera a transaction fails at its commit when another node touched the same rows. */
const galeraAttemptsMax = 20;
const retryMsMax = 320;
/** How long the outcome of a COMMIT that was not answered is looked for. */
const inDoubtMsMax = 5000;
const inDoubtPollMs = 200;
const schemaLockSeconds = 60;

/** Connects and makes sure of the schema. @throws as `openStore`. */
export async function openMySqlEngine(dsn: MySqlDsn, options: SchemaOptions): Promise<Engine> {
  return new MySqlEngine(dsn, await prepareDatabase(dsn, options));
}

/** Under a lock, so that two starters do not wait for each other's tables in odd orders. */
async function prepareDatabase(dsn: MySqlDsn, options: SchemaOptions): Promise<Traits> {
  const session = await connect(dsn);
  try {
    const galera = await isGalera(session);
    if (galera) await session.text(galeraSettings);
    const lock = bytes(`omgfs:schema:${dsn.database}`.slice(0, 64));
    await session.rows(`SELECT GET_LOCK(?, ${schemaLockSeconds}) AS taken`, [lock]);
    const schema = {
      engine: 'mysql' as const,
      rows: (sql: string) => session.rows(sql),
      exec: (sql: string) => executed(session, sql),
      columnsOf: async (table: string) => (await describeTable(session, table))?.columns,
      bytes: (column: string) => `CAST(${column} AS BINARY)`,
    };
    await ensureSchema(schema, options);
    if (galera) await ensureLeaseTable(schema);
    if (options.warn !== undefined) await warnOfEngines(session, options.warn);
    return { galera, dialect: await detectDialect(session) };
  } finally {
    session.connection.destroy();
  }
}

/** Tables without which an acknowledged file is lost. */
const preciousTables = ['file', 'file_on', 'tempfile', 'file_to_replicate', 'file_to_delete2'];

async function warnOfEngines(session: MySqlSession, warn: (text: string) => void): Promise<void> {
  const found = [];
  for (const table of preciousTables) {
    const engine = (await describeTable(session, table))?.engine ?? '';
    if (engine !== 'innodb') found.push(`${table} (${engine})`);
  }
  if (found.length === 0) return;
  const advice = 'ALTER TABLE … ENGINE=InnoDB';
  warn(`no transactions, a crash can lose acknowledged files: ${found.join(', ')}; ${advice}`);
}

/** Again after a conflict with a starter on another node, whom the lock does not keep out. */
async function executed(session: MySqlSession, sql: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await session.text(sql);
      return;
    } catch (error) {
      if (mysqlError(error).code !== 'DB_BUSY') throw error;
      await waitToRetry(error, attempt, attemptsMax);
    }
  }
}

/** What was found out about a server. */
interface Traits {
  galera: boolean;
  dialect: Dialect;
}

class MySqlEngine implements Engine {
  readonly name = 'mysql';
  readonly dialect: Dialect;
  readonly #connections: Connections;
  readonly #lockDriver: GetLockDriver;
  readonly #leases: LeaseDriver | undefined;
  readonly #locks: NamedLocks;
  readonly #attemptsMax: number;

  constructor(dsn: MySqlDsn, { galera, dialect }: Traits) {
    this.dialect = dialect;
    this.#connections = new Connections(dsn, galera);
    this.#lockDriver = new GetLockDriver(dsn);
    if (galera) this.#leases = new LeaseDriver(this, this.#lockDriver);
    this.#locks = new NamedLocks(this.#leases ?? this.#lockDriver);
    this.#attemptsMax = galera ? galeraAttemptsMax : attemptsMax;
  }

  generation(): number {
    return this.#connections.made;
  }

  rows(sql: string, values?: readonly SqlValue[]): Promise<Row[]> {
    return this.#alone((session) => session.rows(sql, values));
  }

  run(sql: string, values?: readonly SqlValue[]): Promise<RunResult> {
    return this.#alone((session) => session.run(sql, values));
  }

  runLiteral(sql: string): Promise<RunResult> {
    return this.#alone((session) => session.runLiteralAlone(sql));
  }

  /** One statement by itself. */
  async #alone<T>(work: (session: MySqlSession) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connections.withSession(work);
      } catch (error) {
        await waitToRetry(error, attempt, this.#attemptsMax);
      }
    }
  }

  async transaction<T>(
    work: (session: Session) => Promise<T>,
    wasCommitted?: (session: Session, result: T) => Promise<boolean>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      let sent: { result: T } | undefined;
      try {
        return await this.#transact(work, (result) => {
          sent = { result };
        });
      } catch (error) {
        if (sent !== undefined && wasCommitted !== undefined && isDown(error)) {
          const { result } = sent;
          if (await this.#lookUp((session) => wasCommitted(session, result))) return result;
        }
        await waitToRetry(error, attempt, this.#attemptsMax);
      }
    }
  }

  #transact<T>(
    work: (session: Session) => Promise<T>,
    committing: (result: T) => void,
  ): Promise<T> {
    return this.#connections.withSession(async (session) => {
      try {
        await session.text('BEGIN');
        const result = await work(session);
        committing(result);
        await session.text('COMMIT');
        return result;
      } catch (thrown) {
        const error = mysqlError(thrown);
        // A lost connection has rolled back, or is in doubt; any other must not keep its locks.
        if (!isDown(error)) await session.text('ROLLBACK').catch(() => {});
        throw error;
      }
    });
  }

  /** Asks for the outcome of a transaction until the server is back, for a while. */
  async #lookUp(wasCommitted: (session: Session) => Promise<boolean>): Promise<boolean> {
    const deadline = performance.now() + inDoubtMsMax;
    for (;;) {
      try {
        return await this.#transact(wasCommitted, () => {});
      } catch (error) {
        if (!isDown(error) || performance.now() > deadline) throw error;
        await delay(inDoubtPollMs);
      }
    }
  }

  withLock<T>(
    request: { name: string; waitMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#locks.withLock(request, work);
  }

  async ping(): Promise<void> {
    await this.rows('SELECT 1 AS one');
  }

  async close(): Promise<void> {
    this.#leases?.close();
    await this.#lockDriver.close();
    await this.#connections.close();
  }
}

function isDown(error: unknown): boolean {
  return error instanceof OmgfsError && error.code === 'DB_DOWN';
}

/**
 * Returns when what failed may be tried again: a deadlock or lock wait, or a connection that was
 * there and got lost. Rethrows everything else, and after the last attempt.
 */
async function waitToRetry(thrown: unknown, attempt: number, attemptsBusy: number): Promise<void> {
  const error = mysqlError(thrown);
  const again = error.code === 'DB_BUSY' || error.code === 'DB_DOWN';
  const hopeless = error instanceof NoConnection || error instanceof NoAnswer;
  const last = error.code === 'DB_BUSY' ? attemptsBusy : attemptsMax;
  if (!again || hopeless || attempt >= last) throw error;
  await delay(Math.random() * Math.min(retryMsMax, 10 * 2 ** attempt));
}
