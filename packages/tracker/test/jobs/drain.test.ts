/**
 * Goal: a drained device ends up empty or says what blocks it; evening out spreads files over
 * devices; no file is ever below its copies (I2).
 * Method: commands and jobs on a real database and real storage nodes.
 */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { stepDrains } from '../../src/jobs/rebalance/drain.ts';
import { DeviceSlots } from '../../src/jobs/replication/device-slots.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';
import { type Call, commandsOf, rebalanced, statusOf } from './rebalance-run.ts';

async function uploadSome(cluster: TestCluster, count: number, on: number[]): Promise<number[]> {
  const numbers = Array.from({ length: count }, (_, number) => number);
  return Promise.all(
    numbers.map((number) => {
      const file = { bytes: 'x'.repeat(2048), on, key: `${on}/${number}`, replicate: false };
      return cluster.upload(file);
    }),
  );
}

describe.each(engines)('emptying and evening out on %s', (engine) => {
  test('a drained device is emptied, says so, and can be called back', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const call = commandsOf(cluster);
    const fids = await uploadSome(cluster, 4, [1, 2]);
    expect(await call('drain_device', { device: '1' })).toEqual({ devices: '1' });
    await until('the device is empty', async () => {
      return (await call('drain_status', { device: '1' })).dev1_safe === 1;
    });
    expect(await call('drain_status')).toMatchObject({
      devices: 1,
      dev1_devid: 1,
      dev1_host: 'host1',
      dev1_replicas_at_start: 4,
      dev1_replicas: 0,
      dev1_moves_queued: 0,
      dev1_eta_seconds: 0,
      dev1_message: 'empty; it is safe to mark it dead and pull it',
    });
    for (const fid of fids) expect(await cluster.replicas(fid)).toEqual([2, 3]);
    // An upload that ends late is moved too.
    const [late = 0] = await uploadSome(cluster, 1, [1, 3]);
    await until('it has moved', async () => !(await cluster.replicas(late)).includes(1));
    expect(await cluster.replicas(late)).toEqual([2, 3]);
    expect(await call('drain_stop', { device: '1' })).toEqual({ devices: '1' });
    expect(await statusOf(cluster, 1)).toBe('alive');
    expect(await call('drain_status')).toEqual({ devices: 0 });
  });

  test('an empty device is not safe before every tracker knows that it is drained', async () => {
    const cluster = await startCluster({ engine, hosts: 1, start: false });
    const patient = commandsOf(cluster, { settleSeconds: 3600 });
    const explained = async (call: Call) => {
      return Object.values(await call('explain', { devid: '1' })).join('\n');
    };
    const drainFirst = /Nothing depends on it now, but it .+: drain it before it is pulled\.$/;
    expect(await explained(commandsOf(cluster))).toMatch(drainFirst);
    await patient('drain_device', { device: '1' });
    expect(await explained(patient)).toContain('it can be pulled in a few seconds, when every');
    expect(await explained(commandsOf(cluster))).toContain('on it: it can be pulled.');
    expect(await patient('drain_status')).toMatchObject({
      dev1_replicas: 0,
      dev1_safe: 0,
      dev1_message: expect.stringMatching(/^empty; safe in a few seconds/),
    });
    expect(await commandsOf(cluster)('drain_status')).toMatchObject({ dev1_safe: 1 });
    // Another tracker may not know yet that it is not drained any more, whatever keeps files off.
    await cluster.store.setDeviceStatus({ devid: 1, status: 'alive' });
    cluster.topology.observeHost(cluster.topology.device(1)?.hostid ?? 0, 'unreachable');
    expect(await explained(commandsOf(cluster))).toMatch(drainFirst);
    expect(await commandsOf(cluster)('drain_status')).toMatchObject({
      dev1_safe: 0,
      dev1_message: 'its state was changed; it is not drained any more',
    });
    const unknown = patient('drain_status', { host: 'nowhere' });
    await expect(unknown).rejects.toMatchObject({ code: 'UNKNOWN_HOST' });
  });

  test('I5: files that can go nowhere else stay, with the reason, until they can', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const call = commandsOf(cluster);
    const [fid = 0] = await uploadSome(cluster, 1, [1, 2]);
    await call('evacuate_host', { host: 'host1' });
    const blocked = await until('it says what blocks', async () => {
      const status = await call('drain_status', { host: 'host1' });
      return Number(status.dev1_waiting_count) > 0 && status;
    });
    expect(blocked).toMatchObject({
      dev1_safe: 0,
      dev1_waiting_1_reason: 'policy_no_suggestions',
      dev1_waiting_1_fid: fid,
    });
    expect(blocked.dev1_message).toMatch(/^1 replicas are left; 1 wait: the policy/);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    // Called off, nothing is to be moved any more, whatever comes.
    await call('drain_stop', { host: 'host1' });
    expect((await cluster.store.rebalance.counts()).queued).toBe(0);
    await call('evacuate_host', { host: 'host1' });
    await cluster.addHost(3);
    await cluster.jobs.monitor.refresh();
    await cluster.store.rebalance.hasten();
    cluster.jobs.wakeRebalance();
    await until('the device is empty', async () => {
      return (await call('drain_status')).dev1_safe === 1;
    });
    expect(await cluster.replicas(fid)).toEqual([2, 3]);
  });

  test('two copies never end up on one host because the other one is emptied', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const call = commandsOf(cluster);
    const { hostid } = cluster.topology.device(2) ?? { hostid: 0 };
    await cluster.store.createDevice({ devid: 12, hostid, status: 'alive' });
    await cluster.jobs.monitor.refresh();
    cluster.topology.observeDevice(12, { state: 'writeable' });
    const [fid = 0] = await uploadSome(cluster, 1, [1, 2]);
    await call('drain_device', { device: '1' });
    cluster.topology.observeDevice(12, { state: 'writeable' });
    await cluster.logged('move.postponed', { fid });
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('evening out by files fills a new host to within the tolerance', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const call = commandsOf(cluster);
    const fids = await uploadSome(cluster, 30, [1, 2]);
    await cluster.addHost(3);
    await cluster.jobs.monitor.refresh();
    for (const devid of [1, 2, 3]) {
      cluster.topology.observeUsage(devid, { mbTotal: 1, mbUsed: 0 });
    }
    await call('rebalance_even', { tolerance: '0.5', by: 'files' });
    await rebalanced(cluster);
    const held = await cluster.store.rebalance.bytesByDevice();
    const percents = [1, 2, 3].map((devid) => (100 * (held.get(devid) ?? 0)) / 2 ** 20);
    expect(Math.max(...percents) - Math.min(...percents)).toBeLessThanOrEqual(1);
    for (const fid of fids) expect(await cluster.replicas(fid)).toHaveLength(2);
    const { message } = await call('rebalance_status', { details: '1' });
    expect(message).toMatch(/^even: /);
    for (const devid of [1, 2, 3]) expect(await statusOf(cluster, devid)).toBe('alive');
  });

  test('evening out by usage ends when nothing more can be moved, and says so', async () => {
    const settings = { usageSettleSeconds: 0 };
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const call = commandsOf(cluster);
    await uploadSome(cluster, 3, [1, 2]);
    cluster.topology.observeUsage(1, { mbTotal: 100, mbUsed: 90 });
    cluster.topology.observeUsage(2, { mbTotal: 100, mbUsed: 50 });
    cluster.topology.observeUsage(3, { mbTotal: 100, mbUsed: 10 });
    await call('rebalance_even', {});
    await rebalanced(cluster);
    expect(await cluster.store.rebalance.countOn(1, 10)).toBe(0);
    expect(await cluster.store.rebalance.countOn(3, 10)).toBe(3);
    const { message } = await call('rebalance_status', { details: '1' });
    expect(message).toMatch(/^not even: 40.0 points from the mean at most, and no further/);
  });

  test('refusals change nothing', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    const call = commandsOf(cluster);
    await cluster.store.createDevice({ devid: 9, hostid: 1, status: 'dead' });
    // What classes asked for is noted by the healer whenever it first looks.
    const settings = async () =>
      (await cluster.store.listSettings()).filter(({ field }) => !field.startsWith('omg_class_'));
    const before = await settings();
    for (const [command, args, code] of [
      ['drain_device', {}, 'BAD_PARAMS'],
      ['drain_device', { device: '-1' }, 'BAD_PARAMS'],
      ['drain_device', { device: '77' }, 'NO_DEVICE'],
      ['drain_device', { device: '9' }, 'BAD_PARAMS'],
      ['evacuate_host', {}, 'BAD_PARAMS'],
      ['evacuate_host', { host: 'nowhere' }, 'UNKNOWN_HOST'],
      ['rebalance_even', { tolerance: '-1' }, 'BAD_REBAL_POL'],
      ['rebalance_even', { tolerance: '1e9' }, 'BAD_REBAL_POL'],
      ['rebalance_even', { by: 'luck' }, 'BAD_REBAL_POL'],
      ['rebalance_set_policy', { policy: 'from_devices=77' }, 'BAD_REBAL_POL'],
      ['rebalance_set_policy', { policy: 'to_hosts=77' }, 'BAD_REBAL_POL'],
      ['rebalance_start', {}, 'NO_REBAL_POLICY'],
      ['rebalance_test', {}, 'NO_REBAL_POLICY'],
      ['rebalance_stop', {}, 'REBAL_NOT_STARTED'],
      ['rebalance_status', {}, 'NO_REBAL_STATE'],
    ] as const) {
      await expect(call(command, args), command).rejects.toMatchObject({ code });
    }
    await call('rebalance_reset');
    expect(await settings()).toEqual(before);
    await call('rebalance_set_policy', { policy: 'from_devices=1' });
    await call('fsck_start');
    await expect(call('rebalance_start')).rejects.toMatchObject({ code: 'FSCK_RUNNING' });
  });
});

