/** The log of findings, the counters made of it, and what is corrected along with a finding. */
import type { FsckEvent, FsckLogRow } from '../../fsck-store.ts';
import type { Engine, Session } from '../engine.ts';
import { int, intOrNull, text, textOrNull } from '../row.ts';
import { bytes, chunks, integer, marks, padded, Raw, tuples } from '../statements.ts';
import { countPrefix, field, readSettings, writeSettings } from './settings.ts';

const foldWaitMs = 10_000;
/**
 * Findings are folded into the counters when they are so old: of two transactions, the one with the
 * lower ids may commit later, and what is folded is never looked at again.
 */
const foldAgeSeconds = 10;
const clearRowsAtOnce = 5_000;

export async function logEvents(
  engine: Engine,
  session: Session,
  events: readonly (FsckEvent & { fid: number })[],
): Promise<void> {
  if (events.length === 0) return;
  const utime = new Raw(engine.dialect.now);
  const rows = events.map(({ fid, code, devid }) => [utime, fid, bytes(code), devid ?? null]);
  await session.runLiteral(
    `INSERT INTO fsck_log (utime, fid, evcode, devid) VALUES ${tuples(rows)}`,
  );
}

/** Corrects and logs the device counts that are wrong; the rows are compared anew. */
export async function fixCounts(
  engine: Engine,
  session: Session,
  fids: readonly number[],
): Promise<void> {
  for (const part of chunks(fids)) {
    const list = padded(part);
    // Primary keys; the lock on the rows of `file` orders this with whoever changes replicas.
    const rows = await session.rows(
      `SELECT f.fid, f.devcount, (SELECT COUNT(*) FROM file_on o WHERE o.fid = f.fid) AS devices
       FROM file f WHERE f.fid IN ${marks(list.length)} ORDER BY f.fid${engine.dialect.forUpdate}`,
      list,
    );
    const wrong = rows.filter((row) => int(row, 'devcount') !== int(row, 'devices'));
    for (const row of wrong) {
      const sql = 'UPDATE file SET devcount = ? WHERE fid = ?';
      await session.run(sql, [Math.min(int(row, 'devices'), 255), int(row, 'fid')]);
    }
    const events = wrong.map((row) => ({ fid: int(row, 'fid'), code: 'BCNT' as const }));
    await logEvents(engine, session, events);
  }
}

/** Primary key. */
export async function readLog(
  engine: Engine,
  request: { after: number; limit: number },
): Promise<FsckLogRow[]> {
  const rows = await engine.rows(
    `SELECT logid, utime, fid, ${engine.dialect.bytes('evcode')} AS evcode, devid
     FROM fsck_log WHERE logid > ? ORDER BY logid LIMIT ${integer(request.limit)}`,
    [request.after],
  );
  return rows.map((row) => ({
    logid: int(row, 'logid'),
    utime: int(row, 'utime'),
    fid: intOrNull(row, 'fid'),
    evcode: textOrNull(row, 'evcode'),
    devid: intOrNull(row, 'devid'),
  }));
}

/**
 * Removes what is there now, after it was counted. The original truncates the table, which makes
 * the ids begin anew, so that later findings are not counted until they pass the old ones.
 */
export async function clearLog(engine: Engine): Promise<void> {
  const top = await logidMax(engine);
  await fold(engine, 0);
  for (;;) {
    const [row] = await engine.rows('SELECT MIN(logid) AS low FROM fsck_log');
    const low = row && intOrNull(row, 'low');
    if (low === null || low === undefined || low > top) return;
    // Primary key; a bounded number of rows.
    const upTo = Math.min(top, low + clearRowsAtOnce - 1);
    await engine.run('DELETE FROM fsck_log WHERE logid <= ?', [upTo]);
  }
}

async function logidMax(session: Session): Promise<number> {
  const [row] = await session.rows('SELECT MAX(logid) AS top FROM fsck_log');
  return (row && intOrNull(row, 'top')) ?? 0;
}

/** Counters of the run: what was folded and what came since. */
export async function countEvents(
  engine: Engine,
): Promise<{ byCode: Map<string, number>; logidMax: number }> {
  const { dialect } = engine;
  await fold(engine, foldAgeSeconds);
  return engine.transaction(async (session) => {
    const { after, top } = await unfolded(engine, session);
    const byCode = await countsBetween(engine, session, { after, upTo: top });
    const name = dialect.bytes('field');
    const rows = await session.rows(
      `SELECT ${name} AS field, ${dialect.bytes('value')} AS value FROM server_settings`,
    );
    for (const row of rows) {
      const one = text(row, 'field');
      if (!one.startsWith(countPrefix)) continue;
      const code = one.slice(countPrefix.length);
      byCode.set(code, (byCode.get(code) ?? 0) + (Number.parseInt(text(row, 'value'), 10) || 0));
    }
    return { byCode, logidMax: top };
  });
}

/** Adds findings of some age to the counters, under the lock of spec §3.7. */
async function fold(engine: Engine, ageSeconds: number): Promise<void> {
  const { dialect } = engine;
  const [row] = await engine.rows(
    `SELECT MAX(logid) AS top FROM fsck_log WHERE utime <= ${dialect.now} - ?`,
    [ageSeconds],
  );
  const upTo = (row && intOrNull(row, 'top')) ?? 0;
  if (upTo === 0) return;
  await engine.withLock({ name: 'mgfs:fscksum', waitMs: foldWaitMs }, () =>
    engine.transaction(
      async (session) => {
        const { after, isNew } = await unfolded(engine, session);
        if (upTo <= after) return;
        const counts = await countsBetween(engine, session, { after, upTo });
        const values: Record<string, number> = {};
        for (const [code, count] of counts) {
          values[countPrefix + code] = count + (await countOf(engine, session, code));
        }
        await writeSettings(session, dialect, {
          ...values,
          [field.logidFolded]: upTo,
          ...(isNew ? { [field.logidStart]: 0 } : {}),
        });
      },
      async (session) => (await unfolded(engine, session)).after >= upTo,
    ),
  );
}

/** Findings above `after` are in no counter yet; `top` is the highest id. Locks the mark. */
async function unfolded(
  engine: Engine,
  session: Session,
): Promise<{ after: number; top: number; isNew: boolean }> {
  const settings = await readSettings(session, engine.dialect, { lock: true });
  const top = await logidMax(session);
  const after = Math.max(settings.number(field.logidFolded), settings.number(field.logidStart));
  // A tracker of the original truncated the table, and the ids began anew.
  const isNew = top < after;
  return { after: isNew ? 0 : after, top, isNew };
}

/** Primary key. */
async function countsBetween(
  engine: Engine,
  session: Session,
  { after, upTo }: { after: number; upTo: number },
): Promise<Map<string, number>> {
  const rows = await session.rows(
    `SELECT ${engine.dialect.bytes('evcode')} AS code, COUNT(*) AS found FROM fsck_log
     WHERE logid > ? AND logid <= ? AND evcode IS NOT NULL GROUP BY evcode`,
    [after, upTo],
  );
  return new Map(rows.map((row) => [text(row, 'code'), int(row, 'found')]));
}

async function countOf(engine: Engine, session: Session, code: string): Promise<number> {
  const value = engine.dialect.bytes('value');
  const [row] = await session.rows(
    `SELECT ${value} AS value FROM server_settings WHERE field = ?`,
    [bytes(countPrefix + code)],
  );
  return row === undefined ? 0 : Number.parseInt(text(row, 'value'), 10) || 0;
}
