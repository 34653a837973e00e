/** The statements of copies that may be left; a table of ours that MogileFS never notices. */
import type { Stray, StrayStore } from '../../stray-store.ts';
import type { Engine, Session } from '../engine.ts';
import { int } from '../row.ts';
import { chunks, integer, padded, Raw, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const creation = `CREATE TABLE IF NOT EXISTS omg_stray (
  fid BIGINT NOT NULL, devid BIGINT NOT NULL, nexttry BIGINT NOT NULL, PRIMARY KEY (fid, devid))`;

export function createStrayStore(engine: Engine): StrayStore {
  const table = new OwnTable(engine, creation);
  const { now, keepRow, forUpdate } = engine.dialect;
  const postpone = async (session: Session, strays: readonly Stray[], seconds: number) => {
    for (const part of chunks(strays)) {
      const list = padded(part.map(({ fid, devid }) => [fid, devid]));
      // Primary key.
      const which = list.map(() => '(fid = ? AND devid = ?)').join(' OR ');
      const later = `nexttry = ${now} + ${integer(seconds)}`;
      await session.run(`UPDATE omg_stray SET ${later} WHERE ${which}`, list.flat());
    }
  };
  return {
    add: async (strays) => {
      const values = tuples(strays.map(({ fid, devid }) => [fid, devid, new Raw(now)]));
      await table.write(() =>
        engine.runLiteral(
          `INSERT INTO omg_stray (fid, devid, nexttry) VALUES ${values}${keepRow('fid')}`,
        ),
      );
    },
    claim: (limit, seconds) =>
      table.read([], () =>
        engine.transaction(async (session) => {
          // Reads the whole table: only what failed at the end of a copy is in it.
          const rows = await session.rows(
            `SELECT fid, devid FROM omg_stray WHERE nexttry <= ${now}
             ORDER BY nexttry, fid LIMIT ${integer(limit)}${forUpdate}`,
          );
          const strays = rows.map((row) => ({ fid: int(row, 'fid'), devid: int(row, 'devid') }));
          await postpone(session, strays, seconds);
          return strays;
        }),
      ),
    postpone: (strays, delaySeconds) => postpone(engine, strays, delaySeconds),
    remove: async ({ fid, devid }) => {
      await engine.run('DELETE FROM omg_stray WHERE fid = ? AND devid = ?', [fid, devid]);
    },
  };
}
