/**
 * Connections to a MySQL or MariaDB server: a bounded pool whose sessions are all set up alike, and
 * whose every wait has a bound. A server that cannot be reached shows as DB_DOWN within seconds;
 * when it is back, the next call makes a new connection.
 */
import { OmgfsError } from '@omgfs/protocol';
import mysql from 'mysql2';
import type { MySqlDsn } from '../dsn.ts';
import type { Row, RunResult, Session, SqlValue } from '../sql/engine.ts';
import { mysqlError } from './errors.ts';
import { galeraError, galeraSettings } from './galera.ts';
import { localSocket } from './local-socket.ts';

const connectTimeoutMs = 2000;
/** How long a call waits for a free connection. */
const acquireTimeoutMs = 3000;
/** Seven for the batches of the store, nine for everything else. */
const connectionsMax = 16;
/** A server that hangs is given up after this; longer than any wait for a lock. */
const statementTimeoutMs = 10_000;
/** How long connections may take to say goodbye. */
const closeTimeoutMs = 1000;
const lockWaitSeconds = 5;
/**
 * A transaction in which nothing happens for so long is its tracker's last: one that hangs, or
 * whose machine lost power, would keep others from its rows until the server gives up the
 * connection, which takes hours. MySQL has no such limit but the one for idle connections.
 */
const idleTransactionSeconds = 5;
const idleMySqlSeconds = 300;

/** What every connection is told first. */
const sessionSettings = [
  `SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION',
   /*M!100300 idle_transaction_timeout = ${idleTransactionSeconds}, */
   /*!50700 wait_timeout = ${idleMySqlSeconds}, */
   innodb_lock_wait_timeout = ${lockWaitSeconds}, autocommit = 1`,
  // Locking reads take no gap locks, and each statement sees what was committed before it, which
  // the claims of this store rely on.
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
];

const idStepText = 'SELECT @@auto_increment_increment AS step';

/** Options of the driver; the charset is binary, so that nothing converts the bytes of a key. */
function connectionOptions(dsn: MySqlDsn): mysql.ConnectionOptions {
  const { host, port, user, password, database } = dsn;
  const socketPath = dsn.socketPath ?? (host === 'localhost' ? localSocket() : undefined);
  return {
    ...(socketPath === undefined ? { host, port } : { socketPath }),
    user,
    password,
    database,
    charset: 'BINARY',
    connectTimeout: connectTimeoutMs,
    supportBigNumbers: true,
    enableKeepAlive: true,
  };
}

/** Opens one connection outside of any pool, set up like the others. @throws DB_DOWN. */
export function connect(dsn: MySqlDsn): Promise<MySqlSession> {
  return new Promise((resolve, reject) => {
    const connection = mysql.createConnection(connectionOptions(dsn));
    // The calls in progress fail too, and the driver ends the process when nobody listens.
    connection.on('error', () => {});
    connection.connect((error) => {
      if (error) {
        connection.destroy();
        reject(mysqlError(error));
      } else resolve(new MySqlSession(connection));
    });
  });
}

/** One connection as a session. It serves one caller at a time. */
export class MySqlSession implements Session {
  readonly connection: mysql.Connection;
  readonly #galera: boolean;
  #idStep = 1;
  /** Why it could not be set up; what waits behind that fails with the loss of the connection. */
  #refusal: OmgfsError | undefined;

