/** The statements of the rates of jobs; a table of ours that MogileFS never notices. */
import type { RateStore } from '../../rate-store.ts';
import type { Engine } from '../engine.ts';
import { int, text } from '../row.ts';
import { bytes, Raw, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const trackerBytes = 128;
const creation = `CREATE TABLE IF NOT EXISTS omg_job_rate (
  tracker VARBINARY(${trackerBytes}) NOT NULL, job VARBINARY(16) NOT NULL,
  utime BIGINT NOT NULL, per_hour BIGINT NOT NULL, PRIMARY KEY (tracker, job))`;

/** A tracker that says nothing for so long does nothing, or is gone. */
const freshSeconds = 60;
/** Rows of trackers that are gone stay so long. */
const keptSeconds = 3600;

export function createRateStore(engine: Engine): RateStore {
  const table = new OwnTable(engine, creation);
  const { now, overwrite } = engine.dialect;
  return {
    write: async (tracker, rates) => {
      if (rates.size === 0) return;
      const name = bytes(tracker).subarray(0, trackerBytes);
      const rows = [...rates].map(([job, perSecond]) => {
        return [name, bytes(job), new Raw(now), Math.round(perSecond * 3600)];
      });
      await table.write(async () => {
        await engine.runLiteral(
          `INSERT INTO omg_job_rate (tracker, job, utime, per_hour) VALUES ${tuples(rows)}
           ${overwrite('tracker, job', ['utime', 'per_hour'])}`,
        );
        // A few rows a tracker.
        await engine.run(`DELETE FROM omg_job_rate WHERE utime < ${now} - ${keptSeconds}`);
      });
    },
    total: () =>
      table.read(new Map<string, number>(), async () => {
        const rows = await engine.rows(
          `SELECT job, SUM(per_hour) AS per_hour FROM omg_job_rate
           WHERE utime >= ${now} - ${freshSeconds} GROUP BY job`,
        );
        return new Map(rows.map((row) => [text(row, 'job'), int(row, 'per_hour') / 3600]));
      }),
  };
}
