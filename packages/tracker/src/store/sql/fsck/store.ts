/** The fsck part of the store over either engine, and the transaction that a repair is. */
import { hashTypes } from '@omgfs/protocol';
import type { FsckChange, FsckRepair, FsckStore } from '../../fsck-store.ts';
import type { Engine, Session } from '../engine.ts';
import { ended } from '../jobs/claims.ts';
import { readFiles, readRange, withChecksum } from './files.ts';
import { clearLog, countEvents, logEvents, readLog } from './findings.ts';
import * as queue from './queue.ts';
import * as run from './run.ts';

/** @param forget has the cache of paths forget where files are. */
export function createFsckStore(
  engine: Engine,
  forget: (fids: readonly number[]) => Promise<void>,
): FsckStore {
  const forgotten = async <T>(work: Promise<T>, fid: number, change: FsckChange) => {
    const done = await work;
    if (change.forget.length > 0 || change.found !== undefined) await forget([fid]);
    return done;
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
    claim: (limit, seconds) => queue.claimChecks(engine, { limit, seconds }),
    renew: (rows, seconds) => queue.renewChecks(engine, rows, seconds),
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

/** One that was claimed by another or enqueued again is theirs, so that findings come once. */
function applyRepair(engine: Engine, repair: FsckRepair): Promise<boolean> {
  const row = ended(repair.row);
  return engine.transaction(
    async (session) => {
      const isFile = await lockFile(engine, session, row.fid);
      if (!(await queue.isClaimed(engine, session, row))) return false;
      if (isFile) await writeChange(engine, session, { ...repair, fid: row.fid });
      await queue.closeRow(engine, session, row, repair.wait);
      return true;
    },
    async (session) => !(await queue.isClaimed(engine, session, row)),
  );
}

function applyChange(engine: Engine, change: FsckChange & { fid: number }): Promise<void> {
  return engine.transaction(async (session) => {
    if (await lockFile(engine, session, change.fid)) await writeChange(engine, session, change);
  });
}

/** A file that was deleted meanwhile is none of ours any more. */
async function lockFile(engine: Engine, session: Session, fid: number): Promise<boolean> {
  const sql = `SELECT fid FROM file WHERE fid = ?${engine.dialect.forUpdate}`;
  return (await session.rows(sql, [fid])).length > 0;
}

async function writeChange(
  engine: Engine,
  session: Session,
  change: FsckChange & { fid: number },
): Promise<void> {
  const { fid, forget, found, checksum, replicate, recount } = change;
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
