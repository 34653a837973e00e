/**
 * An engine that carries so many statements and transactions at a time; the rest wait in order. It
 * keeps what is not batched (listings, jobs, admin) from taking the connections of lookups and
 * commits.
 */
import type { Dialect, Engine, Row, RunResult, Session, SqlValue } from './engine.ts';

export class BoundedEngine implements Engine {
  readonly name: Engine['name'];
  readonly dialect: Dialect;
  readonly #engine: Engine;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(engine: Engine, atOnce: number) {
    this.name = engine.name;
    this.dialect = engine.dialect;
    this.#engine = engine;
    this.#free = atOnce;
  }

  generation(): number {
    return this.#engine.generation();
  }

  rows(sql: string, values?: readonly SqlValue[]): Promise<Row[]> {
    return this.#inTurn(() => this.#engine.rows(sql, values));
  }

  run(sql: string, values?: readonly SqlValue[]): Promise<RunResult> {
    return this.#inTurn(() => this.#engine.run(sql, values));
  }

  runLiteral(sql: string): Promise<RunResult> {
    return this.#inTurn(() => this.#engine.runLiteral(sql));
  }

  transaction<T>(
    work: (session: Session) => Promise<T>,
    wasCommitted?: (session: Session, result: T) => Promise<boolean>,
  ): Promise<T> {
    return this.#inTurn(() => this.#engine.transaction(work, wasCommitted));
  }

  /** Locks have connections of their own, and their work takes its turns by itself. */
  withLock<T>(
    request: { name: string; waitMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#engine.withLock(request, work);
  }

  ping(): Promise<void> {
    return this.#engine.ping();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Whoever ends hands its place over.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
