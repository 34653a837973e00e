/** Hosts and devices. Small tables, read whole by every tracker every few seconds. */
import { OmgfsError } from '@omgfs/protocol';
import {
  type Device,
  type DeviceStatus,
  deviceStatuses,
  type Host,
  hostStatuses,
} from '../../placement/model.ts';
import type { DeviceUsage, HostFields } from '../store.ts';
import type { Engine, Session, SqlValue } from './engine.ts';
import { nextId, updateRow, withNextId } from './namespace.ts';
import { int, intOrNull, text, textOrNull } from './row.ts';
import { bytes } from './statements.ts';

const httpPortDefault = 7500;
const weightDefault = 100;

/** A status this version does not know counts as down: no reads and no writes go there. */
export async function loadHosts(engine: Engine): Promise<Host[]> {
  const columns = ['status', 'hostname', 'hostip', 'altip', 'altmask'];
  const asBytes = columns.map((column) => `${engine.dialect.bytes(column)} AS ${column}`);
  const rows = await engine.rows(
    `SELECT hostid, http_port, http_get_port, ${asBytes.join(', ')} FROM host`,
  );
  return rows.map((row) => ({
    hostid: int(row, 'hostid'),
    hostname: text(row, 'hostname'),
    status: hostStatuses.find((status) => status === text(row, 'status')) ?? 'down',
    hostip: text(row, 'hostip'),
    httpPort: intOrNull(row, 'http_port') ?? httpPortDefault,
    httpGetPort: intOrNull(row, 'http_get_port'),
    altip: textOrNull(row, 'altip'),
    altmask: textOrNull(row, 'altmask'),
  }));
}

export async function loadDevices(engine: Engine): Promise<Device[]> {
  const rows = await engine.rows(
    `SELECT devid, hostid, ${engine.dialect.bytes('status')} AS status, weight,
     mb_total, mb_used, mb_asof FROM device`,
  );
  return rows.map((row) => ({
    devid: int(row, 'devid'),
    hostid: int(row, 'hostid'),
    status: deviceStatuses.find((status) => status === text(row, 'status')) ?? 'down',
    weight: intOrNull(row, 'weight') ?? weightDefault,
    mbTotal: intOrNull(row, 'mb_total'),
    mbUsed: intOrNull(row, 'mb_used'),
    mbAsof: intOrNull(row, 'mb_asof'),
  }));
}

/** One INSERT with all fields, so that a refused host leaves nothing. @returns hostid. */
export function createHost(
  engine: Engine,
  request: { hostname: string; hostip: string; httpPort: number } & HostFields,
): Promise<number> {
  const byName = 'SELECT hostid FROM host WHERE hostname = ?';
  const hostname = bytes(request.hostname);
  const columns = [['hostname', hostname] as const, ...hostColumns({ status: 'down', ...request })];
  const names = columns.map(([column]) => column);
  return withNextId(
    () =>
      engine.transaction(
        async (session) => {
          const hostid = await nextId(session, 'SELECT MAX(hostid) AS id FROM host');
          await session.run(
            `INSERT INTO host (hostid, ${names.join(', ')})
             VALUES (?, ${names.map(() => '?').join(', ')})`,
            [hostid, ...columns.map(([, value]) => value)],
          );
          return hostid;
        },
        async (session, hostid) => {
          const [row] = await session.rows(byName, [hostname]);
          return row !== undefined && int(row, 'hostid') === hostid;
        },
      ),
    async () => {
      const sameName = await engine.rows(byName, [hostname]);
      if (sameName.length > 0) throw new OmgfsError('HOST_EXISTS');
      await refuseTakenAddress(engine, request);
    },
  );
}

async function refuseTakenAddress(
  engine: Engine,
  request: { hostip: string } & HostFields,
): Promise<void> {
  const taken = await engine.rows('SELECT hostid FROM host WHERE hostip = ? OR altip = ?', [
    bytes(request.hostip),
    request.altip == null ? null : bytes(request.altip),
  ]);
  if (taken.length > 0) throw new OmgfsError('DUPLICATE');
}

