/** The rebalance part of the store over either engine, and the reads of what a device holds. */
import type { FileOnDevice, RebalanceStore } from '../../rebalance-store.ts';
import type { Engine, Row } from '../engine.ts';
import { int, intOrNull } from '../row.ts';
import { integer } from '../statements.ts';
import * as queue from './queue.ts';
import { applyChange, giveLease, readRecords, takeLease } from './records.ts';

export function createRebalanceStore(engine: Engine): RebalanceStore {
  return {
    records: () => readRecords(engine, engine.dialect, { lock: false }),
    change: (change) => applyChange(engine, change),
    lease: (request) => takeLease(engine, request),
    release: (owner) => giveLease(engine, owner),
    filesOn: (request) => filesOn(engine, request),
    countOn: (devid, max) => countOn(engine, devid, max),
    bytesByDevice: () => bytesByDevice(engine),
    claim: (request) => queue.claimMoves(engine, request),
    renew: (rows, seconds) => queue.renewMoves(engine, rows, seconds),
    finish: (move) => queue.finishMove(engine, move),
    putOff: (move, wait) => queue.putOffMove(engine, move, wait),
    hasten: () => queue.hastenMoves(engine),
    counts: (devid) => queue.countMoves(engine, devid),
  };
}

/** Index devid of `file_on`, whose entries are in the order of fids; primary key of `file`. */
async function filesOn(
  engine: Engine,
  request: Parameters<RebalanceStore['filesOn']>[0],
): Promise<FileOnDevice[]> {
  const { devid, after, limit, newestFirst } = request;
  const values = after === 0 ? [devid] : [devid, after];
  const beyond = after === 0 ? '' : ` AND o.fid ${newestFirst ? '<' : '>'} ?`;
  const rows = await engine.rows(
    `SELECT o.fid, f.fid AS live, f.length FROM file_on o LEFT JOIN file f ON f.fid = o.fid
     WHERE o.devid = ?${beyond} ORDER BY o.fid${newestFirst ? ' DESC' : ''}
     LIMIT ${integer(limit)}`,
    values,
  );
  return rows.map((row) => ({
    fid: int(row, 'fid'),
    length: intOrNull(row, 'length') ?? 0,
    isFile: intOrNull(row, 'live') !== null,
  }));
}

/** Index devid of `file_on`. */
async function countOn(engine: Engine, devid: number, max: number): Promise<number> {
  const [row] = await engine.rows(
    `SELECT COUNT(*) AS replicas FROM
     (SELECT fid FROM file_on WHERE devid = ? LIMIT ${integer(max)}) held`,
    [devid],
  );
  return int(row as Row, 'replicas');
}

/** Primary keys, in order. */
async function bytesByDevice(engine: Engine): Promise<Map<number, number>> {
  const rows = await engine.rows(
    `SELECT o.devid, SUM(f.length) AS held FROM file_on o JOIN file f ON f.fid = o.fid
     GROUP BY o.devid`,
  );
  return new Map(rows.map((row) => [int(row, 'devid'), intOrNull(row, 'held') ?? 0]));
}
