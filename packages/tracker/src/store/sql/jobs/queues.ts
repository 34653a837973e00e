/** The replication and deletion queues (spec §3.6). */
import { type Claim, originalClaimSeconds, type Wait } from '../../claim.ts';
import { type ClaimedDeletion, type ClaimedReplication, endOfTime } from '../../store.ts';
import { deleteFids } from '../close.ts';
import type { Engine, Row } from '../engine.ts';
import { replicasOf } from '../files.ts';
import { int, intOrNull } from '../row.ts';
import { chunks, integer, marks, padded } from '../statements.ts';
import { claimRows, claimsOf, ended, type Queue, renewClaims } from './claims.ts';

/** In `flags`, which are 0 with the original: whoever claimed the row did not get to its end. */
const inWork = 1;
const replications: Queue = { table: 'file_to_replicate', which: '' };
const deletions: Queue = { table: 'file_to_delete2', which: '' };

export class Queues {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  claimReplications(limit: number, seconds: number): Promise<ClaimedReplication[]> {
    return claimRows(this.#engine, replications, {
      columns: 'fromdevid, flags, ',
      reset: `, flags = ${inWork}`,
      limit,
      seconds,
      // Named one by one: V8 takes long to add to a copy.
      made: (row, { fid, claims, nexttry, failcount }) => ({
        fid,
        claims,
        nexttry,
        failcount,
        fromdevid: intOrNull(row, 'fromdevid'),
        flags: int(row, 'flags'),
        brokeOff: int(row, 'flags') === inWork,
      }),
    });
  }

  claimDeletions(limit: number, seconds: number): Promise<ClaimedDeletion[]> {
    return claimRows(this.#engine, deletions, { limit, seconds, made: (_, claimed) => claimed });
  }

  renewReplications(rows: readonly ClaimedReplication[], seconds: number): Promise<void> {
    return renewClaims(this.#engine, replications, rows, seconds);
  }

  renewDeletions(rows: readonly ClaimedDeletion[], seconds: number): Promise<void> {
    return renewClaims(this.#engine, deletions, rows, seconds);
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

  /** Primary key. */
  async finishReplications(rows: readonly Claim[]): Promise<void> {
    for (const { sql, values } of claimsOf(rows)) {
      await this.#engine.run(`DELETE FROM file_to_replicate WHERE ${sql}`, values);
    }
  }

  postponeReplication(row: ClaimedReplication, wait: Wait): Promise<void> {
    const flags = wait.brokeOff ? inWork : 0;
    return this.#postpone(replications, row, { ...wait, also: `, flags = ${flags}` });
  }

  postponeDeletion(row: ClaimedDeletion, wait: Wait): Promise<void> {
    return this.#postpone(deletions, row, wait);
  }

  /** A row that says anything else than its claim keeps its `nexttry`. Primary key. */
  async #postpone(
    { table }: Queue,
    row: Claim,
    { delaySeconds, failcount, also = '' }: Wait & { also?: string },
  ): Promise<void> {
    // The column holds one byte; a strict server refuses more.
    const failures = Math.min(failcount, 255);
    const { fid, claims } = ended(row);
    const { now } = this.#engine.dialect;
    const nexttry = delaySeconds === undefined ? endOfTime : `${now} + ${integer(delaySeconds)}`;
    const kept = claims.length === 0 ? '0 = 1' : `nexttry + 0 IN ${marks(claims.length)}`;
    await this.#engine.run(
      `UPDATE ${table} SET failcount = ?${also},
       nexttry = CASE WHEN ${kept} THEN ${nexttry} ELSE nexttry END WHERE fid = ?`,
      [failures, ...claims, fid],
    );
  }

  /**
   * Index nexttry. What never failed and is due within the lease of a claim is in work, in some
   * tracker, maybe one of the original. What has failed before waits, nearly always; where it is in
   * work again, the lock of its fid keeps a second worker off.
   */
  async hastenReplications(): Promise<number> {
    const { now } = this.#engine.dialect;
    const { changes } = await this.#engine.run(
      `UPDATE file_to_replicate SET nexttry = ${now} WHERE nexttry > ${now}
       AND (failcount > 0 OR nexttry > ${now} + ${originalClaimSeconds})`,
    );
    return changes;
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
