/** Moves that wait: rows of `file_to_queue` with type 2 (spec §3.6). */
import {
  type ClaimedMove,
  type MoveCounts,
  type MoveReason,
  type MoveRow,
  moveReasons,
} from '../../rebalance-store.ts';
import type { Dialect, Engine, Session } from '../engine.ts';
import { claimOf, claimRows, ended, type Queue, renewClaims } from '../jobs/claims.ts';
import { int, intOrNull, text } from '../row.ts';
import { bytes, chunks, marks, padded, Raw, tuples } from '../statements.ts';

/** `file_to_queue.type` of a move. */
const moveType = 2;
/** In `flags`, instead of a reason: whoever claimed the row did not get to its end. */
const inWork = 255;
const moves: Queue = { table: 'file_to_queue', which: `type = ${moveType} AND ` };

/** A fid that is queued keeps its row: it may be in work. Primary key. */
export async function enqueueMoves(
  session: Session,
  dialect: Dialect,
  added: readonly MoveRow[],
): Promise<void> {
  for (const part of chunks(added)) {
    const rows = part.map(({ fid, devid, targets }) => {
      return [fid, devid, moveType, new Raw(dialect.now), bytes(targets.join(','))];
    });
    await session.runLiteral(
      `INSERT INTO file_to_queue (fid, devid, type, nexttry, arg) VALUES ${tuples(rows)}
       ${dialect.keepRow('fid')}`,
    );
  }
}

/** Index type_nexttry; the queue is bounded. */
export async function dropMoves(session: Session, devids: readonly number[]): Promise<void> {
  if (devids.length === 0) return;
  const list = padded(devids);
  await session.run(
    `DELETE FROM file_to_queue WHERE type = ${moveType} AND devid IN ${marks(list.length)}`,
    list,
  );
}

export function claimMoves(
  engine: Engine,
  request: { limit: number; seconds: number },
): Promise<ClaimedMove[]> {
  return claimRows(engine, moves, {
    ...request,
    columns: `devid, flags, ${engine.dialect.bytes('arg')} AS arg, `,
    reset: `, flags = ${inWork}`,
    made: (row, claim) => ({
      ...claim,
      devid: intOrNull(row, 'devid') ?? 0,
      brokeOff: [inWork, moveReasons.error].includes(int(row, 'flags')),
      targets: text(row, 'arg')
        .split(',')
        .filter((one) => /^\d{1,9}$/.test(one))
        .map(Number),
    }),
  });
}

export function renewMoves(
  engine: Engine,
  rows: readonly ClaimedMove[],
  seconds: number,
): Promise<void> {
  return renewClaims(engine, moves, rows, seconds);
}

/** Primary key. A row that somebody else claimed since stays. */
export async function finishMove(engine: Engine, move: ClaimedMove): Promise<void> {
  const { sql, values } = claimOf(ended(move));
  await engine.run(`DELETE FROM file_to_queue WHERE type = ${moveType} AND ${sql}`, values);
}

/** Primary key. */
export async function putOffMove(
  engine: Engine,
  move: ClaimedMove,
  wait: { delaySeconds: number; failcount: number; reason: MoveReason },
): Promise<void> {
  const { sql, values } = claimOf(ended(move));
  await engine.run(
    `UPDATE file_to_queue SET nexttry = ${engine.dialect.now} + ?, failcount = ?, flags = ?
     WHERE type = ${moveType} AND ${sql}`,
    [wait.delaySeconds, Math.min(wait.failcount, 255), moveReasons[wait.reason], ...values],
  );
}

/** Index type_nexttry. A row in work has no reason. */
export async function hastenMoves(engine: Engine): Promise<void> {
  const { now } = engine.dialect;
  await engine.run(
    `UPDATE file_to_queue SET nexttry = ${now}
     WHERE type = ${moveType} AND nexttry > ${now} AND flags NOT IN (0, ${inWork})`,
  );
}

/** Index type_nexttry; the queue is bounded by `queue_size_for_rebal`. */
export async function countMoves(engine: Engine, devid?: number): Promise<MoveCounts> {
  const rows = await engine.rows(
    `SELECT flags, COUNT(*) AS moves, MIN(nexttry) AS nexttry, MIN(fid) AS fid FROM file_to_queue
     WHERE type = ${moveType}${devid === undefined ? '' : ' AND devid = ?'} GROUP BY flags`,
    devid === undefined ? [] : [devid],
  );
  const names = Object.keys(moveReasons) as MoveReason[];
  return {
    queued: rows.reduce((sum, row) => sum + int(row, 'moves'), 0),
    waiting: rows.flatMap((row) => {
      const reason = names.find((name) => moveReasons[name] === int(row, 'flags'));
      if (reason === undefined) return [];
      const count = int(row, 'moves');
      return [{ reason, count, nexttry: int(row, 'nexttry'), fid: int(row, 'fid') }];
    }),
  };
}
