/**
 * The store's engine on one SQLite file: for a single machine, whose processes share the file. One
 * connection writes, one transaction at a time; another reads, and sees what was committed. Writes
 * are synced at each commit, so the batches of the store are what makes it fast.
 */
import { setTimeout as delay, setImmediate as endOfTurn } from 'node:timers/promises';
import { OmgfsError } from '@omgfs/protocol';
import type { SqliteDsn } from '../dsn.ts';
import { ensureSchema, type SchemaOptions } from '../migrations.ts';
import type { Dialect, Engine, Row, RunResult, Session, SqlValue } from '../sql/engine.ts';
import { NamedLocks } from '../sql/named-locks.ts';
import { text } from '../sql/row.ts';
import { adopt, refuseOtherEncodings } from './adopt.ts';
import { openSqlite, type SqliteDatabase, type SqliteStatement } from './driver.ts';
import { isMissingTable, sqliteError } from './errors.ts';
import { LeaseDriver } from './lease-driver.ts';
import { bytesMask, literalsAsText, marksAsText } from './text.ts';

/** How long another process may keep the file locked before a write fails. */
const busyMsMax = 10_000;
/** Readers wait only while another process recovers the log; SQLite's wait blocks this one. */
const readBusyMs = 1000;

export const sqliteDialect: Dialect = {
  now: 'unixepoch()',
  forUpdate: '',
  forShare: '',
  exactKeys: true,
  bytes: (column) => `CAST(${column} AS BLOB)`,
  keyColumn: 'CAST(f.dkey AS BLOB)',
  keyMark: '?',
  pairsIn: (count) => `(f.dmid, f.dkey) IN (VALUES ${Array(count).fill('(?, ?)').join(', ')})`,
  keepRow: () => ' ON CONFLICT DO NOTHING',
  keepEarlierTry: ' ON CONFLICT (fid) DO UPDATE SET nexttry = MIN(nexttry, excluded.nexttry)',
  overwrite: (conflict, columns) => {
    const set = columns.map((column) => `${column} = excluded.${column}`);
    return `ON CONFLICT (${conflict}) DO UPDATE SET ${set.join(', ')}`;
  },
  isMissingTable,
};

/** Opens the file and makes sure of its schema. @throws as `openStore`. */
export async function openSqliteEngine(dsn: SqliteDsn, options: SchemaOptions): Promise<Engine> {
  try {
    // A writer's waits are repeated tries of its own, which do not block the process.
    const writer = await openConnection(dsn.file, { busyMs: 0 });
    const reader = await openConnection(dsn.file, { busyMs: readBusyMs });
    refuseOtherEncodings(writer.database, dsn.file);
    const engine = new SqliteEngine(writer, reader);
    await engine.transaction(async (session) => {
      adopt(writer.database, options.warn);
      await ensureSchema(
        {
          engine: 'sqlite',
          rows: (sql) => session.rows(sql),
          exec: async (sql) => writer.database.exec(sql),
          columnsOf: async (table) => {
            const rows = await session.rows(`SELECT name, type FROM pragma_table_info('${table}')`);
            if (rows.length === 0) return undefined;
            return new Map(rows.map((row) => [text(row, 'name'), text(row, 'type').toLowerCase()]));
          },
          bytes: sqliteDialect.bytes,
        },
        options,
      );
    });
    return engine;
  } catch (error) {
    const known = sqliteError(error);
    if (known.code !== 'DB_DOWN') throw known;
    throw new OmgfsError('DB_DOWN', { message: `${dsn.file}: ${known.message}`, cause: error });
  }
}

interface Connection {
  database: SqliteDatabase;
  /** A prepared statement in which bytes are text. */
  statement(sql: string, values?: readonly SqlValue[]): SqliteStatement;
}

async function openConnection(file: string, options: { busyMs: number }): Promise<Connection> {
  const database = await openSqlite(file);
  const statements = new Map<string, Map<string, SqliteStatement>>();
  await whileBusy(() => {
    database.exec(`PRAGMA busy_timeout = ${options.busyMs}`);
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    database.exec('PRAGMA foreign_keys = OFF');
  });
  return {
    database,
    statement: (sql, values = []) => {
      const mask = bytesMask(values);
      let variants = statements.get(sql);
      if (variants === undefined) {
        variants = new Map();
        statements.set(sql, variants);
      }
      let statement = variants.get(mask);
      if (statement === undefined) {
        statement = database.prepare(marksAsText(sql, mask));
        variants.set(mask, statement);
      }
      return statement;
    },
  };
}

/** Repeats what fails because another process writes. */
async function whileBusy(work: () => void): Promise<void> {
  const deadline = performance.now() + busyMsMax;
  for (;;) {
    try {
      work();
      return;
    } catch (thrown) {
      const error = sqliteError(thrown);
      if (error.code !== 'DB_BUSY' || performance.now() > deadline) throw error;
      await delay(2 + Math.random() * 10);
    }
  }
}

class SqliteEngine implements Engine {
  readonly name = 'sqlite';
  readonly dialect = sqliteDialect;
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #locks: NamedLocks;
  readonly #leases: LeaseDriver;
  /** The end of the queue of transactions. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(writer: Connection, reader: Connection) {
    this.#writer = writer;
    this.#reader = reader;
    this.#leases = new LeaseDriver(this);
    this.#locks = new NamedLocks(this.#leases);
  }

  /** The counter of SQLite is in the file and never falls back. */
  generation(): number {
    return 0;
  }

  async rows(sql: string, values: readonly SqlValue[] = []): Promise<Row[]> {
    return guarded(() => this.#reader.statement(sql, values).all(...values));
  }

  run(sql: string, values: readonly SqlValue[] = []): Promise<RunResult> {
    return this.transaction((session) => session.run(sql, values));
  }

  runLiteral(sql: string): Promise<RunResult> {
    return this.transaction((session) => session.runLiteral(sql));
  }

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const run = this.#turn.then(() => this.#transact(work));
    this.#turn = run.catch(() => {});
    return run;
  }

  async #transact<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { database, statement } = this.#writer;
    // Nothing below waits for the event loop; without this, a row of writes would starve it.
    await endOfTurn();
    // Takes the write lock at once: a transaction that began cannot fail on another's write.
    await whileBusy(() => database.exec('BEGIN IMMEDIATE'));
    try {
      const result = await work({
        rows: async (sql, values = []) => guarded(() => statement(sql, values).all(...values)),
        run: async (sql, values = []) => guarded(() => done(statement(sql, values).run(...values))),
        runLiteral: async (sql) => guarded(() => done(database.prepare(literalsAsText(sql)).run())),
      });
      guarded(() => statement('COMMIT').run());
      return result;
    } catch (error) {
      rollBack(statement('ROLLBACK'));
      throw sqliteError(error);
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
    this.#leases.close();
    await this.#turn;
    this.#reader.database.close();
    // Who copies the file of a stopped tracker gets all of it; others may be at work still.
    try {
      this.#writer.database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // The log stays beside the file, as after a crash.
    }
    this.#writer.database.close();
  }
}

function done(result: { changes: number | bigint; lastInsertRowid: number | bigint }): RunResult {
  const changes = Number(result.changes);
  // SQLite answers the last id of the rows, which are consecutive.
  return { changes, firstId: Number(result.lastInsertRowid) - changes + 1, idStep: 1 };
}

function rollBack(statement: SqliteStatement): void {
  try {
    statement.run();
  } catch {
    // A failure such as a full disk has rolled the transaction back already.
  }
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw sqliteError(error);
  }
}
