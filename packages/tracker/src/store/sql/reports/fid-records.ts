/** Every row that the database holds about one fid: for `file_debug` and for explanations. */
import type { FidRecords, QueuedWork } from '../../store.ts';
import type { Engine, Row } from '../engine.ts';
import { filesByFid, findChecksums, findTempfiles, replicasOf } from '../files.ts';
import { int, intOrNull, textOrNull } from '../row.ts';

/** Types of work in `file_to_queue` (spec §3.2). */
const workTypes = { fsck: 1, rebalance: 2 } as const;

/** Primary keys throughout. */
export async function fidRecords(engine: Engine, fid: number): Promise<FidRecords> {
  const one = async (sql: string): Promise<Row | undefined> => (await engine.rows(sql, [fid]))[0];
  const [[file], [tempfile], replicas, [checksum], replication, deletion, queued] =
    await Promise.all([
      filesByFid(engine, [fid]),
      findTempfiles(engine, [fid]),
      replicasOf(engine, [fid]),
      findChecksums(engine, [fid]),
      one('SELECT nexttry, fromdevid, failcount, flags FROM file_to_replicate WHERE fid = ?'),
      one('SELECT nexttry, failcount FROM file_to_delete2 WHERE fid = ?'),
      engine.rows(
        `SELECT fid, type, devid, nexttry, failcount, flags, ${engine.dialect.bytes('arg')} AS arg
         FROM file_to_queue WHERE fid = ?`,
        [fid],
      ),
    ]);
  const work = (type: number) => toQueuedWork(queued.find((row) => int(row, 'type') === type));
  return {
    file,
    tempfile,
    devids: replicas.get(fid) ?? [],
    checksum,
    replication: replication && {
      fid,
      nexttry: int(replication, 'nexttry'),
      fromdevid: intOrNull(replication, 'fromdevid'),
      failcount: int(replication, 'failcount'),
      flags: int(replication, 'flags'),
    },
    deletion: deletion && {
      fid,
      nexttry: int(deletion, 'nexttry'),
      failcount: int(deletion, 'failcount'),
    },
    rebalance: work(workTypes.rebalance),
    fsck: work(workTypes.fsck),
  };
}

function toQueuedWork(row: Row | undefined): QueuedWork | undefined {
  return (
    row && {
      fid: int(row, 'fid'),
      type: int(row, 'type'),
      devid: intOrNull(row, 'devid'),
      nexttry: int(row, 'nexttry'),
      failcount: int(row, 'failcount'),
      flags: int(row, 'flags'),
      arg: textOrNull(row, 'arg'),
    }
  );
}
