/**
 * The replication and deletion queues (spec §3.6). A row is claimed by pushing its `nexttry` ahead
 * under the lock name that Perl trackers use and under row locks, which are what really guards it.
 */
import type { DeletionRow, ReplicationRow } from '../../store.ts';
import { claimLeaseSeconds } from '../../store.ts';
import { deleteFids } from '../close.ts';
import type { Engine, Row } from '../engine.ts';
import { replicasOf } from '../files.ts';
import { int, intOrNull } from '../row.ts';
import { chunks, integer, marks, padded } from '../statements.ts';

type QueueTable = 'file_to_replicate' | 'file_to_delete2';

const claimWaitMs = 30_000;
const columnsOf: Readonly<Record<QueueTable, string>> = {
  file_to_replicate: 'fid, nexttry, fromdevid, failcount, flags',
  file_to_delete2: 'fid, nexttry, failcount',
};

export class Queues {
  readonly #engine: Engine;
  /**
   * The `nexttry` that a claim of ours gave each row. A row with another value by the time its work
   * is done was enqueued again meanwhile: for a reason the work may not have seen, so it stays.
   */
  readonly #claims = new Map<number, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async claimReplications(limit: number): Promise<ReplicationRow[]> {
    const { rows, until } = await this.#claim('file_to_replicate', limit);
    // Claims whose lease is over belong to nobody.
    for (const [fid, lease] of this.#claims) {
      if (lease <= until - claimLeaseSeconds) this.#claims.delete(fid);
    }
    return rows.map((row) => {
      const fid = int(row, 'fid');
      this.#claims.set(fid, until);
      return {
        fid,
        nexttry: int(row, 'nexttry'),
        fromdevid: intOrNull(row, 'fromdevid'),
        failcount: int(row, 'failcount'),
        flags: int(row, 'flags'),
      };
    });
  }

  async claimDeletions(limit: number): Promise<DeletionRow[]> {
    const { rows } = await this.#claim('file_to_delete2', limit);
    return rows.map((row) => ({
      fid: int(row, 'fid'),
      nexttry: int(row, 'nexttry'),
      failcount: int(row, 'failcount'),
    }));
  }

  async #claim(table: QueueTable, limit: number): Promise<{ rows: Row[]; until: number }> {
    const { now, forUpdate } = this.#engine.dialect;
    const claimed = await this.#engine.withLock(
      { name: `mfsd:${table}`, waitMs: claimWaitMs },
      () =>
        this.#engine.transaction(
          async (session) => {
            // Index nexttry; locks the rows it returns.
            const rows = await session.rows(
              `SELECT ${columnsOf[table]}, ${now} + ${claimLeaseSeconds} AS until FROM ${table}
           WHERE nexttry <= ${now} ORDER BY nexttry LIMIT ${integer(limit)}${forUpdate}`,
            );
            if (rows.length === 0) return { rows, until: 0 };
            const until = int(rows[0] as Row, 'until');
            for (const part of chunks(rows.map((row) => int(row, 'fid')))) {
              const list = padded(part);
              await session.run(
                `UPDATE ${table} SET nexttry = ? WHERE fid IN ${marks(list.length)}`,
                [until, ...list],
              );
            }
            return { rows, until };
          },
          // Claims that nobody knows of would wait out their lease.
          async (session, { rows, until }) => {
            const [first] = rows;
            if (first === undefined) return true;
            const claim = `SELECT fid FROM ${table} WHERE fid = ? AND nexttry = ?`;
            return (await session.rows(claim, [int(first, 'fid'), until])).length > 0;
          },
        ),
    );
    return claimed ?? { rows: [], until: 0 };
  }

  /**
   * A row that exists gets the earlier `nexttry`, also when it is parked for an operator (which
   * fixes spec §11.1 no. 7) and also when it is claimed: whoever works on it may have looked at the
   * file before the reason for this call came up. The replicate lock keeps a second worker off, and
   * `finishReplications` leaves such a row in the queue.
   */
  async enqueueReplication(request: {
    fid: number;
    nexttry: number;
    fromdevid?: number;
  }): Promise<void> {
    const { fid, nexttry, fromdevid = null } = request;
    await this.#engine.run(
      `INSERT INTO file_to_replicate (fid, nexttry, fromdevid) VALUES (?, ?, ?)
       ${this.#engine.dialect.keepEarlierTry}`,
      [fid, nexttry, fromdevid],
    );
  }

  /** Not while the row is finished or postponed, which compare with the claim as it was. */
  async renewReplication(fid: number): Promise<void> {
    const claim = this.#claims.get(fid);
    if (claim === undefined) return;
    const { now } = this.#engine.dialect;
    const [row] = await this.#engine.rows(`SELECT ${now} + ${claimLeaseSeconds} AS until`);
    const until = int(row as Row, 'until');
    await this.#engine.run(
      'UPDATE file_to_replicate SET nexttry = ? WHERE fid = ? AND nexttry = ?',
      [until, fid, claim],
    );
    // Asked, not counted: a write repeated on a new connection changes nothing the second time.
    const mine = 'SELECT fid FROM file_to_replicate WHERE fid = ? AND nexttry = ?';
    if ((await this.#engine.rows(mine, [fid, until])).length > 0) this.#claims.set(fid, until);
  }

  async finishReplications(fids: readonly number[]): Promise<void> {
    for (const part of chunks(fids)) {
      const rows = padded(part).map((fid) => [fid, this.#claims.get(fid) ?? -1] as const);
      // Primary key. Without a claim of ours to compare with, the row goes whatever it says.
      const same = rows.map(() => '(fid = ? AND ? IN (nexttry, -1))').join(' OR ');
      await this.#engine.run(`DELETE FROM file_to_replicate WHERE ${same}`, rows.flat());
      for (const fid of part) this.#claims.delete(fid);
    }
  }

  /** Keeps an earlier `nexttry` that another call set while the row was worked on. */
  async postponeReplication(request: {
    fid: number;
    nexttry: number;
    failcount: number;
  }): Promise<void> {
    const { fid, nexttry } = request;
    const claim = this.#claims.get(fid) ?? -1;
    this.#claims.delete(fid);
    await this.#engine.run(
      `UPDATE file_to_replicate SET failcount = ?,
       nexttry = CASE WHEN ? IN (nexttry, -1) THEN ? ELSE nexttry END WHERE fid = ?`,
      [failcountFor(request), claim, nexttry, fid],
    );
  }

  /**
   * Index nexttry. What never failed and is due within the lease of a claim is in work, in some
   * tracker. What has failed before waits, nearly always; where it is in work again, the lock of
   * its fid keeps a second worker off.
   */
  async hastenReplications(): Promise<number> {
    const { now } = this.#engine.dialect;
    const { changes } = await this.#engine.run(
      `UPDATE file_to_replicate SET nexttry = ${now} WHERE nexttry > ${now}
       AND (failcount > 0 OR nexttry > ${now} + ${claimLeaseSeconds})`,
    );
    return changes;
  }

  async postponeDeletion(request: {
    fid: number;
    nexttry: number;
    failcount: number;
  }): Promise<void> {
    await this.#engine.run('UPDATE file_to_delete2 SET nexttry = ?, failcount = ? WHERE fid = ?', [
      request.nexttry,
      failcountFor(request),
      request.fid,
    ]);
  }

  /** Fids that got a replica meanwhile stay queued; what belongs to a current file is kept. */
  async finishDeletions(fids: readonly number[]): Promise<void> {
    const { forUpdate } = this.#engine.dialect;
    for (const part of chunks(fids)) {
      await this.#engine.transaction(async (session) => {
        const list = padded(part);
        // The lock makes `addReplica` of a deleted file wait or be seen below.
        const inList = marks(list.length);
        await session.rows(
          `SELECT fid FROM file_to_delete2 WHERE fid IN ${inList}${forUpdate}`,
          list,
        );
        const replicas = await replicasOf(session, part);
        const ended = part.filter((fid) => replicas.get(fid)?.length === 0);
        if (ended.length === 0) return;
        await deleteFids(session, 'file_to_delete2', ended);
        const rows = await session.rows(`SELECT fid FROM file WHERE fid IN ${inList}`, list);
        const live = new Set(rows.map((row) => int(row, 'fid')));
        const gone = ended.filter((fid) => !live.has(fid));
        if (gone.length === 0) return;
        await deleteFids(session, 'checksum', gone);
        await deleteFids(session, 'tempfile', gone);
      });
    }
  }

  /** Counts an index of each table. */
  async queueDepths(): Promise<{ replicate: number; delete: number; tempfile: number }> {
    const [row] = await this.#engine.rows(
      `SELECT (SELECT COUNT(*) FROM file_to_replicate) AS replicate,
              (SELECT COUNT(*) FROM file_to_delete2) AS deletion,
              (SELECT COUNT(*) FROM tempfile) AS tempfile`,
    );
    const depths = row as Row;
    return {
      replicate: int(depths, 'replicate'),
      delete: int(depths, 'deletion'),
      tempfile: int(depths, 'tempfile'),
    };
  }
}

/** The column holds one byte; a strict server refuses more. */
function failcountFor(request: { failcount: number }): number {
  return Math.min(request.failcount, 255);
}
