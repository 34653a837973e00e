/** Spec §4.2–4.4: which host and device may be used for what, and by which address. */
import { describe, expect, test } from 'vitest';
import {
  type Device,
  type DeviceStatus,
  deviceStatuses,
  type Host,
  type HostStatus,
  hostStatuses,
} from '../../src/placement/model.ts';
import { Topology } from '../../src/topology/topology.ts';

const host: Host = {
  hostid: 1,
  hostname: 'a',
  status: 'alive',
  hostip: '10.0.0.1',
  httpPort: 7500,
  httpGetPort: null,
  altip: null,
  altmask: null,
};
const device: Device = {
  devid: 7,
  hostid: 1,
  status: 'alive',
  weight: 100,
  mbTotal: 1000,
  mbUsed: 100,
  mbAsof: null,
};

function cluster(change: { host?: Partial<Host>; device?: Partial<Device> } = {}): Topology {
  const topology = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 100 });
  topology.replace({
    domains: [{ dmid: 1, name: 'd' }],
    classes: [
      { dmid: 1, classid: 3, name: 'c', mindevcount: 3, hashtype: null, replpolicy: null },
      { dmid: 9, classid: 1, name: 'stray', mindevcount: 1, hashtype: null, replpolicy: null },
    ],
    hosts: [{ ...host, ...change.host }],
    devices: [{ ...device, ...change.device }],
    settings: [],
  });
  topology.observeHost(1, 'reachable');
  topology.observeDevice(7, { state: 'writeable' });
  return topology;
}

describe('what states allow', () => {
  const readable = new Set(['alive', 'readonly', 'drain']);
  const cases = hostStatuses.flatMap((hostStatus) =>
    deviceStatuses.map((status): [HostStatus, DeviceStatus] => [hostStatus, status]),
  );

  test.each(cases)('host %s, device %s', (hostStatus, status) => {
    const topology = cluster({ host: { status: hostStatus }, device: { status } });
    const hostReads = hostStatus === 'alive' || hostStatus === 'readonly';
    expect(topology.isReadable(7)).toBe(hostReads && readable.has(status));
    expect(topology.canDeleteFrom(7)).toBe(
      hostStatus === 'alive' && (status === 'alive' || status === 'drain'),
    );
    expect(topology.getsNewFiles(7)).toBe(hostStatus === 'alive' && status === 'alive');
  });

  test.each([
    ['writeable', true, true],
    ['readable', true, false],
    ['unreachable', false, false],
    ['unknown', false, false],
  ] as const)('observed %s', (state, reads, takes) => {
    const topology = cluster();
    topology.observeDevice(7, { state });
    expect(topology.isReadable(7)).toBe(reads);
    expect(topology.getsNewFiles(7)).toBe(takes);
  });

  test('an unreachable host makes its devices unusable', () => {
    const topology = cluster();
    topology.observeHost(1, 'unreachable');
    expect(topology.isReadable(7)).toBe(false);
    expect(topology.getsNewFiles(7)).toBe(false);
  });

  test('a device below the reserve takes no new files; unknown usage does not forbid them', () => {
    expect(cluster({ device: { mbUsed: 901 } }).getsNewFiles(7)).toBe(false);
    expect(cluster({ device: { mbUsed: 900 } }).getsNewFiles(7)).toBe(true);
    expect(cluster({ device: { mbUsed: null } }).getsNewFiles(7)).toBe(true);
  });

  test('a usage figure that was observed survives a reading of older rows', () => {
    const topology = cluster({ device: { mbTotal: null, mbUsed: null } });
    topology.observeUsage(7, { mbTotal: 500, mbUsed: 50 });
    topology.replace({
      domains: [],
      classes: [],
      hosts: [host],
      devices: [{ ...device, mbTotal: null, mbUsed: null }],
      settings: [],
    });
    expect(topology.device(7)).toMatchObject({ mbTotal: 500, mbUsed: 50 });
  });

  test('devices that nobody knows are neither read nor written', () => {
    const topology = cluster();
    expect(topology.isReadable(99)).toBe(false);
    expect(topology.canDeleteFrom(99)).toBe(false);
    expect(topology.readUrl({ devid: 99, fid: 1 })).toBeUndefined();
  });
});

describe('addresses', () => {
  const place = { devid: 7, fid: 5 };
  const path = '/dev7/0/000/000/0000000005.fid';

  test('reads go to the port for reads, writes to the other', () => {
    const topology = cluster({ host: { httpGetPort: 7600 } });
    expect(topology.readUrl(place)).toBe(`http://10.0.0.1:7600${path}`);
    expect(topology.writeUrl(place)).toBe(`http://10.0.0.1:7500${path}`);
  });

  test.each([
    ['192.168.3.4', undefined, '192.168.0.1'],
    ['10.0.0.9', undefined, '10.0.0.1'],
    ['10.0.0.9', 'alt', '192.168.0.1'],
    ['10.0.0.9', 'other', '10.0.0.1'],
    [undefined, undefined, '10.0.0.1'],
  ])('client %s in zone %s is sent to %s', (address, zone, ip) => {
    const topology = cluster({ host: { altip: '192.168.0.1', altmask: '192.168.0.0/16' } });
    expect(topology.readUrl(place, { address, zone })).toBe(`http://${ip}:7500${path}`);
  });

  test('without a usable netmask the alternate address is never used', () => {
    const topology = cluster({ host: { altip: '192.168.0.1', altmask: 'nonsense' } });
    expect(topology.readUrl(place, { zone: 'alt' })).toBe(`http://10.0.0.1:7500${path}`);
  });
});

describe('domains and classes', () => {
  test('the default class is always there', () => {
    const classes = cluster().domain('d')?.classes;
    expect([...(classes?.keys() ?? [])]).toEqual(['default', 'c']);
    expect(classes?.get('default')).toMatchObject({ classid: 0, mindevcount: 2 });
  });

  test('a class or domain that is gone counts as default', () => {
    expect(cluster().classOf(1, 200)).toMatchObject({ name: 'default', mindevcount: 2 });
    expect(cluster().classOf(44, 1)).toMatchObject({ name: 'default' });
  });
});

test('listeners hear of new rows and of changed states, and of nothing else', () => {
  const topology = cluster();
  let heard = 0;
  const stop = topology.onChange(() => {
    heard += 1;
  });
  topology.observeDevice(7, { state: 'writeable' });
  topology.observeDevice(7, { utilization: '3.5' });
  topology.observeHost(1, 'reachable');
  expect(heard).toBe(0);
  topology.observeDevice(7, { state: 'readable' });
  topology.observeHost(1, 'unreachable');
  expect(heard).toBe(2);
  stop();
  topology.observeHost(1, 'reachable');
  expect(heard).toBe(2);
});

test('a utilisation given for a test hides what is observed', () => {
  const fakeUtilization = new Map([[1, '95']]);
  const topology = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 0, fakeUtilization });
  for (const devid of [1, 2]) topology.observeDevice(devid, { utilization: '5' });
  expect(topology.observedDevice(1).utilization).toBe('95');
  expect(topology.observedDevice(2).utilization).toBe('5');
});
