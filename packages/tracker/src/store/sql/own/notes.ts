/** The statements of the notes of jobs; a table of ours that MogileFS never notices. */
import type { Note, NotedJob, NoteStore } from '../../note-store.ts';
import type { Engine, Row } from '../engine.ts';
import { int, text } from '../row.ts';
import { chunks, integer, marks, padded, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const codeBytes = 32;
const reasonBytes = 255;
const creation = `CREATE TABLE IF NOT EXISTS omg_job_note (
  fid BIGINT NOT NULL, job VARBINARY(16) NOT NULL, utime BIGINT NOT NULL,
  code VARBINARY(${codeBytes}) NOT NULL, reason VARBINARY(${reasonBytes}) NOT NULL,
  PRIMARY KEY (fid, job))`;

export function createNoteStore(engine: Engine): NoteStore {
  const { overwrite } = engine.dialect;
  const table = new OwnTable(engine, creation);
  return {
    of: (fid) =>
      table.read([], async () => {
        const sql = 'SELECT fid, job, utime, code, reason FROM omg_job_note WHERE fid = ?';
        return (await engine.rows(sql, [fid])).map((row) => {
          return { ...whyOf(row), fid: int(row, 'fid'), utime: int(row, 'utime') };
        });
      }),
    top: (limit) =>
      table.read([], async () => {
        // Reads the whole table, whose size is bounded.
        const rows = await engine.rows(
          `SELECT job, code, reason, COUNT(*) AS notes FROM omg_job_note
           WHERE job <> ? GROUP BY job, code, reason
           ORDER BY notes DESC, reason LIMIT ${integer(limit)}`,
          [bytesOf('scrub')],
        );
        return rows.map((row) => ({ ...whyOf(row), count: int(row, 'notes') }));
      }),
    write: async (notes) => {
      for (const part of chunks(notes)) {
        const rows = tuples(
          part.map(({ fid, job, utime, code, reason }) => {
            return [fid, bytesOf(job, 16), utime, bytesOf(code, codeBytes), bytesOf(reason)];
          }),
        );
        await table.write(() =>
          engine.runLiteral(
            `INSERT INTO omg_job_note (fid, job, utime, code, reason) VALUES ${rows}
             ${overwrite('fid, job', ['utime', 'code', 'reason'])}`,
          ),
        );
      }
    },
    remove: async (job, fids) => {
      await table.read(undefined, async () => {
        for (const part of chunks(fids)) {
          const list = padded(part);
          await engine.run(
            `DELETE FROM omg_job_note WHERE job = ? AND fid IN ${marks(list.length)}`,
            [bytesOf(job), ...list],
          );
        }
      });
    },
    prune: async (max) => {
      await table.read(undefined, async () => {
        const [row] = await engine.rows(
          `SELECT utime FROM omg_job_note ORDER BY utime DESC LIMIT 1 OFFSET ${integer(max)}`,
        );
        if (row === undefined) return;
        await engine.run('DELETE FROM omg_job_note WHERE utime <= ?', [int(row, 'utime')]);
      });
    },
  };
}

function whyOf(row: Row): Pick<Note, 'job' | 'code' | 'reason'> {
  const written = text(row, 'job');
  const job: NotedJob = written === 'delete' || written === 'scrub' ? written : 'replicate';
  return { job, code: text(row, 'code'), reason: text(row, 'reason') };
}

function bytesOf(value: string, max = reasonBytes): Buffer {
  return Buffer.from(value, 'latin1').subarray(0, max);
}
