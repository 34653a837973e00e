/**
 * Checks that wait: rows of `file_to_queue` with type 1 (spec §3.6). Trackers of the original put
 * rows there and take them as we do. Two columns they leave empty say what a row waits for: `devid`
 * and, in words, `arg`.
 */
import type { FsckQueue, FsckRow, FsckWait } from '../../fsck-store.ts';
import type { Dialect, Engine, Row, Session } from '../engine.ts';
import { claimOf, claimRows, claimsOf, ended, type Queue, renewClaims } from '../jobs/claims.ts';
import { int, text } from '../row.ts';
import { bytes, chunks, integer, marks, padded, Raw, tuples } from '../statements.ts';
import { fixCounts } from './findings.ts';

/** `file_to_queue.type` of a check. */
export const fsckType = 1;
/**
 * Bits of `flags`: the findings are in the log already; devices are asked whatever the run of the
 * moment asks for. The second is 0 in rows of the original, whose checks go by the run.
 */
const reportedFlag = 1;
const asksFlag = 2;
const reasonBytesMax = 200;

const checks: Queue = { table: 'file_to_queue', which: `type = ${fsckType} AND ` };

export function claimChecks(
  engine: Engine,
  request: { limit: number; seconds: number },
): Promise<FsckRow[]> {
  return claimRows(engine, checks, {
    ...request,
    columns: 'flags, ',
    reset: ', devid = NULL',
    made: (row, claim) => ({
      ...claim,
      reported: (int(row, 'flags') & reportedFlag) !== 0,
      asksDevices: (int(row, 'flags') & asksFlag) !== 0,
    }),
  });
}

export function renewChecks(
  engine: Engine,
  rows: readonly FsckRow[],
  seconds: number,
): Promise<void> {
  return renewClaims(engine, checks, rows, seconds);
}

/**
 * Primary key; a row that is there says from now on what this one says, but one that is to ask
 * devices does so still.
 */
export async function enqueueWaits(
  session: Session,
  dialect: Dialect,
  waits: readonly FsckWait[],
): Promise<void> {
  const columns = ['nexttry', 'failcount', 'flags', 'devid', 'arg'];
  for (const part of chunks(waits)) {
    const asking = await askingRows(session, dialect, part);
    const rows = part.map((wait) => [
      wait.fid,
      fsckType,
      new Raw(`${dialect.now} + ${integer(wait.delaySeconds)}`),
      Math.min(wait.failcount ?? 0, 255),
      flagsOf({ ...wait, asksDevices: wait.asksDevices || asking.has(wait.fid) }),
      wait.devid ?? null,
      wait.reason === undefined ? null : reasonBytes(wait.reason),
    ]);
    await session.runLiteral(
      `INSERT INTO file_to_queue (fid, type, ${columns.join(', ')}) VALUES ${tuples(rows)}
       ${dialect.overwrite('fid, type', columns)}`,
    );
  }
}

/** Those of the files that have a row which is to ask devices, as far as that is not said anew. */
async function askingRows(
  session: Session,
  dialect: Dialect,
  waits: readonly FsckWait[],
): Promise<Set<number>> {
  const fids = waits.filter(({ asksDevices }) => !asksDevices).map(({ fid }) => fid);
  if (fids.length === 0) return new Set();
  const list = padded(fids);
  // Primary key.
  const rows = await session.rows(
    `SELECT fid FROM file_to_queue WHERE type = ${fsckType} AND fid IN ${marks(list.length)}
     AND (flags & ${asksFlag}) <> 0${dialect.forUpdate}`,
    list,
  );
  return new Set(rows.map((row) => int(row, 'fid')));
}

function flagsOf(row: Pick<FsckWait, 'reported' | 'asksDevices'>): number {
  return (row.reported ? reportedFlag : 0) | (row.asksDevices ? asksFlag : 0);
}

/** Printable text of a bounded length, whatever a node said. */
function reasonBytes(reason: string): Buffer {
  return bytes(reason.replace(/[^\x20-\x7e]/g, '?').slice(0, reasonBytesMax));
}

export function settleRows(
  engine: Engine,
  request: {
    rows: readonly FsckRow[];
    miscounted: readonly number[];
    waits: readonly FsckWait[];
  },
): Promise<void> {
  const rows = request.rows.map(ended);
  return engine.transaction(async (session) => {
    await fixCounts(engine, session, request.miscounted);
    await endRows(session, rows);
    await enqueueWaits(session, engine.dialect, request.waits);
  });
}

/** Rows that were enqueued again since they were claimed stay. Primary key. */
async function endRows(session: Session, rows: readonly FsckRow[]): Promise<void> {
  for (const { sql, values } of claimsOf(rows)) {
    await session.run(`DELETE FROM file_to_queue WHERE type = ${fsckType} AND ${sql}`, values);
  }
}

