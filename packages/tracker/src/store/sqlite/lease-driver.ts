/**
 * Locks between processes that share a SQLite file: rows of `lock`, numbered as MogileFS numbers
 * them (spec §3.7). MogileFS does not renew its rows, so on this machine a lock is held as long as
 * its process lives; a row of another machine is taken over when it was not renewed.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Engine } from '../sql/engine.ts';
import type { LockDriver } from '../sql/named-locks.ts';
import { int, text } from '../sql/row.ts';
import { bytes } from '../sql/statements.ts';

const leaseSeconds = 30;
const renewMs = 10_000;
/** Rows have whole seconds, and are written by another clock. */
const clockSlackSeconds = 2;
/** Of /proc, on every Linux. */
const ticksPerSecond = 100;

export class LeaseDriver implements LockDriver {
  readonly #engine: Engine;
  readonly #host = hostname();
  /** What is held, with the time of the last renewal by the database's clock. */
  readonly #held = new Map<number, { renewedAt: number; lost: () => void }>();
  readonly #timer: NodeJS.Timeout;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#timer = setInterval(() => void this.#renewAll(), renewMs);
    this.#timer.unref();
  }

  async take(name: string, lost: () => void): Promise<boolean> {
    const lockid = lockidOf(name);
    const { now } = this.#engine.dialect;
    const taken = await this.#engine.transaction(async (session) => {
      const [row] = await session.rows(
        `SELECT CAST(hostname AS BLOB) AS hostname, pid, acquiredat, ${now} AS now
         FROM (SELECT 1) LEFT JOIN lock ON lockid = ?`,
        [lockid],
      );
      if (row === undefined) return undefined;
      const renewedAt = int(row, 'now');
      if (row.pid !== null) {
        const [pid, acquiredAt] = [int(row, 'pid'), int(row, 'acquiredat')];
        const isFresh = acquiredAt > renewedAt - leaseSeconds;
        const isHeld = this.#isOurHost(text(row, 'hostname'))
          ? isAlive(pid) && (isFresh || isOlder(pid, renewedAt - acquiredAt))
          : isFresh;
        if (isHeld) return undefined;
      }
      await session.run(
        'REPLACE INTO lock (lockid, hostname, pid, acquiredat) VALUES (?, ?, ?, ?)',
        [lockid, bytes(this.#host), process.pid, renewedAt],
      );
      return renewedAt;
    });
    if (taken !== undefined) this.#held.set(lockid, { renewedAt: taken, lost });
    return taken !== undefined;
  }

  async give(name: string): Promise<void> {
    const lockid = lockidOf(name);
    const held = this.#held.get(lockid);
    if (held === undefined) return;
    this.#held.delete(lockid);
    await this.#engine.transaction((session) =>
      // Read only now: a renewal that was under way has changed it.
      session.run('DELETE FROM lock WHERE lockid = ? AND pid = ? AND acquiredat = ?', [
        lockid,
        process.pid,
        held.renewedAt,
      ]),
    );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** By its name, or by the number that names of locks and hosts come to (spec §3.7). */
  #isOurHost(name: string): boolean {
    return name === this.#host || name === String(lockidOf(this.#host));
  }

  async #renewAll(): Promise<void> {
    for (const [lockid, held] of this.#held) {
      const renewed = await this.#renew(lockid, held).catch(() => false);
      if (renewed || this.#held.get(lockid) !== held) continue;
      this.#held.delete(lockid);
      held.lost();
    }
  }

  #renew(lockid: number, held: { renewedAt: number }): Promise<boolean> {
    return this.#engine.transaction(async (session) => {
      const sql = `SELECT ${this.#engine.dialect.now} AS now`;
      const [row] = await session.rows(sql);
      const now = row === undefined ? held.renewedAt : int(row, 'now');
      const { changes } = await session.run(
        'UPDATE lock SET acquiredat = ? WHERE lockid = ? AND pid = ? AND acquiredat = ?',
        [now, lockid, process.pid, held.renewedAt],
      );
      if (changes > 0) held.renewedAt = now;
      return changes > 0;
    });
  }
}

/** Spec §3.7: the first four bytes of the MD5 of the name, without the top bit. */
function lockidOf(name: string): number {
  return createHash('md5').update(name, 'latin1').digest().readUInt32BE(0) & 0x7fff_ffff;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Whether another process has been there for so long: else the number was given anew since. This
 * one would have renewed its row. Without /proc nobody knows, and the row stays.
 */
function isOlder(pid: number, seconds: number): boolean {
  if (pid === process.pid) return false;
  try {
    const uptime = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
    // The 22nd field, the 20th behind the name in parentheses: its start, in ticks after the boot.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop()?.split(' ');
    return uptime - Number(fields?.[19]) / ticksPerSecond >= seconds - clockSlackSeconds;
  } catch {
    return true;
  }
}
