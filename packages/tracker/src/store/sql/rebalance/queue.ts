/** Moves that wait: rows of `file_to_queue` with type 2 (spec §3.6). */
import {
  type ClaimedMove,
  type MoveCounts,
  type MoveReason,
  type MoveRow,
  moveReasons,
} from '../../rebalance-store.ts';
import type { Dialect, Engine, Row, Session } from '../engine.ts';
import { int, intOrNull, text } from '../row.ts';
import { bytes, chunks, integer, marks, padded, Raw, tuples } from '../statements.ts';

/** `file_to_queue.type` of a move. */
const moveType = 2;
const claimWaitMs = 30_000;

/** A fid that is queued keeps its row: it may be in work. Primary key. */
export async function enqueueMoves(
  session: Session,
  dialect: Dialect,
  moves: readonly MoveRow[],
): Promise<void> {
  for (const part of chunks(moves)) {
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

/** A shorter lease than that of other queues, renewed while the move lasts. */
export async function claimMoves(
  engine: Engine,
  { limit, seconds }: { limit: number; seconds: number },
): Promise<ClaimedMove[]> {
  const { now, forUpdate } = engine.dialect;
  const arg = engine.dialect.bytes('arg');
  const claimed = await engine.withLock({ name: 'mfsd:file_to_queue', waitMs: claimWaitMs }, () =>
    engine.transaction(async (session) => {
      // Index type_nexttry; locks the rows it returns.
      const rows = await session.rows(
        `SELECT fid, devid, failcount, ${arg} AS arg, ${now} + ${integer(seconds)} AS until
         FROM file_to_queue WHERE type = ${moveType} AND nexttry <= ${now}
         ORDER BY nexttry LIMIT ${integer(limit)}${forUpdate}`,
      );
      for (const part of chunks(rows)) {
        const list = padded(part.map((row) => int(row, 'fid')));
        // Primary key. The type matters: the original pushes the fid's other row back too.
        await session.run(
          `UPDATE file_to_queue SET nexttry = ?, flags = 0
           WHERE fid IN ${marks(list.length)} AND type = ${moveType}`,
          [int(part[0] as Row, 'until'), ...list],
        );
      }
      return rows;
    }),
  );
  return (claimed ?? []).map((row) => ({
    fid: int(row, 'fid'),
    devid: intOrNull(row, 'devid') ?? 0,
    targets: text(row, 'arg')
      .split(',')
      .filter((one) => /^\d{1,9}$/.test(one))
      .map(Number),
    failcount: int(row, 'failcount'),
    claim: int(row, 'until'),
  }));
}

/** Primary key. */
export function renewMove(
  engine: Engine,
  { fid, claim }: ClaimedMove,
  seconds: number,
): Promise<number | undefined> {
  return engine.transaction(async (session) => {
    const [row] = await session.rows(
      `SELECT nexttry, ${engine.dialect.now} + ${integer(seconds)} AS until FROM file_to_queue
       WHERE fid = ? AND type = ${moveType}${engine.dialect.forUpdate}`,
      [fid],
    );
    if (row === undefined || int(row, 'nexttry') !== claim) return undefined;
    const until = int(row, 'until');
    await session.run(`UPDATE file_to_queue SET nexttry = ? WHERE fid = ? AND type = ${moveType}`, [
      until,
      fid,
    ]);
    return until;
  });
}

/** Primary key. A row that somebody else claimed since stays. */
export async function finishMove(engine: Engine, { fid, claim }: ClaimedMove): Promise<void> {
  const sql = `DELETE FROM file_to_queue WHERE fid = ? AND type = ${moveType} AND nexttry = ?`;
  await engine.run(sql, [fid, claim]);
}

/** Primary key. */
export async function putOffMove(
  engine: Engine,
  { fid, claim }: ClaimedMove,
  wait: { delaySeconds: number; failcount: number; reason: MoveReason },
): Promise<void> {
  await engine.run(
    `UPDATE file_to_queue SET nexttry = ${engine.dialect.now} + ?, failcount = ?, flags = ?
     WHERE fid = ? AND type = ${moveType} AND nexttry = ?`,
    [wait.delaySeconds, Math.min(wait.failcount, 255), moveReasons[wait.reason], fid, claim],
  );
}

/** Index type_nexttry. A row in work has no reason. */
export async function hastenMoves(engine: Engine): Promise<void> {
  const { now } = engine.dialect;
  await engine.run(
    `UPDATE file_to_queue SET nexttry = ${now}
     WHERE type = ${moveType} AND nexttry > ${now} AND flags > 0`,
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
