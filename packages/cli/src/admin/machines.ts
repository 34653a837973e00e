/** `omgfs admin host` and `omgfs admin device`. */
import type { DeviceInfo, DeviceStatus, HostChange, HostInfo, HostStatus } from '@omgfs/client';
import { Argument, type Command, Option } from 'commander';
import { deviceId, ipv4, numberAbove, portNumber } from '../numbers.ts';
import { formatBytes } from '../output.ts';
import type { WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

const hostStatuses = ['alive', 'down', 'dead', 'readonly'];
const deviceStatuses = [...hostStatuses, 'drain'];
const mebibyte = 1024 * 1024;

export function addMachineCommands(admin: Command, withAdmin: WithAdmin): void {
  addHosts(admin.command('host').description('storage nodes'), withAdmin);
  const device = admin.command('device').description('disks of storage nodes');
  addDeviceLists(device, withAdmin);
  addDeviceChanges(device, withAdmin);
}

type HostFlags = Omit<HostChange, 'name'>;

function addHosts(host: Command, withAdmin: WithAdmin): void {
  const columns = {
    HOST: (one: HostInfo) => one.name,
    ID: (one: HostInfo) => one.hostid,
    STATUS: (one: HostInfo) => one.status,
    ADDRESS: (one: HostInfo) => `${one.ip}:${one.port}`,
    'READ PORT': (one: HostInfo) => one.getport,
    ALTERNATE: (one: HostInfo) => one.altip && `${one.altip} for ${one.altmask ?? 'nobody'}`,
  };
  host
    .command('list')
    .description('list hosts')
    .action(
      withAdmin(async ({ admin, json }) => {
        printTable(await admin.hosts(), { json, columns, empty: 'There are no hosts.' });
      }),
    );
  const withFlags = (one: Command) =>
    one
      .option('--ip <address>', 'address, IPv4', ipv4)
      .option('--port <n>', 'HTTP port', portNumber)
      .option('--getport <n>', 'HTTP port for reads, when it is another one', numberAbove(-1))
      .option('--altip <address>', 'alternate address')
      .option('--altmask <network>', 'whose clients get the alternate address')
      .addOption(new Option('--status <status>').choices(hostStatuses));
  withFlags(host.command('add <name>'))
    .description('add a storage node; alive on port 7500 unless told otherwise')
    .addHelpText('after', '\nExample:\n  omgfs admin host add store4 --ip 10.0.0.4\n')
    .action(
      withAdmin(async ({ admin, json }, name: string, flags: HostFlags) => {
        const fields = { port: 7500, status: 'alive' as HostStatus, ip: '', ...flags };
        const hostid = await admin.createHost({ name, ...fields });
        printDone(`Host ${name} is there; add its devices next.`, { hostid, host: name }, { json });
      }),
    );
  withFlags(host.command('modify <name>'))
    .description('change a host; what is not named stays')
    .action(
      withAdmin(async ({ admin, json }, name: string, flags: HostFlags) => {
        await admin.updateHost({ name, ...flags });
        printDone(`Host ${name} is changed.`, { host: name }, { json });
      }),
    );
  host
    .command('mark <name>')
    .addArgument(new Argument('<status>').choices(hostStatuses))
    .description('set the status of a host')
    .action(
      withAdmin(async ({ admin, json }, name: string, status: HostStatus) => {
        await admin.updateHost({ name, status });
        printDone(`Host ${name} is marked ${status}.`, { host: name, status }, { json });
      }),
    );
  host
    .command('delete <name>')
    .description('delete a host that never had a device')
    .action(
      withAdmin(async ({ admin, json }, name: string) => {
        await admin.deleteHost(name);
        printDone(`Host ${name} is gone.`, { host: name }, { json });
      }),
    );
}

function addDeviceLists(device: Command, withAdmin: WithAdmin): void {
  const columns = {
    DEVICE: (one: DeviceInfo) => `dev${one.devid}`,
    HOST: (one: DeviceInfo) => one.host,
    STATUS: (one: DeviceInfo) => one.status,
    SEEN: (one: DeviceInfo) => one.observed,
    WEIGHT: (one: DeviceInfo) => one.weight,
    USED: (one: DeviceInfo) => space(one.mbUsed),
    TOTAL: (one: DeviceInfo) => space(one.mbTotal),
    'USED%': (one: DeviceInfo) => percentUsed(one),
    'BUSY%': (one: DeviceInfo) => one.utilization,
  };
  device
    .command('list')
    .description('list devices')
    .addOption(new Option('-s, --status <status>', 'only those marked so').choices(deviceStatuses))
    .action(
      withAdmin(async ({ admin, json }, { status }: { status?: string }) => {
        const all = await admin.devices();
        const devices = all.filter((one) => status === undefined || one.status === status);
        printTable(devices, { json, columns, empty: 'There are no such devices.' });
      }),
    );
  device
    .command('summary')
    .description('space by host')
    .action(
      withAdmin(async ({ admin, json }) => {
        printTable(summaries(await admin.devices()), {
          json,
          columns: {
            HOST: (one) => one.host,
            DEVICES: (one) => one.devices,
            WRITEABLE: (one) => one.writeable,
            USED: (one) => space(one.mbUsed),
            TOTAL: (one) => space(one.mbTotal),
            'USED%': percentUsed,
          },
        });
      }),
    );
}

function addDeviceChanges(device: Command, withAdmin: WithAdmin): void {
  device
    .command('add <host>')
    .argument('<device>', 'its number, as in the directory devN', deviceId)
    .addOption(new Option('--status <status>').choices(deviceStatuses))
    .description('add a device to a host')
    .addHelpText('after', '\nExample:\n  omgfs admin device add store4 dev12\n')
    .action(
      withAdmin(
        async ({ admin, json }, host: string, devid: number, flags: { status?: DeviceStatus }) => {
          await admin.createDevice({ devid, host, ...flags });
          printDone(`Device dev${devid} of ${host} is there.`, { devid, host }, { json });
        },
      ),
    );
  device
    .command('mark')
    .argument('<device>', 'for example dev3', deviceId)
    .addArgument(new Argument('<status>').choices(deviceStatuses))
    .description('set the status of a device')
    .action(
      withAdmin(async ({ admin, json }, devid: number, status: DeviceStatus) => {
        await admin.setDeviceStatus({ devid, status });
        printDone(`Device dev${devid} is marked ${status}.`, { devid, status }, { json });
      }),
    );
  device
    .command('weight')
    .argument('<device>', 'for example dev3', deviceId)
    .argument('<weight>', '100 is the ordinary one, 0 takes no new files', numberAbove(-1))
    .description('set the share of new files a device gets')
    .action(
      withAdmin(async ({ admin, json }, devid: number, weight: number) => {
        await admin.setDeviceWeight({ devid, weight });
        printDone(`Device dev${devid} has weight ${weight}.`, { devid, weight }, { json });
      }),
    );
  device
    .command('next')
    .description('the next free device number')
    .action(
      withAdmin(async ({ admin, json }) => {
        const devid = Math.max(0, ...(await admin.devices()).map((one) => one.devid)) + 1;
        printDone(String(devid), { devid }, { json });
      }),
    );
}

interface Summary {
  host: string;
  devices: number;
  writeable: number;
  mbUsed: number;
  mbTotal: number;
}

function summaries(devices: readonly DeviceInfo[]): Summary[] {
  const byHost = new Map<string, Summary>();
  for (const { host, status, observed, mbUsed, mbTotal } of devices) {
    if (status === 'dead') continue;
    const one = byHost.get(host) ?? { host, devices: 0, writeable: 0, mbUsed: 0, mbTotal: 0 };
    one.devices += 1;
    one.writeable += observed === 'writeable' ? 1 : 0;
    one.mbUsed += mbUsed ?? 0;
    one.mbTotal += mbTotal ?? 0;
    byHost.set(host, one);
  }
  return [...byHost.values()];
}

function space(mebibytes: number | null): string | null {
  return mebibytes === null ? null : formatBytes(mebibytes * mebibyte);
}

function percentUsed(one: { mbUsed: number | null; mbTotal: number | null }): string | null {
  const { mbUsed, mbTotal } = one;
  if (mbUsed === null || mbTotal === null || mbTotal === 0) return null;
  return ((100 * mbUsed) / mbTotal).toFixed(1);
}
