/**
 * What the SQL of this folder needs of a database: sessions, transactions, locks, and the few
 * places where the dialects differ. `mysql/` and `sqlite/` provide it. Every method throws
 * OmgfsError: DB_DOWN when the database cannot be reached, DB_BUSY when deadlocks or lock waits did
 * not end, DUPLICATE for a taken unique key, FAILURE for the rest.
 */
import type { LockStore } from '../store.ts';

export type SqlValue = number | Buffer | null;
export type Row = Readonly<Record<string, unknown>>;

export interface RunResult {
  /** Rows inserted, deleted, or matched by an update. */
  changes: number;
  /** First id that an INSERT into a table with an automatic id gave out. */
  firstId: number;
  /** Distance between the automatic ids of one INSERT. */
  idStep: number;
}

export interface Session {
  /** Rows of a SELECT. Its text is prepared once, so texts must be few. */
  rows(sql: string, values?: readonly SqlValue[]): Promise<Row[]>;
  /** A write whose text is prepared once. */
  run(sql: string, values?: readonly SqlValue[]): Promise<RunResult>;
  /** A write whose values are literals in its text (see `tuples`): for many rows at once. */
  runLiteral(sql: string): Promise<RunResult>;
}

export interface Dialect {
  /** Unix seconds by the clock of the database. */
  readonly now: string;
  /** Suffix that makes a SELECT lock the rows it finds. */
  readonly forUpdate: string;
  /** Suffix that makes a SELECT keep others from changing the rows it finds. */
  readonly forShare: string;
  /** Key columns compare byte by byte. Not so on schemas that MogileFS made. */
  readonly exactKeys: boolean;
  /** A text column as bytes, whatever its charset. */
  bytes(column: string): string;
  /** `file.dkey` as bytes. */
  readonly keyColumn: string;
  /** A placeholder for the bytes of a key, comparable with `dkey` by its index. */
  readonly keyMark: string;
  /** `(dmid, dkey) IN (…)` for a number of pairs. */
  pairsIn(count: number): string;
  /** Clause of an INSERT: a row that exists stays as it is. */
  keepRow(column: string): string;
  /** Clause of an INSERT into a queue: a row that exists keeps the earlier `nexttry`. */
  readonly keepEarlierTry: string;
  /** Clause of an INSERT that overwrites the named columns of a row that exists. */
  overwrite(conflict: string, columns: readonly string[]): string;
  /** Whether an error of the engine says that a table is not there, for all that its user sees. */
  isMissingTable(error: unknown): boolean;
}

/**
 * As a session, an engine runs each statement by itself: a write is committed when it returns, and
 * repeated when the connection is lost, so it must do no harm when done twice.
 */
export interface Engine extends LockStore, Session {
  readonly name: 'mysql' | 'sqlite';
  readonly dialect: Dialect;
  /** Grows whenever a connection was made: the server may have been restarted before it. */
  generation(): number;
  /**
   * Runs `work` in a transaction and commits it. It is run again, whole, after a deadlock and after
   * a connection lost before the commit. When the outcome of the commit is unknown, `wasCommitted`
   * is asked in a new transaction; without it, `work` is run again and must be able to bear that.
   */
  transaction<T>(
    work: (session: Session) => Promise<T>,
    wasCommitted?: (session: Session, result: T) => Promise<boolean>,
  ): Promise<T>;
  ping(): Promise<void>;
  close(): Promise<void>;
}