test('who drives a drain by what was true a moment ago changes nothing', async () => {
  const cluster = await startCluster({ engine: 'sqlite', hosts: 1, start: false });
  const { store, topology, devices } = cluster;
  const log = pino({ level: 'silent' });
  const slots = new DeviceSlots(topology);
  const services = { store, topology, devices, log, slots, random: Math.random };
  const call = commandsOf(cluster);
  const queued = async () => (await store.rebalance.counts()).queued;
  await call('drain_device', { device: '1' });
  await uploadSome(cluster, 1, [1]);
  const whileDrained = await store.rebalance.records();
  await stepDrains(services, whileDrained);
  expect(await queued()).toBe(1);
  // Another state ends it, and with it the moves; drained once more it begins anew.
  await store.setDeviceStatus({ devid: 1, status: 'alive' });
  const whileAlive = await store.rebalance.records();
  await stepDrains(services, whileAlive);
  expect(await queued()).toBe(0);
  await call('drain_device', { device: '1' });
  await store.setDeviceStatus({ devid: 1, status: 'alive' });
  await call('drain_device', { device: '1' });
  expect(await statusOf(cluster, 1)).toBe('drain');
  await stepDrains(services, whileAlive);
  expect(await call('drain_status')).toMatchObject({ devices: 1 });
  // Called off, nothing is moved for those who have not heard of it.
  const again = await store.rebalance.records();
  await call('drain_stop', { device: '1' });
  await stepDrains(services, again);
  expect(await queued()).toBe(0);
});
