/** How full the queues are and for how long their rows wait; for operators. */
import { originalClaimSeconds } from '../../claim.ts';
import { endOfTime, type QueueStats } from '../../store.ts';
import type { Engine } from '../engine.ts';
import { int } from '../row.ts';

const queues = [
  { name: 'replicate', table: 'file_to_replicate', where: '' },
  { name: 'delete', table: 'file_to_delete2', where: '' },
  { name: 'fsck', table: 'file_to_queue', where: 'WHERE type = 1' },
  { name: 'rebalance', table: 'file_to_queue', where: 'WHERE type = 2' },
] as const;

/** Each reads its whole queue by the index of `nexttry`: for people, not for loops. */
export async function queueStats(engine: Engine): Promise<QueueStats[]> {
  const { now } = engine.dialect;
  const stats: QueueStats[] = [];
  for (const { name, table, where } of queues) {
    // A claim pushes a row ahead by its lease; rows that are put off lie further ahead or have
    // failed before, so this tells work from waiting well enough.
    const lease = `nexttry > ${now} AND nexttry <= ${now} + ${originalClaimSeconds}`;
    const [row = {}] = await engine.rows(
      `SELECT COUNT(*) AS total, ${now} AS clock,
         COALESCE(SUM(CASE WHEN nexttry <= ${now} THEN 1 ELSE 0 END), 0) AS due,
         COALESCE(SUM(CASE WHEN failcount = 0 AND ${lease} THEN 1 ELSE 0 END), 0) AS working,
         COALESCE(SUM(CASE WHEN nexttry >= ${endOfTime} THEN 1 ELSE 0 END), 0) AS parked,
         COALESCE(SUM(CASE WHEN failcount > 0 THEN 1 ELSE 0 END), 0) AS failed,
         COALESCE(MIN(CASE WHEN nexttry > 1000 AND nexttry <= ${now} THEN nexttry END), 0)
           AS oldest,
         COALESCE(MIN(CASE WHEN nexttry > ${now} THEN nexttry END), 0) AS next
       FROM ${table} ${where}`,
    );
    const clock = int(row, 'clock');
    const [oldest, next] = [int(row, 'oldest'), int(row, 'next')];
    stats.push({
      name,
      total: int(row, 'total'),
      due: int(row, 'due'),
      working: int(row, 'working'),
      parked: int(row, 'parked'),
      failed: int(row, 'failed'),
      oldestDueSeconds: oldest === 0 ? 0 : clock - oldest,
      nextInSeconds: next === 0 || next >= endOfTime ? undefined : next - clock,
    });
  }
  return stats;
}

/** Replicas that the database knows on a device. Index devid. */
export async function countReplicas(engine: Engine, devid: number): Promise<number> {
  const sql = 'SELECT COUNT(*) AS n FROM file_on WHERE devid = ?';
  const [row] = await engine.rows(sql, [devid]);
  return row === undefined ? 0 : int(row, 'n');
}
