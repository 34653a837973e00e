/**
 * Claims on the rows of all queues (spec §3.6): made by pushing `nexttry` ahead under the lock name
 * that trackers of the original use and under row locks, which are what really guards them; renewed
 * while the work lasts, and compared with when it is over.
 */
import type { Claim } from '../../claim.ts';
import type { Engine, Row, SqlValue } from '../engine.ts';
import { int } from '../row.ts';
import { chunks, integer, marks, padded } from '../statements.ts';

export interface Queue {
  table: 'file_to_replicate' | 'file_to_delete2' | 'file_to_queue';
  /** Which rows of it, and an AND; without the type the original pushes others back too. */
  which: string;
}

const claimWaitMs = 30_000;
/** The last of those that renewals without an answer may have written. */
const claimsMax = 4;

/** What all queues say of a row: how it waited until it was claimed. */
interface ClaimedRow extends Claim {
  nexttry: number;
  failcount: number;
}

/** Claims due rows, the one with the smallest `nexttry` first. Index nexttry, or type_nexttry. */
export async function claimRows<Made extends Claim>(
  engine: Engine,
  { table, which }: Queue,
  request: {
    /** Those of this queue alone, and a comma. */
    columns?: string;
    /** Further columns that the claim sets. */
    reset?: string;
    limit: number;
    seconds: number;
    made: (row: Row, claimed: ClaimedRow) => Made;
  },
): Promise<Made[]> {
  const { columns = '', reset = '', limit, seconds, made } = request;
  const { now, forUpdate } = engine.dialect;
  const claimed = await engine.withLock({ name: `mfsd:${table}`, waitMs: claimWaitMs }, () =>
    engine.transaction(
      async (session) => {
        // Locks the rows it returns.
        const rows = await session.rows(
          `SELECT ${columns}fid, nexttry, failcount, ${now} + ${integer(seconds)} AS until
           FROM ${table} WHERE ${which}nexttry <= ${now}
           ORDER BY nexttry LIMIT ${integer(limit)}${forUpdate}`,
        );
        for (const part of chunks(rows)) {
          const fids = padded(part.map((row) => int(row, 'fid')));
          // Primary key.
          await session.run(
            `UPDATE ${table} SET nexttry = ?${reset} WHERE ${which}fid IN ${marks(fids.length)}`,
            [int(part[0] as Row, 'until'), ...fids],
          );
        }
        return rows;
      },
      // Claims that nobody knows of would have to run out.
      async (session, [first]) => {
        if (first === undefined) return true;
        const claim = `SELECT fid FROM ${table} WHERE ${which}fid = ? AND nexttry = ?`;
        return (await session.rows(claim, [int(first, 'fid'), int(first, 'until')])).length > 0;
      },
    ),
  );
  return (claimed ?? []).map((row) => {
    const [nexttry, failcount] = [int(row, 'nexttry'), int(row, 'failcount')];
    return made(row, { fid: int(row, 'fid'), claims: [int(row, 'until')], nexttry, failcount });
  });
}

/** Begins those claims anew that still hold, and notes it in the rows. Primary key. */
export async function renewClaims(
  engine: Engine,
  { table, which }: Queue,
  rows: readonly Claim[],
  seconds: number,
): Promise<void> {
  const held = rows.filter(({ claims }) => claims.length > 0);
  if (held.length === 0) return;
  const { now, forUpdate } = engine.dialect;
  const [clock] = await engine.rows(`SELECT ${now} + ${integer(seconds)} AS until`);
  const until = int(clock as Row, 'until');
  const before = claimsOf(held);
  // What a row is worked on for may end it while the next statement is on its way.
  for (const row of held) {
    if (row.claims.length > 0) row.claims = [...row.claims, until].slice(-claimsMax);
  }
  const renewed = new Set<number>();
  for (const { sql, values } of before) {
    // Looked at first: afterwards a claim that another made in this second reads the same.
    const mine = await engine.transaction(async (session) => {
      const select = `SELECT fid FROM ${table} WHERE ${which}${sql}${forUpdate}`;
      const fids = (await session.rows(select, values)).map((row) => int(row, 'fid'));
      if (fids.length > 0) {
        const list = padded(fids);
        const update = `UPDATE ${table} SET nexttry = ? WHERE ${which}fid IN ${marks(list.length)}`;
        await session.run(update, [until, ...list]);
      }
      return fids;
    });
    for (const fid of mine) renewed.add(fid);
  }
  for (const row of held) {
    // What has ended meanwhile stays so.
    if (row.claims.length > 0) row.claims = renewed.has(row.fid) ? [until] : [];
  }
}

/**
 * The claim as it is to be compared with at the end of the work; from here on it is not renewed, so
 * that the comparison does not miss it. When what follows fails, the row's claim runs out.
 */
export function ended<Row extends Claim>(row: Row): Row {
  const last = { ...row };
  row.claims = [];
  return last;
}

interface Condition {
  sql: string;
  values: SqlValue[];
}

/** For rows that still are as their claims left them, each for as many as a statement carries. */
export function claimsOf(rows: readonly Claim[]): Condition[] {
  const pairs = rows.flatMap(({ fid, claims }) => claims.map((claim) => [fid, claim] as const));
  return chunks(pairs).map((part) => {
    const list = padded(part);
    // So that the primary key finds them, and never the index of `nexttry`.
    const sql = `(${list.map(() => '(fid = ? AND nexttry + 0 = ?)').join(' OR ')})`;
    return { sql, values: list.flat() };
  });
}

/** The same for one row; none when the claim was lost. */
export function claimOf(row: Claim): Condition {
  return claimsOf([row])[0] ?? { sql: '0 = 1', values: [] };
}
