/**
 * Goal: the tracker's picture of the cluster is right, soon, and for each part by itself.
 * Method: a real database and real storage nodes that stop, start and get the wrong disk.
 */
import { rename } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { dsnOf, startMariaDb } from '../../../../test/helpers/mariadb.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { createDeviceClient } from '../../src/devices/device-client.ts';
import { Monitor } from '../../src/jobs/monitor/monitor.ts';
import { DeviceSlots } from '../../src/jobs/replication/device-slots.ts';
import { openStore, parseDsn } from '../../src/store/open-store.ts';
import { Topology } from '../../src/topology/topology.ts';
import { startTcpNode, startTestNode } from '../devices/http-node.ts';
import { engines, neverMs, startCluster, type TestCluster } from './cluster.ts';

function states({ topology }: TestCluster): Record<string, string> {
  return Object.fromEntries(
    [...topology.devices()].map(({ devid, hostid }) => [
      `dev${devid}`,
      `${topology.observedHost(hostid)} ${topology.observedDevice(devid).state}`,
    ]),
  );
}

const fine = 'reachable writeable';

describe.each(engines)('monitor on %s', (engine) => {
  test('is ready without any host', async () => {
    const cluster = await startCluster({ engine, hosts: 0 });
    expect(states(cluster)).toEqual({});
  });

  test('sees devices, and the database learns their usage', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    expect(states(cluster)).toEqual({ dev1: fine, dev2: fine });
    expect(cluster.topology.getsNewFiles(1)).toBe(true);
    expect(cluster.topology.observedDevice(1).rejectBadMd5).toBe(true);
    const { devices } = await until('usage is in the database', async () => {
      const rows = await cluster.store.loadTopology();
      return rows.devices.every(({ mbAsof }) => mbAsof !== null) && rows;
    });
    expect(devices[0]?.mbTotal).toBeGreaterThan(0);
  });

  test('a host that dies is unreachable, the others are not, and it comes back', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    await cluster.node(2).stop();
    await cluster.jobs.monitor.refresh();
    const dead = 'unreachable unreachable';
    expect(states(cluster)).toEqual({ dev1: fine, dev2: dead, dev3: fine });
    await cluster.node(2).start();
    await cluster.jobs.monitor.refresh();
    expect(states(cluster)).toEqual({ dev1: fine, dev2: fine, dev3: fine });
    const changes = cluster.lines.filter(({ event }) => event === 'host.state');
    expect(changes.map(({ hostname, state }) => `${hostname} ${state}`).slice(3)).toEqual([
      'host2 unreachable',
      'host2 reachable',
    ]);
  });

  test('hosts that hang do not hold the sweep up', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    const base = await startTcpNode(() => {}, '127.0.0.9');
    const devids = Array.from({ length: 50 }, (_, index) => 10 + index);
    await cluster.addStrangeHost({ base, devids });
    const seen = states(cluster);
    expect(seen.dev1).toBe(fine);
    expect(seen.dev10).toBe('unreachable unreachable');
    expect(seen.dev59).toBe('unreachable unreachable');
  });

  test('a disk that hangs does not make its host unreachable', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    const hangs = (request: IncomingMessage) => request.url?.startsWith('/dev10/') || undefined;
    const node = await startTestNode(hangs, '127.0.0.9');
    node.files.set('/dev11/usage', Buffer.from('total: 2048\nused: 1024\n'));
    await cluster.addStrangeHost({ base: node.base, devids: [10, 11] });
    expect(states(cluster)).toMatchObject({ dev10: 'reachable unreachable', dev11: fine });
  });

  test('a device without its disk is unreachable, its host is not (I6)', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const { docroot } = cluster.node(2);
    await rename(join(docroot, 'dev2'), join(docroot, 'away'));
    await until('the node refuses the device', async () => {
      await cluster.jobs.monitor.refresh();
      return cluster.topology.observedDevice(2).state === 'unreachable';
    });
    expect(states(cluster)).toEqual({ dev1: fine, dev2: 'reachable unreachable' });
    await cluster.jobs.monitor.refresh();
    const lines = cluster.lines.filter(({ event, devid, state }) => {
      return event === 'device.state' && devid === 2 && state === 'unreachable';
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.reason).toEqual(expect.stringContaining('usage file answered'));
  });

  test('what is read-only by status is readable and not written to', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    await cluster.store.setDeviceStatus({ devid: 1, status: 'readonly' });
    const hostid = cluster.topology.device(2)!.hostid;
    await cluster.store.updateHost({ hostid, status: 'readonly' });
    await cluster.jobs.monitor.refresh();
    const readable = 'reachable readable';
    expect(states(cluster)).toEqual({ dev1: readable, dev2: readable });
  });

  test('a refresh shows what was written before it, to each of many callers', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const setting = { field: `slave_test${index}`, value: 'here' };
        await cluster.store.setSetting(setting);
        await cluster.jobs.monitor.refresh();
        expect(cluster.topology.setting(setting.field)).toBe('here');
      }),
    );
  });
});

test('a database that is down is tried again until it answers', async () => {
  const server = await startMariaDb();
  onTestFinished(() => server.stop());
  const dsn = parseDsn(dsnOf(server, await server.createDatabase()), server);
  const lines: { event: string }[] = [];
  const log = pino({ messageKey: 'event' }, { write: (line) => lines.push(JSON.parse(line)) });
  const store = await openStore(dsn, { createSchema: true, mindevcountDefault: 2, log });
  onTestFinished(() => store.close());
  await server.kill();
  const devices = createDeviceClient({
    nodeTimeoutMs: 500,
    connTimeoutMs: 500,
    connectionsPerHost: 1,
  });
  onTestFinished(() => devices.close());
  const topology = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 0 });
  const monitor = new Monitor(
    { store, topology, devices, log, random: Math.random, slots: new DeviceSlots(topology) },
    { topologyEveryMs: neverMs, sweepEveryMs: 20, writeTestEveryMs: 0, usageEverySeconds: 0 },
  );
  monitor.start();
  onTestFinished(() => monitor.stop());
  const failed = () => lines.filter(({ event }) => event === 'job.failed');
  await until('it failed several times', () => monitor.status().failed >= 3);
  expect(failed()).toHaveLength(1);
  await server.restart();
  await monitor.firstRun;
  expect(lines.map(({ event }) => event)).toContain('job.recovered');
});
