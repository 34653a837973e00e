/**
 * The delete queues of MogileFS before 2.30, `file_to_delete` and `file_to_delete_later`, which an
 * adopted database may still hold. Their rows are moved to `file_to_delete2`, so that one job with
 * one set of rules deletes everything (spec §5.3 drains them by rules of their own).
 */
import { deleteFids } from '../close.ts';
import type { Engine } from '../engine.ts';
import { int } from '../row.ts';
import { chunks, integer, tuples } from '../statements.ts';

/** Moves up to `limit` rows of each queue; twice does no harm. @returns how many were moved. */
export async function moveLegacyDeletions(engine: Engine, limit: number): Promise<number> {
  const { now } = engine.dialect;
  const soon = await move(engine, { table: 'file_to_delete', due: now, limit });
  // Those of later wait in the new queue as long as they would have waited in the old one.
  const later = await move(engine, { table: 'file_to_delete_later', due: 'delafter', limit });
  return soon + later;
}

function move(
  engine: Engine,
  from: { table: 'file_to_delete' | 'file_to_delete_later'; due: string; limit: number },
): Promise<number> {
  const { table, due, limit } = from;
  return engine.transaction(async (session) => {
    // Primary key; locks the rows against other trackers that move or drain them.
    const rows = await session.rows(
      `SELECT fid, ${due} AS due FROM ${table} ORDER BY fid LIMIT ${integer(limit)}` +
        engine.dialect.forUpdate,
    );
    for (const part of chunks(rows)) {
      const queued = part.map((row) => [int(row, 'fid'), int(row, 'due')]);
      await session.runLiteral(
        `INSERT INTO file_to_delete2 (fid, nexttry) VALUES ${tuples(queued)}` +
          engine.dialect.keepEarlierTry,
      );
      const fids = part.map((row) => int(row, 'fid'));
      await deleteFids(session, table, fids);
    }
    return rows.length;
  });
}
