/** The statements of copies that may be left; a table of ours that MogileFS never notices. */
import type { StrayStore } from '../../stray-store.ts';
import type { Engine } from '../engine.ts';
import { int } from '../row.ts';
import { integer, Raw, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const creation = `CREATE TABLE IF NOT EXISTS omg_stray (
  fid BIGINT NOT NULL, devid BIGINT NOT NULL, nexttry BIGINT NOT NULL, PRIMARY KEY (fid, devid))`;

export function createStrayStore(engine: Engine): StrayStore {
  const table = new OwnTable(engine, creation);
  const { now, keepRow } = engine.dialect;
  return {
    add: async (strays) => {
      const values = tuples(strays.map(({ fid, devid }) => [fid, devid, new Raw(now)]));
      await table.write(() =>
        engine.runLiteral(
          `INSERT INTO omg_stray (fid, devid, nexttry) VALUES ${values}${keepRow('fid')}`,
        ),
      );
    },
    due: (limit) =>
      table.read([], async () => {
        // Reads the whole table: only what failed at the end of an upload is in it.
        const rows = await engine.rows(
          `SELECT fid, devid FROM omg_stray WHERE nexttry <= ${now}
           ORDER BY nexttry, fid LIMIT ${integer(limit)}`,
        );
        return rows.map((row) => ({ fid: int(row, 'fid'), devid: int(row, 'devid') }));
      }),
    postpone: async ({ fid, devid }, delaySeconds) => {
      const later = `nexttry = ${now} + ${integer(delaySeconds)}`;
      await engine.run(`UPDATE omg_stray SET ${later} WHERE fid = ? AND devid = ?`, [fid, devid]);
    },
    remove: async ({ fid, devid }) => {
      await engine.run('DELETE FROM omg_stray WHERE fid = ? AND devid = ?', [fid, devid]);
    },
  };
}