export async function updateHost(
  engine: Engine,
  request: { hostid: number } & HostFields,
): Promise<void> {
  const { hostid } = request;
  // Setting the id to itself makes an update without fields say whether the host exists.
  const changes: [string, SqlValue][] = [['hostid', hostid], ...hostColumns(request)];
  if (!(await updateRow(engine, { table: 'host', changes, where: { hostid } }))) {
    throw new OmgfsError('HOST_NOT_FOUND');
  }
}

/** Locks the host, so that trackers of ours do not create a device on it meanwhile. */
export function deleteHost(engine: Engine, hostid: number): Promise<void> {
  return engine.transaction(
    async (session) => {
      if (!(await lockHost(engine, session, hostid))) throw new OmgfsError('HOST_NOT_FOUND');
      const sql = 'SELECT devid FROM device WHERE hostid = ? LIMIT 1';
      const devices = await session.rows(sql, [hostid]);
      if (devices.length > 0) throw new OmgfsError('HOST_NOT_EMPTY');
      await session.run('DELETE FROM host WHERE hostid = ?', [hostid]);
    },
    async (session) => !(await lockHost(engine, session, hostid)),
  );
}

async function lockHost(engine: Engine, session: Session, hostid: number): Promise<boolean> {
  const sql = `SELECT hostid FROM host WHERE hostid = ?${engine.dialect.forUpdate}`;
  return (await session.rows(sql, [hostid])).length > 0;
}

export async function createDevice(
  engine: Engine,
  request: { devid: number; hostid: number; status: DeviceStatus },
): Promise<void> {
  const { devid, hostid, status } = request;
  try {
    await engine.transaction(
      async (session) => {
        await lockHost(engine, session, hostid);
        const sql = 'INSERT INTO device (devid, hostid, status) VALUES (?, ?, ?)';
        await session.run(sql, [devid, hostid, bytes(status)]);
      },
      async (session) => {
        const sql = 'SELECT devid FROM device WHERE devid = ? AND hostid = ?';
        return (await session.rows(sql, [devid, hostid])).length > 0;
      },
    );
  } catch (error) {
    if (!(error instanceof OmgfsError) || error.code !== 'DUPLICATE') throw error;
    throw new OmgfsError('EXISTING_DEVID', { cause: error });
  }
}

export async function setDevice(
  engine: Engine,
  request: { devid: number; status?: DeviceStatus; weight?: number },
): Promise<void> {
  const { devid, status, weight } = request;
  const changes: [string, SqlValue][] = [];
  if (status !== undefined) changes.push(['status', bytes(status)]);
  if (weight !== undefined) changes.push(['weight', weight]);
  if (!(await updateRow(engine, { table: 'device', changes, where: { devid } }))) {
    throw new OmgfsError('NO_DEVICE');
  }
}

export function setDeviceUsage(engine: Engine, usage: readonly DeviceUsage[]): Promise<void> {
  return engine.transaction(async (session) => {
    // Always in the same order, so that two trackers do not lock each other out.
    for (const { devid, ...seen } of usage.toSorted((one, two) => one.devid - two.devid)) {
      const changes: [string, SqlValue][] = [
        ['mb_total', seen.mbTotal],
        ['mb_used', seen.mbUsed],
        ['mb_asof', seen.mbAsof],
      ];
      await updateRow(session, { table: 'device', changes, where: { devid } });
    }
  });
}

function hostColumns(fields: HostFields): [string, SqlValue][] {
  const columns: [string, SqlValue | undefined][] = [
    ['status', fields.status && bytes(fields.status)],
    ['hostip', fields.hostip === undefined ? undefined : bytes(fields.hostip)],
    ['http_port', fields.httpPort],
    ['http_get_port', fields.httpGetPort],
    ['altip', bytesOrNull(fields.altip)],
    ['altmask', bytesOrNull(fields.altmask)],
  ];
  return columns.filter((column): column is [string, SqlValue] => column[1] !== undefined);
}

function bytesOrNull(value: string | null | undefined): Buffer | null | undefined {
  return typeof value === 'string' ? bytes(value) : value;
}
