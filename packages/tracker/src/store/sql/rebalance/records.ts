/** The rows that steer a rebalance, the lease of its driver, and the one way to change them. */
import { deviceStatuses } from '../../../placement/model.ts';
import {
  type RebalanceChange,
  type RebalanceRecords,
  rebalanceField,
} from '../../rebalance-store.ts';
import type { Dialect, Engine, Session } from '../engine.ts';
import { writeSettings } from '../fsck/settings.ts';
import { int, text } from '../row.ts';
import { bytes, marks } from '../statements.ts';
import { dropMoves, enqueueMoves } from './queue.ts';

/** The row of the schema version is always there: with the lock, all who change these wait. */
const fields = [...Object.values(rebalanceField), 'schema_version'];

/** Primary keys. */
export async function readRecords(
  session: Session,
  dialect: Dialect,
  options: { lock: boolean },
): Promise<RebalanceRecords> {
  const rows = await session.rows(
    `SELECT ${dialect.bytes('field')} AS field, ${dialect.bytes('value')} AS value,
     ${dialect.now} AS now FROM server_settings WHERE field IN ${marks(fields.length)}
     ORDER BY field${options.lock ? dialect.forUpdate : ''}`,
    fields.map(bytes),
  );
  const devices = await session.rows(
    `SELECT devid, ${dialect.bytes('status')} AS status FROM device`,
  );
  const statuses = devices.flatMap((row) => {
    const status = deviceStatuses.find((one) => one === text(row, 'status'));
    return status === undefined ? [] : [[int(row, 'devid'), status] as const];
  });
  return {
    now: rows[0] === undefined ? 0 : int(rows[0], 'now'),
    settings: new Map(rows.map((row) => [text(row, 'field'), text(row, 'value')])),
    statuses: new Map(statuses),
  };
}

export function applyChange(engine: Engine, change: RebalanceChange): Promise<boolean> {
  const { dialect } = engine;
  return engine.transaction(
    async (session) => {
      const { settings } = await readRecords(session, dialect, { lock: true });
      const expected = Object.entries(change.expect);
      if (expected.some(([field, value]) => settings.get(field) !== value)) return false;
      for (const { devid, from, to } of change.statuses ?? []) {
        await session.run('UPDATE device SET status = ? WHERE devid = ? AND status = ?', [
          bytes(to),
          devid,
          bytes(from),
        ]);
      }
      await enqueueMoves(session, dialect, change.moves ?? []);
      await dropMoves(session, change.dropped ?? []);
      await writeSettings(session, dialect, change.settings ?? {});
      return true;
    },
    async (session) => {
      // Every change writes something that tells it from what was there before.
      const { settings } = await readRecords(session, dialect, { lock: true });
      const written = Object.entries(change.settings ?? {});
      return written.every(([field, value]) => settings.get(field) === value);
    },
  );
}

export function takeLease(
  engine: Engine,
  { owner, seconds }: { owner: string; seconds: number },
): Promise<boolean> {
  return engine.transaction(async (session) => {
    const { now, settings } = await readRecords(session, engine.dialect, { lock: true });
    const [expires, holder] = (settings.get(rebalanceField.lease) ?? '').split(' ');
    if (holder !== undefined && holder !== owner && Number(expires) > now) return false;
    await writeSettings(session, engine.dialect, {
      [rebalanceField.lease]: `${now + seconds} ${owner}`,
    });
    return true;
  });
}

export async function giveLease(engine: Engine, owner: string): Promise<void> {
  await engine.transaction(async (session) => {
    const { settings } = await readRecords(session, engine.dialect, { lock: true });
    if (settings.get(rebalanceField.lease)?.endsWith(` ${owner}`) !== true) return;
    await writeSettings(session, engine.dialect, { [rebalanceField.lease]: undefined });
  });
}
