/** The statements of reaping and healing. */
import { endOfTime } from '../../store.ts';
import type { UpkeepStore } from '../../upkeep-store.ts';
import type { Dialect, Engine, Session } from '../engine.ts';
import { int, text } from '../row.ts';
import { bytes, chunks, integer, listMax, marks, padded, Raw, tuples } from '../statements.ts';

/** @param forget has the cache of paths forget where files are. */
export function createUpkeepStore(
  engine: Engine,
  forget: (fids: readonly number[]) => Promise<void>,
): UpkeepStore {
  return {
    reap: async (request) => {
      const fids = await reap(engine, request);
      await forget(fids);
      return fids.length;
    },
    waitingReplications: async (max) => {
      // Index nexttry, and no more of it than asked for.
      const [row] = await engine.rows(
        `SELECT COUNT(*) AS waiting FROM (SELECT fid FROM file_to_replicate
         WHERE nexttry > 0 AND nexttry < ${endOfTime} LIMIT ${integer(max)}) AS some`,
      );
      return row === undefined ? 0 : int(row, 'waiting');
    },
    fidsOn: async ({ devid, after, limit }) => {
      // Index devid, which has the primary key behind it.
      const rows = await engine.rows(
        `SELECT fid FROM file_on WHERE devid = ? AND fid > ? ORDER BY fid LIMIT ${integer(limit)}`,
        [devid, after],
      );
      return rows.map((row) => int(row, 'fid'));
    },
    enqueueReplications: async (fids) => {
      for (const part of chunks(fids)) await enqueue(engine, engine.dialect, part, 0);
    },
    moveSweep: async ({ field, from, to }) => {
      // Primary key.
      const which = 'WHERE field = ? AND value = ?';
      const read = [bytes(field), bytes(from)];
      const { changes } =
        to === undefined
          ? await engine.run(`DELETE FROM server_settings ${which}`, read)
          : await engine.run(`UPDATE server_settings SET value = ? ${which}`, [bytes(to), ...read]);
      return changes > 0;
    },
    hastenDeletions: async (devids) => {
      const { now } = engine.dialect;
      for (const part of chunks(devids)) {
        const list = padded(part);
        // A row in work may be among them; the lock of the fid keeps a second worker off.
        await engine.run(
          `UPDATE file_to_delete2 SET nexttry = ${now}
           WHERE nexttry > ${now} AND fid IN
             (SELECT fid FROM file_on WHERE devid IN ${marks(list.length)})`,
          list,
        );
      }
    },
  };
}

async function enqueue(
  session: Session,
  { now, keepEarlierTry }: Dialect,
  fids: readonly number[],
  delaySeconds: number,
): Promise<void> {
  if (fids.length === 0) return;
  const nexttry = new Raw(`${now} + ${integer(delaySeconds)}`);
  const rows = tuples(fids.map((fid) => [fid, nexttry]));
  await session.runLiteral(
    `INSERT INTO file_to_replicate (fid, nexttry) VALUES ${rows} ${keepEarlierTry}`,
  );
}

/** @returns the fids of the replicas that are gone. */
function reap(
  engine: Engine,
  { devid, limit }: { devid: number; limit: number },
): Promise<number[]> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    // The lock holds off an operator who takes the mark away, so that it counts at once.
    const [device] = await session.rows(
      `SELECT ${dialect.bytes('status')} AS status FROM device WHERE devid = ?${dialect.forUpdate}`,
      [devid],
    );
    if (device === undefined || text(device, 'status') !== 'dead') return [];
    const rows = await session.rows(
      `SELECT fid FROM file_on WHERE devid = ? ORDER BY fid
       LIMIT ${integer(Math.min(limit, listMax))}${dialect.forUpdate}`,
      [devid],
    );
    const fids = rows.map((row) => int(row, 'fid'));
    if (fids.length === 0) return [];
    const list = padded(fids);
    const inList = marks(list.length);
    // Fids that are being deleted need no copies; the original queues them all the same.
    const live = await session.rows(`SELECT fid FROM file WHERE fid IN ${inList}`, list);
    const liveFids = live.map((row) => int(row, 'fid'));
    await enqueue(session, dialect, liveFids, 1);
    const sql = `DELETE FROM file_on WHERE devid = ? AND fid IN ${inList}`;
    await session.run(sql, [devid, ...list]);
    await session.run(
      `UPDATE file SET devcount = (SELECT COUNT(*) FROM file_on WHERE file_on.fid = file.fid)
       WHERE fid IN ${inList}`,
      list,
    );
    return fids;
  });
}
