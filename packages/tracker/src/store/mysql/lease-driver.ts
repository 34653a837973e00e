/**
 * Locks for Galera, where GET_LOCK holds on one node only: besides it, a row of `omg_lease` says
 * who holds a name, and of two trackers that insert it on different nodes one fails at its commit.
 * A lease that was not renewed is taken over. Expiry is by the clocks of the nodes, which must
 * agree within a few seconds.
 */
import { randomBytes } from 'node:crypto';
import { OmgfsError } from '@omgfs/protocol';
import type { Engine, Session } from '../sql/engine.ts';
import type { LockDriver } from '../sql/named-locks.ts';
import { bytes } from '../sql/statements.ts';

const leaseMs = 20_000;
/** A holder that could not renew stops this long before anybody may take the lease over. */
const marginMs = 5000;
const renewAfterMs = 4000;
const tickMs = 1000;

const createTable = `CREATE TABLE IF NOT EXISTS omg_lease (
  name VARBINARY(64) NOT NULL PRIMARY KEY,
  holder BINARY(16) NOT NULL,
  expires BIGINT NOT NULL
) ENGINE=InnoDB`;

/** Makes the table of leases unless it is there. @throws SCHEMA_MISSING when that is forbidden. */
export async function ensureLeaseTable(session: {
  columnsOf(table: string): Promise<unknown>;
  exec(sql: string): Promise<unknown>;
}): Promise<void> {
  if ((await session.columnsOf('omg_lease')) !== undefined) return;
  try {
    await session.exec(createTable);
  } catch (error) {
    if (!(error instanceof OmgfsError) || error.code !== 'FAILURE') throw error;
    throw new OmgfsError('SCHEMA_MISSING', {
      message:
        'The database is a Galera cluster, whose named locks hold on one node only; the table ' +
        `omg_lease, which replaces them, could not be created (${error.message}) ` +
        'Grant CREATE to the user of the DSN for one start, or create the table yourself: ' +
        `${createTable.replaceAll(/\s+/g, ' ')};`,
      cause: error,
    });
  }
}

interface Lease {
  holder: Buffer;
  /** When the last renewal was sent, by the clock of this process. */
  renewedAt: number;
  renewing: boolean;
  lost: () => void;
}

export class LeaseDriver implements LockDriver {
  readonly #engine: Engine;
  readonly #local: LockDriver;
  /** Leases in use, also those that were lost while their work goes on. */
  readonly #leases = new Map<string, Lease>();
  readonly #timer: NodeJS.Timeout;

  /** `local` excludes the Perl trackers of the same node. */
  constructor(engine: Engine, local: LockDriver) {
    this.#engine = engine;
    this.#local = local;
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  async take(name: string, lost: () => void): Promise<boolean> {
    if (!(await this.#local.take(name, lost))) return false;
    const lease = { holder: randomBytes(16), renewedAt: performance.now(), renewing: false, lost };
    const taken = await this.#insert(name, lease).catch(async (error: unknown) => {
      await this.#giveBoth(name, lease.holder);
      throw error;
    });
    if (taken) this.#leases.set(name, lease);
    else await this.#local.give(name);
    return taken;
  }

  async give(name: string): Promise<void> {
    const lease = this.#leases.get(name);
    if (lease === undefined) return;
    this.#leases.delete(name);
    await this.#giveBoth(name, lease.holder);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** When the row cannot be deleted, it expires by itself. */
  async #giveBoth(name: string, holder: Buffer): Promise<void> {
    const key = [bytes(name), holder];
    await this.#engine
      .run('DELETE FROM omg_lease WHERE name = ? AND holder = ?', key)
      .catch(() => {});
    await this.#local.give(name);
  }

  async #insert(name: string, lease: Lease): Promise<boolean> {
    const key = bytes(name);
    const { now } = this.#engine.dialect;
    try {
      return await this.#engine.transaction(
        async (session) => {
          // A retry after a lock wait begins a new term.
          lease.renewedAt = performance.now();
          if (await isHeld(session, key, now)) return false;
          await session.run(`DELETE FROM omg_lease WHERE name = ? AND expires <= ${now}`, [key]);
          await session.run(
            `INSERT INTO omg_lease (name, holder, expires)
             VALUES (?, ?, ${now} + ${leaseMs / 1000})`,
            [key, lease.holder],
          );
          return true;
        },
        async (session, taken) => !taken || (await isMine(session, key, lease.holder)),
      );
    } catch (error) {
      // Somebody else's row came in between.
      if (error instanceof OmgfsError && error.code === 'DUPLICATE') return false;
      throw error;
    }
  }

  #tick(): void {
    const now = performance.now();
    for (const [name, lease] of this.#leases) {
      const age = now - lease.renewedAt;
      if (age > leaseMs - marginMs) lease.lost();
      else if (age > renewAfterMs && !lease.renewing) void this.#renew(name, lease);
    }
  }

  async #renew(name: string, lease: Lease): Promise<void> {
    lease.renewing = true;
    const sentAt = performance.now();
    try {
      const { changes } = await this.#engine.run(
        `UPDATE omg_lease SET expires = ${this.#engine.dialect.now} + ${leaseMs / 1000}
         WHERE name = ? AND holder = ?`,
        [bytes(name), lease.holder],
      );
      if (changes === 0) lease.lost();
      else lease.renewedAt = sentAt;
    } catch {
      // The next tick tries again, until the term is nearly over.
    } finally {
      lease.renewing = false;
    }
  }
}

/** Primary key; a look before the insert, so that those who wait write nothing. */
async function isHeld(session: Session, key: Buffer, now: string): Promise<boolean> {
  const sql = `SELECT 1 AS one FROM omg_lease WHERE name = ? AND expires > ${now}`;
  return (await session.rows(sql, [key])).length > 0;
}

async function isMine(session: Session, key: Buffer, holder: Buffer): Promise<boolean> {
  const sql = 'SELECT 1 AS one FROM omg_lease WHERE name = ? AND holder = ?';
  return (await session.rows(sql, [key, holder])).length > 0;
}
