/** The rows of `server_settings` that steer a fsck and tell of it, read and written in batches. */
import type { FsckLimits } from '../../fsck-store.ts';
import type { Dialect, Engine, Session } from '../engine.ts';
import { int, text } from '../row.ts';
import { bytes, marks } from '../statements.ts';

/** Rows the original has too (spec §3.5). */
export const field = {
  host: 'fsck_host',
  policyOnly: 'fsck_opt_policy_only',
  position: 'fsck_highest_fid_checked',
  end: 'fsck_fid_at_end',
  startFid: 'fsck_start_fid',
  checked: 'fsck_fids_checked',
  startTime: 'fsck_start_time',
  stopTime: 'fsck_stop_time',
  logidStart: 'fsck_start_maxlogid',
  logidFolded: 'fsck_logid_processed',
  checksums: 'fsck_checksum',
  skipDevcount: 'skip_devcount',
  rate: 'queue_rate_for_fsck',
  queueMax: 'queue_size_for_fsck',
  rebalanceHost: 'rebal_host',
  /** Rows of ours. */
  lease: 'omg_fsck_lease',
  limits: 'omg_fsck_limits',
  pace: 'omg_fsck_pace',
  /** Always there, so that a locking read finds it and the clock comes with it. */
  schema: 'schema_version',
} as const;

const allFields = Object.values(field);
export const countPrefix = 'fsck_sum_evcount_';

export class Settings {
  readonly now: number;
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: ReadonlyMap<string, string>, now: number) {
    this.#values = values;
    this.now = now;
  }

  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** 0 for what is missing or no plain number. */
  number(name: string): number {
    const value = this.#values.get(name) ?? '';
    const number = /^\d{1,16}$/.test(value) ? Number(value) : 0;
    return Number.isSafeInteger(number) ? number : 0;
  }
}

/**
 * Primary key. With the lock, those who change the state of fsck take turns: first at the row of
 * the schema version, which is always there. One statement would not do: it may have passed the
 * place of a row that is inserted while it waits for another.
 */
export async function readSettings(
  session: Session,
  dialect: Dialect,
  options: { lock: boolean },
): Promise<Settings> {
  if (options.lock) {
    const sql = `SELECT field FROM server_settings WHERE field = ?${dialect.forUpdate}`;
    await session.rows(sql, [bytes(field.schema)]);
  }
  const rows = await session.rows(
    `SELECT ${dialect.bytes('field')} AS field, ${dialect.bytes('value')} AS value,
     ${dialect.now} AS now FROM server_settings WHERE field IN ${marks(allFields.length)}
     ORDER BY field${options.lock ? dialect.forUpdate : ''}`,
    allFields.map(bytes),
  );
  const now = rows[0] === undefined ? 0 : int(rows[0], 'now');
  return new Settings(new Map(rows.map((row) => [text(row, 'field'), text(row, 'value')])), now);
}

/** Writes rows; undefined removes one. */
export async function writeSettings(
  session: Session,
  dialect: Dialect,
  values: Readonly<Record<string, string | number | undefined>>,
): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) {
      await session.run('DELETE FROM server_settings WHERE field = ?', [bytes(name)]);
    } else {
      await session.run(
        `INSERT INTO server_settings (field, value) VALUES (?, ?)
         ${dialect.overwrite('field', ['value'])}`,
        [bytes(name), bytes(String(value))],
      );
    }
  }
}

/** Who drives a run, until when, and the `fsck_host` of that run. */
export interface Lease {
  expires: number;
  owner: string;
  host: string;
}

export function leaseOf(settings: Settings): Lease | undefined {
  const match = /^(\d+) (\S+) (.+)$/s.exec(settings.text(field.lease) ?? '');
  if (match === null) return undefined;
  return { expires: Number(match[1]), owner: match[2] ?? '', host: match[3] ?? '' };
}

export function leaseText({ expires, owner, host }: Lease): string {
  return `${expires} ${owner} ${host}`;
}

/** A tracker of the original that resets a run leaves our row; the tag then no longer fits. */
function tagOf(settings: Settings): string {
  return `${settings.number(field.end)}.${settings.number(field.logidStart)}`;
}

export function limitsOf(settings: Settings): FsckLimits {
  const stored = settings.text(field.limits);
  if (stored === undefined) return {};
  const [tag, dmid, classid, prefix] = stored.split(' ');
  if (tag !== tagOf(settings)) return {};
  return {
    ...(dmid ? { dmid: Number(dmid) } : {}),
    ...(classid ? { classid: Number(classid) } : {}),
    ...(prefix ? { prefix: Buffer.from(prefix, 'hex').toString('latin1') } : {}),
  };
}

/** The row that keeps limits, beside these values of the other rows; undefined for no limits. */
export function limitsText(
  limits: FsckLimits,
  run: { end: number; logidStart: number },
): string | undefined {
  const { dmid, classid, prefix } = limits;
  if (dmid === undefined) return undefined;
  const key = bytes(prefix ?? '').toString('hex');
  return `${run.end}.${run.logidStart} ${dmid} ${classid ?? ''} ${key}`;
}

/** Reads outside of a transaction. */
export function currentSettings(engine: Engine): Promise<Settings> {
  return readSettings(engine, engine.dialect, { lock: false });
}
