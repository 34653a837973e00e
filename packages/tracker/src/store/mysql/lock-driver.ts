/**
 * Locks by GET_LOCK under the names of spec §3.7, which Perl trackers take too. All are held by one
 * connection of their own. On Galera these locks hold on one node only; leases add what is missing.
 */
import { limits } from '@omgfs/protocol';
import { Batcher } from '../../batcher.ts';
import type { MySqlDsn } from '../dsn.ts';
import type { Row } from '../sql/engine.ts';
import type { LockDriver } from '../sql/named-locks.ts';
import { text } from '../sql/row.ts';
import { bytes } from '../sql/statements.ts';
import { connect, type MySqlSession } from './connections.ts';

/** Each number of locks is a statement that is prepared once. */
const batches = { rowsMax: 64, inFlightMax: 1, queueMax: limits.storeQueueMax };

/**
 * The server takes the locks of a tracker that was not heard of for so long: it hangs, or its
 * machine lost power, which nobody else would notice for hours.
 */
const silentSeconds = 20;
const greetingMs = 5000;

export class GetLockDriver implements LockDriver {
  readonly #dsn: MySqlDsn;
  #session: Promise<MySqlSession> | undefined;
  #current: MySqlSession | undefined;
  #greeting: NodeJS.Timeout | undefined;
  readonly #held = new Map<string, () => void>();
  readonly #takes = new Batcher({
    ...batches,
    send: (wanted: { name: string; lost: () => void }[]) => this.#takeAll(wanted),
  });
  readonly #gives = new Batcher({ ...batches, send: (names: string[]) => this.#giveAll(names) });

  constructor(dsn: MySqlDsn) {
    this.#dsn = dsn;
  }

  take(name: string, lost: () => void): Promise<boolean> {
    return this.#takes.run({ name, lost });
  }

  async give(name: string): Promise<void> {
    if (this.#held.delete(name)) await this.#gives.run(name);
  }

  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    clearInterval(this.#greeting);
    session?.connection.destroy();
  }

  async #takeAll(wanted: { name: string; lost: () => void }[]): Promise<boolean[]> {
    const session = await this.#connected();
    const [row] = await session
      .rows(
        `SELECT CONCAT(${wanted.map(() => 'COALESCE(GET_LOCK(?, 0), 0)').join(', ')}) AS taken`,
        wanted.map(({ name }) => this.#onServer(name)),
      )
      .catch((error: unknown) => {
        // A connection that fails is destroyed, and then the driver says neither 'end' nor 'error'.
        this.#loseAll(session);
        throw error;
      });
    // One column for all: each costs the server and the driver more than a lock does.
    const taken = text(row as Row, 'taken');
    return wanted.map(({ name, lost }, at) => {
      if (taken[at] !== '1') return false;
      this.#held.set(name, lost);
      return true;
    });
  }

  /** When this fails, the connection is gone, and the locks with it. */
  async #giveAll(names: string[]): Promise<undefined[]> {
    const session = await this.#session?.catch(() => undefined);
    await session
      ?.run(
        `DO ${names.map(() => 'RELEASE_LOCK(?)').join(', ')}`,
        names.map((name) => this.#onServer(name)),
      )
      .catch(() => this.#loseAll(session));
    return names.map(() => undefined);
  }

  /** Locks are a server's: of ours, each database has its own, so that clusters can share one. */
  #onServer(name: string): Buffer {
    return bytes(name.startsWith('omg:') ? `${name}:${this.#dsn.database}`.slice(0, 64) : name);
  }

  #connected(): Promise<MySqlSession> {
    this.#session ??= this.#connect();
    return this.#session;
  }

  async #connect(): Promise<MySqlSession> {
    try {
      const session = await connect(this.#dsn);
      await session.text(`SET SESSION wait_timeout = ${silentSeconds}`).catch((error: unknown) => {
        session.connection.destroy();
        throw error;
      });
      this.#current = session;
      this.#greeting = setInterval(() => this.#greet(session), greetingMs).unref();
      session.connection.once('end', () => this.#loseAll(session));
      session.connection.once('error', () => this.#loseAll(session));
      return session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  #greet(session: MySqlSession): void {
    session.text('DO 0').catch(() => this.#loseAll(session));
  }

  /** Gives up a connection and its locks; one that was given up already has none. */
  #loseAll(session: MySqlSession): void {
    if (this.#current !== session) return;
    this.#current = undefined;
    this.#session = undefined;
    clearInterval(this.#greeting);
    session.connection.destroy();
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const lost of held) lost();
  }
}