  constructor(connection: mysql.Connection, galera = false) {
    this.connection = connection;
    this.#galera = galera;
    for (const sql of sessionSettings) this.#setUp(sql);
    if (galera) this.#setUp(galeraSettings);
    this.#setUp(idStepText, (rows) => {
      this.#idStep = Number(rows[0]?.step);
    });
  }

  /** The driver runs commands in order, so this happens before anything else on the connection. */
  #setUp(sql: string, seen: (rows: Row[]) => void = () => {}): void {
    this.connection.query({ sql, timeout: statementTimeoutMs }, (error, rows) => {
      if (error === null) return seen(rows as Row[]);
      this.#refusal ??= mysqlError(error);
      this.connection.destroy();
    });
  }

  rows(sql: string, values: readonly SqlValue[] = []): Promise<Row[]> {
    return this.#execute<Row[]>(sql, values);
  }

  async run(sql: string, values: readonly SqlValue[] = []): Promise<RunResult> {
    return this.#done(await this.#execute(sql, values));
  }

  async runLiteral(sql: string): Promise<RunResult> {
    return this.#done(await this.text(sql));
  }

  /**
   * As `runLiteral`, by itself, and with a step that was valid for this very statement: Galera
   * changes that of open connections whenever a node comes or goes.
   * @throws DB_BUSY when it changed meanwhile.
   */
  async runLiteralAlone(sql: string): Promise<RunResult> {
    if (!this.#galera) return this.runLiteral(sql);
    await this.#readIdStep();
    const result = await this.runLiteral(sql);
    await this.#readIdStep();
    if (result.idStep === this.#idStep) return result;
    const message = 'Database: a node of the cluster came or went during an insert.';
    throw new OmgfsError('DB_BUSY', { message });
  }

  async #readIdStep(): Promise<void> {
    const [row] = await this.rows(idStepText);
    this.#idStep = Number(row?.step);
  }

  /** Sends a statement that is not prepared. */
  text(sql: string): Promise<mysql.ResultSetHeader> {
    return new Promise((resolve, reject) => {
      const answered = this.#within(reject);
      this.connection.query({ sql }, (error, result) => {
        answered();
        if (error === null) resolve(result as mysql.ResultSetHeader);
        else reject(this.#failed(error));
      });
    });
  }

  /**
   * Gives the connection up when a statement is not answered in time. The driver's own limit does
   * not count while a statement is being prepared. @returns what ends the wait.
   */
  #within(reject: (error: OmgfsError) => void): () => void {
    const timer = setTimeout(() => {
      this.connection.destroy();
      const message = `Database: no answer within ${statementTimeoutMs / 1000} s.`;
      reject(new NoAnswer('DB_DOWN', { message }));
    }, statementTimeoutMs);
    return () => clearTimeout(timer);
  }

  #execute<T>(sql: string, values: readonly SqlValue[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const answered = this.#within(reject);
      this.connection.execute({ sql }, values as SqlValue[], (error, result) => {
        answered();
        if (error === null) resolve(result as T);
        else reject(this.#failed(error));
      });
    });
  }

  #done(result: mysql.ResultSetHeader): RunResult {
    return { changes: result.affectedRows, firstId: result.insertId, idStep: this.#idStep };
  }

  /** A connection whose state is unknown, after a timeout for example, is not used again. */
  #failed(thrown: unknown): OmgfsError {
    const error = this.#refusal ?? mysqlError(thrown);
    if (error.code === 'DB_DOWN') this.connection.destroy();
    return error;
  }
}

export class Connections {
  readonly #pool: mysql.Pool;
  readonly #sessions = new WeakMap<mysql.PoolConnection, MySqlSession>();
  readonly #galera: boolean;
  #made = 0;

  constructor(dsn: MySqlDsn, galera: boolean) {
    this.#galera = galera;
    this.#pool = mysql.createPool({
      ...connectionOptions(dsn),
      connectionLimit: connectionsMax,
      maxIdle: connectionsMax,
    });
    this.#pool.on('connection', (connection) => {
      this.#made += 1;
      this.#sessions.set(connection, new MySqlSession(connection, galera));
    });
  }

  /** How many connections were made so far. */
  get made(): number {
    return this.#made;
  }

  /** Lends a session to `work`. @throws DB_DOWN when none is free in time. */
  async withSession<T>(work: (session: MySqlSession) => Promise<T>): Promise<T> {
    const connection = await this.#acquire();
    const session = this.#sessions.get(connection) as MySqlSession;
    try {
      return await work(session);
    } catch (error) {
      throw this.#galera ? await galeraError(mysqlError(error), session) : error;
    } finally {
      connection.release();
    }
  }

  #acquire(): Promise<mysql.PoolConnection> {
    return new Promise((resolve, reject) => {
      let waiting = true;
      const timer = setTimeout(() => {
        waiting = false;
        const message = 'Database: no connection became free in time.';
        reject(new NoConnection('DB_DOWN', { message }));
      }, acquireTimeoutMs);
      this.#pool.getConnection((error, connection) => {
        clearTimeout(timer);
        if (error !== null) {
          const { message } = mysqlError(error);
          reject(new NoConnection('DB_DOWN', { message, cause: error }));
        } else if (waiting) resolve(connection);
        else connection.release();
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      // A server that hangs would never answer the goodbye.
      const timer = setTimeout(resolve, closeTimeoutMs);
      this.#pool.end(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** Nothing was sent: trying again at once would fail the same way. */
export class NoConnection extends OmgfsError {}

/** The server hangs: trying again would only wait as long once more. */
export class NoAnswer extends OmgfsError {}
