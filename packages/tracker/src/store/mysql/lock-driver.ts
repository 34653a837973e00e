/**
 * Locks by GET_LOCK under the names of spec §3.7, which Perl trackers take too. All are held by one
 * connection of their own. On Galera these locks hold on one node only; leases add what is missing.
 */
import type { MySqlDsn } from '../dsn.ts';
import type { LockDriver } from '../sql/named-locks.ts';
import { bytes } from '../sql/statements.ts';
import { connect, type MySqlSession } from './connections.ts';

export class GetLockDriver implements LockDriver {
  readonly #dsn: MySqlDsn;
  #session: Promise<MySqlSession> | undefined;
  #current: MySqlSession | undefined;
  readonly #held = new Map<string, () => void>();

  constructor(dsn: MySqlDsn) {
    this.#dsn = dsn;
  }

  async take(name: string, lost: () => void): Promise<boolean> {
    const session = await this.#connected();
    const [row] = await session
      .rows('SELECT GET_LOCK(?, 0) AS taken', [bytes(name)])
      .catch((error: unknown) => {
        // A connection that fails is destroyed, and then the driver says neither 'end' nor 'error'.
        this.#loseAll(session);
        throw error;
      });
    if (Number(row?.taken) !== 1) return false;
    this.#held.set(name, lost);
    return true;
  }

  async give(name: string): Promise<void> {
    if (!this.#held.delete(name)) return;
    const session = await this.#session?.catch(() => undefined);
    if (session === undefined) return;
    // When this fails, the connection is gone, and the lock with it.
    await session
      .rows('SELECT RELEASE_LOCK(?) AS given', [bytes(name)])
      .catch(() => this.#loseAll(session));
  }

  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    session?.connection.destroy();
  }

  #connected(): Promise<MySqlSession> {
    this.#session ??= this.#connect();
    return this.#session;
  }

  async #connect(): Promise<MySqlSession> {
    try {
      const session = await connect(this.#dsn);
      this.#current = session;
      session.connection.once('end', () => this.#loseAll(session));
      session.connection.once('error', () => this.#loseAll(session));
      return session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  /** Gives up a connection and its locks; one that was given up already has none. */
  #loseAll(session: MySqlSession): void {
    if (this.#current !== session) return;
    this.#current = undefined;
    this.#session = undefined;
    session.connection.destroy();
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const lost of held) lost();
  }
}
