/** The fsck part of the store over either engine, and the transaction that a repair is. */
import { hashTypes } from '@omgfs/protocol';
import type { FsckChange, FsckRepair, FsckStore } from '../../fsck-store.ts';
import type { Engine, Session } from '../engine.ts';
import { readFiles, readRange, withChecksum } from './files.ts';
import { clearLog, countEvents, logEvents, readLog } from './findings.ts';
import * as queue from './queue.ts';
import * as run from './run.ts';

/** @param forget has the cache of paths forget where files are. */
export function createFsckStore(
  engine: Engine,
  forget: (fids: readonly number[]) => Promise<void>,
): FsckStore {
  const forgotten = async (work: Promise<void>, fid: number, change: FsckChange) => {
    await work;
    if (change.forget.length > 0 || change.found !== undefined) await forget([fid]);
  };
  return {
    state: () => run.fsckState(engine),
    start: (host) => run.startFsck(engine, host),
    stop: () => run.stopFsck(engine),
    reset: (request) => run.resetFsck(engine, request),
    log: (request) => readLog(engine, request),
    clearLog: () => clearLog(engine),
    counts: () => countEvents(engine),
    lease: (request) => run.leaseFsck(engine, request),
    release: (owner) => run.releaseFsck(engine, owner),
    range: (request) => readRange(engine, request),
    advance: (request) => run.advanceFsck(engine, request),
    finish: (request) => run.finishFsck(engine, request),
    files: (fids) => readFiles(engine, fids),
    withChecksum: (fids) => withChecksum(engine, fids),
    claim: (limit) => queue.claimRows(engine, limit),
    renew: (rows) => queue.renewRows(engine, rows),
    enqueue: (fids) =>
      engine.transaction((session) => {
        const waits = fids.map((fid) => ({ fid, delaySeconds: 0 }));
        return queue.enqueueWaits(session, engine.dialect, waits);
      }),
    settle: (request) => queue.settleRows(engine, request),
    repair: (repair) => forgotten(applyRepair(engine, repair), repair.row.fid, repair),
    amend: (change) => forgotten(applyChange(engine, change), change.fid, change),
    putOff: (row, wait) => queue.putOffRow(engine, row, wait),
    awaitedDevices: () => queue.awaitedDevices(engine),
    waitingFor: (devid) => queue.waitingFor(engine, devid),
    waitReasons: (limit) => queue.waitReasons(engine, limit),
    hasten: (devids) => queue.hastenRows(engine, devids),
    due: (max) => queue.countDue(engine, max),
    queue: ({ dueMax }) => queue.countQueue(engine, dueMax),
  };
}

function applyRepair(engine: Engine, repair: FsckRepair): Promise<void> {
  const { row } = repair;
  return engine.transaction(
    async (session) => {
      await writeChange(engine, session, { ...repair, fid: row.fid });
      await queue.closeRow(engine, session, repair);
    },
    async (session) => !(await queue.isClaimed(engine, session, row)),
  );
}

function applyChange(engine: Engine, change: FsckChange & { fid: number }): Promise<void> {
  return engine.transaction((session) => writeChange(engine, session, change));
}

async function writeChange(
  engine: Engine,
  session: Session,
  change: FsckChange & { fid: number },
): Promise<void> {
  const { fid, forget, found, checksum, replicate, recount } = change;
  const locked = `SELECT fid FROM file WHERE fid = ?${engine.dialect.forUpdate}`;
  // A file that was deleted meanwhile is none of ours any more.
  if ((await session.rows(locked, [fid])).length === 0) return;
  const { keepRow, keepEarlierTry, now } = engine.dialect;
  for (const devid of forget) {
    await session.run('DELETE FROM file_on WHERE fid = ? AND devid = ?', [fid, devid]);
  }
  if (found !== undefined) {
    const sql = `INSERT INTO file_on (fid, devid) VALUES (?, ?)${keepRow('fid')}`;
    await session.run(sql, [fid, found]);
  }
  if (checksum !== undefined) {
    await session.run(
      `INSERT INTO checksum (fid, hashtype, checksum) VALUES (?, ?, ?)${keepRow('fid')}`,
      [fid, hashTypes[checksum.type].id, Buffer.from(checksum.hex, 'hex')],
    );
  }
  if (recount) {
    await session.run(
      'UPDATE file SET devcount = (SELECT COUNT(*) FROM file_on WHERE fid = ?) WHERE fid = ?',
      [fid, fid],
    );
  }
  await logEvents(
    engine,
    session,
    change.events.map((event) => ({ ...event, fid })),
  );
  if (replicate) {
    await session.run(
      `INSERT INTO file_to_replicate (fid, nexttry) VALUES (?, ${now} + 1)${keepEarlierTry}`,
      [fid],
    );
  }
}