/** Puts a claimed row off, unless it was enqueued again since. */
export async function putOffRow(engine: Engine, row: FsckRow, wait: FsckWait): Promise<void> {
  const last = ended(row);
  await engine.transaction((session) => deferRow(engine, session, last, wait));
}

async function deferRow(
  engine: Engine,
  session: Session,
  row: FsckRow,
  wait: FsckWait,
): Promise<void> {
  const same = claimOf(row);
  await session.run(
    `UPDATE file_to_queue SET nexttry = ${engine.dialect.now} + ?, failcount = ?, flags = ?,
     devid = ?, arg = ? WHERE type = ${fsckType} AND ${same.sql}`,
    [
      wait.delaySeconds,
      Math.min(wait.failcount ?? row.failcount, 255),
      flagsOf({ reported: wait.reported ?? row.reported, asksDevices: row.asksDevices }),
      wait.devid ?? null,
      wait.reason === undefined ? null : reasonBytes(wait.reason),
      ...same.values,
    ],
  );
}

/** Ends or defers the row of a repair, inside its transaction. */
export function closeRow(
  engine: Engine,
  session: Session,
  row: FsckRow,
  wait: FsckWait | undefined,
): Promise<void> {
  if (wait === undefined) return endRows(session, [row]);
  return deferRow(engine, session, row, wait);
}

/** Whether a row still is as its claim left it. Primary key. */
export async function isClaimed(engine: Engine, session: Session, row: FsckRow): Promise<boolean> {
  const { sql, values } = claimOf(row);
  const rows = await session.rows(
    `SELECT fid FROM file_to_queue WHERE type = ${fsckType} AND ${sql}${engine.dialect.forUpdate}`,
    values,
  );
  return rows.length > 0;
}

/** Index type_nexttry. */
export async function awaitedDevices(engine: Engine): Promise<number[]> {
  const rows = await engine.rows(
    `SELECT DISTINCT devid FROM file_to_queue
     WHERE type = ${fsckType} AND nexttry > ${engine.dialect.now} AND devid IS NOT NULL`,
  );
  return rows.map((row) => int(row, 'devid'));
}

/** Index type_nexttry; reads all that wait: for people, not for loops. */
export async function waitingFor(engine: Engine, devid: number): Promise<number> {
  const [row] = await engine.rows(
    `SELECT COUNT(*) AS waiting FROM file_to_queue WHERE type = ${fsckType} AND devid = ?`,
    [devid],
  );
  return int(row as Row, 'waiting');
}

/** Index type_nexttry; reads all that wait: for people, not for loops. */
export async function waitReasons(
  engine: Engine,
  limit: number,
): Promise<{ reason: string; count: number }[]> {
  const reason = engine.dialect.bytes('arg');
  const rows = await engine.rows(
    `SELECT ${reason} AS reason, COUNT(*) AS waiting FROM file_to_queue
     WHERE type = ${fsckType} AND failcount > 0 AND devid IS NOT NULL AND arg IS NOT NULL
     GROUP BY arg ORDER BY waiting DESC LIMIT ${integer(limit)}`,
  );
  return rows.map((row) => ({ reason: text(row, 'reason'), count: int(row, 'waiting') }));
}

/** Index type_nexttry. A claimed row names no device. */
export async function hastenRows(engine: Engine, devids: readonly number[]): Promise<void> {
  const { now } = engine.dialect;
  for (const part of chunks(devids)) {
    const list = padded(part);
    await engine.run(
      `UPDATE file_to_queue SET nexttry = ${now}
       WHERE type = ${fsckType} AND nexttry > ${now} AND devid IN ${marks(list.length)}`,
      list,
    );
  }
}

/** Index type_nexttry. */
export async function countDue(engine: Engine, max: number): Promise<number> {
  const [row] = await engine.rows(
    `SELECT COUNT(*) AS due FROM (SELECT fid FROM file_to_queue WHERE type = ${fsckType}
     AND nexttry <= ${engine.dialect.now} LIMIT ${integer(max)}) d`,
  );
  return int(row as Row, 'due');
}

/** Index type_nexttry; one statement, because rows move between the counts. */
export async function countQueue(engine: Engine, dueMax: number): Promise<FsckQueue> {
  const { now } = engine.dialect;
  const [row] = await engine.rows(
    `SELECT COUNT(*) AS later, COUNT(devid) AS devices, (SELECT COUNT(*) FROM (
       SELECT fid FROM file_to_queue WHERE type = ${fsckType} AND nexttry <= ${now}
       LIMIT ${integer(dueMax)}) d) AS due
     FROM file_to_queue WHERE type = ${fsckType} AND nexttry > ${now}`,
  );
  const counts = row as Row;
  const waiting = int(counts, 'devices');
  return { due: int(counts, 'due'), waiting, inWork: int(counts, 'later') - waiting };
}
