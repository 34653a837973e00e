/**
 * Goal: a rebalance moves what its policy says and nothing else, never at the cost of a copy (I2),
 * can be stopped, resumed and taken over (I9), and works beside other trackers (I5, I8).
 * Method: commands and jobs on a real database and real storage nodes.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { rebalanceField as field } from '../../src/store/rebalance-store.ts';
import { startTestNode } from '../devices/http-node.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';
import { commandsOf, rebalanced, stateOf, statusOf } from './rebalance-run.ts';

async function uploadSome(
  cluster: TestCluster,
  count: number,
  file: { on: number[]; bytes?: string },
): Promise<number[]> {
  const { on, bytes = 'x'.repeat(2048) } = file;
  const keys = Array.from({ length: count }, (_, number) => `${on}/${number}`);
  return Promise.all(keys.map((key) => cluster.upload({ bytes, on, key, replicate: false })));
}

async function countOn(cluster: TestCluster, devid: number): Promise<number> {
  return cluster.store.rebalance.countOn(devid, 1000);
}

describe.each(engines)('rebalance on %s', (engine) => {
  test('files move off the source, which gets its state back', async () => {
    const cluster = await startCluster({ engine, hosts: 4 });
    const call = commandsOf(cluster);
    const fids = await uploadSome(cluster, 5, { on: [1, 2] });
    await call('rebalance_set_policy', { policy: 'from_devices=1 to_devices=3' });
    expect(await call('rebalance_test')).toEqual({ sdevs: '1', ddevs: '3' });
    const { state } = await call('rebalance_start');
    expect(state).toContain('source_devs=1 ');
    const done = await rebalanced(cluster);
    expect(done).toMatchObject({ completed: [1], sources: [], current: 0, fidsQueued: 5 });
    expect(done.timeFinished).toBeGreaterThan(0);
    expect(done.bytesQueued).toBe(5 * 2048);
    for (const fid of fids) {
      expect(await cluster.replicas(fid)).toEqual([2, 3]);
      expect(await cluster.bytesOn(1, fid)).toBeUndefined();
      expect(await cluster.bytesOn(3, fid)).toHaveLength(2048);
    }
    expect(await statusOf(cluster, 1)).toBe('alive');
    expect(await call('rebalance_status', { details: '1' })).toMatchObject({
      running: 0,
      moves_done: 5,
      moves_remaining_max: 0,
    });
  });

  test('commands that come at once are all carried out', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const call = commandsOf(cluster);
    const policies = Array.from({ length: 8 }, (_, n) => `from_devices=1 limit=${n}`);
    await Promise.all(policies.map((policy) => call('rebalance_set_policy', { policy })));
    expect(policies).toContain(await cluster.store.findSetting(field.policy));
  });

  test('without targets it waits; stopped, the source is as before; it can go on', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const call = commandsOf(cluster);
    const [fid = 0] = await uploadSome(cluster, 1, { on: [1, 2] });
    await cluster.store.setDeviceStatus({ devid: 3, status: 'down' });
    await cluster.jobs.monitor.refresh();
    await call('rebalance_set_policy', { policy: 'from_devices=1 to_devices=3' });
    await call('rebalance_start');
    await cluster.logged('rebalance.waiting');
    expect(await statusOf(cluster, 1)).toBe('drain');
    await cluster.store.rates.write('another tracker, until now', new Map([['rebalance', 10]]));
    expect(await call('rebalance_status', { details: '1' })).toMatchObject({
      message: 'no device may take files now',
      running: 1,
      moves_remaining_max: 1,
      eta_seconds_max: '',
    });
    await expect(call('rebalance_start')).rejects.toMatchObject({ code: 'REBAL_ACTIVE' });
    await expect(call('rebalance_reset')).rejects.toMatchObject({ code: 'REBAL_ACTIVE' });
    await expect(call('fsck_start')).rejects.toMatchObject({ code: 'REBAL_RUNNING' });
    await expect(call('rebalance_set_policy', { policy: '' })).rejects.toMatchObject({
      code: 'NO_SET_REBAL',
    });
    await call('rebalance_stop');
    const stopped = await rebalanced(cluster);
    expect(stopped.timeStopped).toBeGreaterThan(0);
    expect(await statusOf(cluster, 1)).toBe('alive');
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    await cluster.store.setDeviceStatus({ devid: 3, status: 'alive' });
    await cluster.jobs.monitor.refresh();
    await call('rebalance_start');
    await rebalanced(cluster);
    expect(await cluster.replicas(fid)).toEqual([2, 3]);
    expect(await statusOf(cluster, 1)).toBe('alive');
    await call('rebalance_reset');
    await expect(call('rebalance_status')).rejects.toMatchObject({ code: 'NO_REBAL_STATE' });
  });

  test('a source in drain stays so, and leave_in_drain_mode leaves one there', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const call = commandsOf(cluster);
    await cluster.store.setDeviceStatus({ devid: 1, status: 'drain' });
    await cluster.jobs.monitor.refresh();
    const policy = 'from_devices=1,2 leave_in_drain_mode=0';
    await call('rebalance_set_policy', { policy });
    await call('rebalance_start');
    await rebalanced(cluster);
    expect(await statusOf(cluster, 1)).toBe('drain');
    expect(await statusOf(cluster, 2)).toBe('alive');
    await call('rebalance_set_policy', { policy: 'from_devices=2 leave_in_drain_mode=1' });
    await call('rebalance_start');
    await rebalanced(cluster);
    expect(await statusOf(cluster, 2)).toBe('drain');
  });

  test('I2: the source is kept while the other copy cannot be verified', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const call = commandsOf(cluster);
    const [fid = 0] = await uploadSome(cluster, 1, { on: [1, 2], bytes: 'precious' });
    await cluster.damage(2, fid, undefined);
    await call('rebalance_set_policy', { policy: 'from_devices=1' });
    await call('rebalance_start');
    await rebalanced(cluster);
    expect(await cluster.bytesOn(1, fid)).toBe('precious');
    expect(await cluster.replicas(fid)).toEqual([1, 2, 3]);
    const { waiting } = await cluster.store.rebalance.counts();
    expect(waiting).toMatchObject([{ reason: 'not_verified', count: 1, fid }]);
    await cluster.damage(2, fid, 'precious');
    await cluster.store.rebalance.hasten();
    cluster.jobs.wakeRebalance();
    await until('it has moved', async () => (await cluster.store.rebalance.counts()).queued === 0);
    expect(await cluster.replicas(fid)).toEqual([2, 3]);
  });

  test('I5: a target without room leaves the file, with a reason and a next attempt', async () => {
    const cluster = await startCluster({ engine, hosts: 2, settings: { ratesEveryMs: 10 } });
    const call = commandsOf(cluster);
    const full = await startTestNode((request, response) => {
      if (request.method !== 'PUT' || request.url?.includes('test-write')) return undefined;
      request.resume().on('end', () => response.writeHead(507).end());
      return true;
    }, '127.0.0.9');
    full.files.set('/dev9/usage', Buffer.from('total: 2048\nused: 1024\n'));
    await cluster.addStrangeHost({ base: full.base, devids: [9] });
    const [fid = 0] = await uploadSome(cluster, 1, { on: [1, 2] });
    await call('rebalance_set_policy', { policy: 'from_devices=1 to_devices=9' });
    await call('rebalance_start');
    await rebalanced(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    const status = await call('rebalance_status', { details: '1' });
    expect(status).toMatchObject({ waiting_1_reason: 'copy_error', waiting_1_fid: fid });
    expect(status).toMatchObject({
      eta_seconds_max: '',
      message: '1 wait: the copy failed, see the log',
    });
    // An attempt that moved nothing is no rate.
    expect((await cluster.store.rates.total()).get('rebalance')).toBeUndefined();
    expect(Number(status.waiting_1_nexttry)).toBeGreaterThan(Date.now() / 1000);
  });

  test('I8: two trackers share the moves and make each copy once', async () => {
    const cluster = await startCluster({ engine, hosts: 4 });
    const other = await cluster.anotherTracker();
    const fids = await uploadSome(cluster, 24, { on: [1, 2] });
    await cluster.store.setSetting({ field: field.rate, value: '5' });
    const call = commandsOf(cluster);
    await call('rebalance_set_policy', { policy: 'from_devices=1' });
    await call('rebalance_start');
    const done = await rebalanced(cluster);
    expect(done.fidsQueued).toBe(24);
    const lines = [...cluster.lines, ...other.lines];
    const copied = lines.filter(({ event }) => event === 'replica.written').map(({ fid }) => fid);
    expect(copied.toSorted()).toEqual(fids.toSorted());
    for (const fid of fids) expect(await cluster.replicas(fid)).toHaveLength(2);
  });

  test('I9: a run whose driver died goes on, and so do the moves it had claimed', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings: { claimSeconds: 2 } });
    const { store } = cluster;
    const [fid = 0] = await uploadSome(cluster, 3, { on: [1, 2] });
    await store.rebalance.change({ expect: {}, moves: [{ fid, devid: 1, targets: [3] }] });
    // What a tracker leaves behind that is killed: a lease, a source in drain, a claimed move.
    expect(await store.rebalance.lease({ owner: 'dead', seconds: 2 })).toBe(true);
    await store.rebalance.claim({ limit: 1, seconds: 2 });
    const call = commandsOf(cluster);
    await call('rebalance_set_policy', { policy: 'from_devices=1' });
    await call('rebalance_start');
    await store.setSetting({ field: field.host, value: 'dead-tracker' });
    await until('all is moved', async () => (await countOn(cluster, 1)) === 0);
    expect((await rebalanced(cluster)).completed).toEqual([1]);
  });

  test('a run of a tracker of the original is left to it while it lives', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const { store } = cluster;
    const [fid = 0] = await uploadSome(cluster, 1, { on: [1, 2] });
    const now = Math.floor(Date.now() / 1000);
    const start = async (started: number) => {
      const state = `sdev_current=0 completed_devs= source_devs=,1 time_started=${started}`;
      await store.setSetting({ field: field.policy, value: 'from_devices=1' });
      await store.setSetting({ field: field.state, value: state });
      await store.setSetting({ field: field.host, value: 'perl-tracker' });
      cluster.jobs.wakeRebalance();
    };
    await start(now);
    // Its moves are worked off all the same.
    await store.rebalance.change({ expect: {}, moves: [{ fid, devid: 1, targets: [3] }] });
    await until('it has moved', async () => (await store.rebalance.counts()).queued === 0);
    expect(await stateOf(cluster)).toMatchObject({ sources: [1], current: 0 });
    await start(now - 1000);
    expect(await rebalanced(cluster)).toMatchObject({ completed: [1] });
  });

  test('what cannot be read in the state or the policy ends the run, not the tracker', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const { store } = cluster;
    await store.setSetting({ field: field.state, value: 'x=y = sdev_current=zz source_devs=a,77' });
    await store.setSetting({ field: field.own, value: '{"marked":[' });
    await store.setSetting({ field: field.drains, value: '{"devices":[{"devid":"x"},3]}' });
    await store.setSetting({ field: field.policy, value: 'nonsense' });
    await store.setSetting({ field: field.host, value: 'tracker' });
    cluster.jobs.wakeRebalance();
    await cluster.logged('rebalance.stopped');
    await rebalanced(cluster);
    const call = commandsOf(cluster);
    await expect(call('rebalance_start')).rejects.toMatchObject({ code: 'BAD_REBAL_POL' });
    await store.setSetting({ field: field.policy, value: 'from_devices=1' });
    await call('rebalance_start');
    expect(await rebalanced(cluster)).toMatchObject({ completed: [1] });
  });
});

test.each([
  ['limit_by=count limit=2', 4],
  ['limit_type=global limit_by=count limit=3', 3],
  ['limit_by=size limit=5k', 4],
  ['limit_type=global limit_by=size limit=7k', 3],
  ['limit_by=percent limit=1', 8],
  ['fid_age=new use_dest_devs=1', 8],
])('%s is kept to', async (limit, moved) => {
  const cluster = await startCluster({ engine: 'sqlite', hosts: 4 });
  const call = commandsOf(cluster);
  for (const devid of [1, 2, 3, 4]) {
    cluster.topology.observeUsage(devid, { mbTotal: 100, mbUsed: 1 });
  }
  await uploadSome(cluster, 4, { on: [1, 3] });
  await uploadSome(cluster, 4, { on: [2, 3] });
  const policy = `from_devices=1,2 to_devices=4 ${limit}`;
  await call('rebalance_set_policy', { policy });
  await call('rebalance_start');
  await rebalanced(cluster);
  expect(await countOn(cluster, 4)).toBe(moved);
});
