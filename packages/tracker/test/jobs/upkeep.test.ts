/**
 * Goal: dead devices are reaped, lost devices and changed classes heal by themselves, and no file
 * loses a copy it needs on the way (I2, I5, I9).
 * Method: the jobs on a real database and real storage nodes that are stopped and started.
 */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { DeviceSlots } from '../../src/jobs/replication/device-slots.ts';
import { Healer, type HealerOptions } from '../../src/jobs/upkeep/healer.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';

const settings = { upkeepEveryMs: 20, reaperGraceMs: 0, settleSeconds: 0 };
const file = { bytes: 'hello', on: [1, 2], replicate: false };

async function replicasBecome(cluster: TestCluster, fid: number, devids: number[]): Promise<void> {
  await until(`the replicas are ${devids}`, async () => {
    return (await cluster.replicas(fid)).join() === devids.join();
  });
}

async function kill(cluster: TestCluster, devid: number): Promise<void> {
  await cluster.store.setDeviceStatus({ devid, status: 'dead' });
  await cluster.jobs.monitor.refresh();
}

describe.each(engines)('the reaper on %s', (engine) => {
  test('files of a dead device get a copy elsewhere, by two trackers at once', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const other = await cluster.anotherTracker({ settings });
    const fids = [];
    for (const key of ['a', 'b', 'c']) fids.push(await cluster.upload({ ...file, key }));
    await Promise.all([kill(cluster, 2), other.jobs.monitor.refresh()]);
    await other.jobs.monitor.refresh();
    for (const fid of fids) {
      await replicasBecome(cluster, fid, [1, 3]);
      expect(await cluster.bytesOn(3, fid)).toBe('hello');
    }
  });

  test('a file being deleted is not queued for copies', async () => {
    const cluster = await startCluster({ engine, hosts: 2, start: false });
    await cluster.jobs.monitor.refresh();
    const fid = await cluster.upload(file);
    await cluster.store.deleteKey({ dmid: cluster.dmid, dkey: 'key' });
    await cluster.store.setDeviceStatus({ devid: 2, status: 'dead' });
    expect(await cluster.store.upkeep.reap({ devid: 2, limit: 10 })).toBe(1);
    expect(await cluster.replicas(fid)).toEqual([1]);
    expect((await cluster.store.queueDepths()).replicate).toBe(0);
  });

  test('a device that is not dead any more keeps its rows, whoever asks', async () => {
    const cluster = await startCluster({ engine, hosts: 2, start: false });
    await cluster.jobs.monitor.refresh();
    const fid = await cluster.upload(file);
    await cluster.store.setDeviceStatus({ devid: 2, status: 'readonly' });
    expect(await cluster.store.upkeep.reap({ devid: 2, limit: 10 })).toBe(0);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('it waits while too many files wait for replication', async () => {
    const cluster = await startCluster({
      engine,
      hosts: 3,
      settings: { ...settings, replicateJobs: 0 },
    });
    for (const key of ['a', 'b', 'c']) await cluster.upload({ ...file, key });
    await cluster.store.setSetting({ field: 'queue_size_for_reaper', value: '2' });
    await kill(cluster, 2);
    await cluster.logged('device.reaped', { devid: 2, reaped: 2 });
    expect(await cluster.store.upkeep.fidsOn({ devid: 2, after: 0, limit: 9 })).toHaveLength(1);
    cluster.jobs.want('replicate', 4);
    await until('the rest went', async () => {
      const left = await cluster.store.upkeep.fidsOn({ devid: 2, after: 0, limit: 9 });
      return left.length === 0;
    });
  });

  test('it rests while a setting says so', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const fid = await cluster.upload(file);
    await cluster.store.setSetting({ field: 'omg_pause_reaper', value: '1' });
    await kill(cluster, 2);
    const state = () => cluster.jobs.status().find(({ name }) => name === 'reaper')?.state;
    expect(state()).toBe('paused');
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    await cluster.store.setSetting({ field: 'omg_pause_reaper', value: '0' });
    await cluster.jobs.monitor.refresh();
    expect(state()).toBe('running');
    await replicasBecome(cluster, fid, [1, 3]);
  });
});

/** A healer beside that of the cluster, with the number of rounds that it has begun. */
function watchedHealer(cluster: TestCluster, options: Partial<HealerOptions>) {
  const { takesPart = () => true, ...more } = options;
  let rounds = 0;
  const services = {
    ...cluster,
    log: pino({ level: 'silent' }),
    random: Math.random,
    slots: new DeviceSlots(cluster.topology),
  };
  const healer = new Healer(services, {
    ...{ everyMs: 1, settleSeconds: 0, reloadTopology: async () => {}, onQueued: () => {} },
    ...more,
    takesPart: () => {
      rounds += 1;
      return takesPart();
    },
  });
  return { healer, rounds: () => rounds };
}

describe.each(engines)('healing on %s', (engine) => {
  test('a lost device is made up for, and its surplus goes when it is back', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const fid = await cluster.upload(file);
    await cluster.node(2).stop();
    await cluster.store.setSetting({ field: 'omg_heal_after', value: '60' });
    await cluster.sql('UPDATE device SET mb_asof = 1000000000 WHERE devid = 2');
    await cluster.jobs.monitor.refresh();
    await replicasBecome(cluster, fid, [1, 2, 3]);
    expect(await cluster.bytesOn(3, fid)).toBe('hello');
    await cluster.node(2).start();
    await cluster.jobs.monitor.refresh();
    await until(
      'one copy too many is gone',
      async () => (await cluster.replicas(fid)).length === 2,
    );
    for (const devid of await cluster.replicas(fid)) {
      expect(await cluster.bytesOn(devid, fid)).toBe('hello');
    }
    expect(await cluster.store.findSetting('omg_lost_devices')).toBeUndefined();
  });

  test('a tracker that reaches less than half of the devices marks none as lost', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    await cluster.store.setSetting({ field: 'omg_heal_after', value: '60' });
    await cluster.node(2).stop();
    await cluster.node(3).stop();
    await cluster.sql('UPDATE device SET mb_asof = 1000000000 WHERE devid > 1');
    await cluster.jobs.monitor.refresh();
    const fid = await cluster.upload({ bytes: 'x', on: [1] });
    await cluster.logged('replication.postponed', { fid });
    expect(await cluster.store.findSetting('omg_lost_devices')).toBeUndefined();
  });

  test('files get the copies that their class wants from now on, or lose them', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const { store, dmid, classid } = cluster;
    const fid = await cluster.upload(file);
    const snapshot = `omg_class_${dmid}_${classid}`;
    await until('the class is known', async () => (await store.findSetting(snapshot)) === '2');
    await store.updateClass({ dmid, classid, mindevcount: 3 });
    await cluster.jobs.monitor.refresh();
    await replicasBecome(cluster, fid, [1, 2, 3]);
    await store.updateClass({ dmid, classid, mindevcount: 2 });
    await cluster.jobs.monitor.refresh();
    await until('a copy went', async () => (await cluster.replicas(fid)).length === 2);
  });

  test('a walk begins when every tracker knows of the change', async () => {
    const cluster = await startCluster({ engine, hosts: 3, mindevcount: 3, settings });
    const { store, jobs, dmid, classid } = cluster;
    const fid = await cluster.upload({ ...file, on: [1, 2, 3] });
    const known = `omg_class_${dmid}_${classid}`;
    await until('the class is known', async () => (await store.findSetting(known)) === '3');
    // A round of one that does not know of the change yet is about to make the third copy.
    await store.removeReplica({ fid, devid: 3 });
    jobs.want('replicate', 0);
    await store.withLock({ name: 'omg:heal', waitMs: 60_000 }, async () => {});
    const { healer, rounds } = watchedHealer(cluster, {
      ...{ settleSeconds: 3600, reloadTopology: () => jobs.monitor.reload() },
    });
    await store.updateClass({ dmid, classid, mindevcount: 2 });
    await jobs.monitor.refresh();
    const field = `omg_sweep_class_${dmid}_${classid}`;
    let begun = 0;
    const set = store.setSetting.bind(store);
    store.setSetting = async (setting) => {
      if (setting.field === field) begun += 1;
      await set(setting);
    };
    healer.start();
    await until('it is noted', async () => (await store.findSetting(known)) === '2');
    const before = rounds();
    await until('two rounds passed', () => rounds() > before + 2);
    await healer.stop();
    expect(await store.findSetting(field)).toMatch(/^0@\d+$/);
    expect(begun).toBe(1);
    await store.addReplica({ fid, devid: 3 });
    // With a time that is too far off, which only a wrong clock can have written, it begins now.
    jobs.want('replicate', 4);
    await until('a copy went', async () => (await cluster.replicas(fid)).length === 2);
    await until('the walk is over', async () => !(await store.findSetting(field)));
  });

  test('a walk goes on where another tracker left it (I9)', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings, start: false });
    await cluster.jobs.monitor.refresh();
    const before = await cluster.upload({ ...file, on: [1], key: 'before' });
    const after = await cluster.upload({ ...file, on: [1], key: 'after' });
    const field = `omg_sweep_class_${cluster.dmid}_${cluster.classid}`;
    await cluster.store.setSetting({ field, value: String(before) });
    cluster.jobs.start();
    await until(
      'the walk is over',
      async () => (await cluster.store.findSetting(field)) === undefined,
    );
    await until(
      'the file has two copies',
      async () => (await cluster.replicas(after)).length === 2,
    );
    expect(await cluster.replicas(before)).toEqual([1]);
  });

  test('a tracker that copies nothing heals nothing, until it is wanted to', async () => {
    const cluster = await startCluster({
      engine,
      hosts: 2,
      settings: { ...settings, replicateJobs: 0 },
    });
    const fid = await cluster.upload({ ...file, on: [1] });
    const field = `omg_sweep_class_${cluster.dmid}_${cluster.classid}`;
    await cluster.store.setSetting({ field, value: '0' });
    const { healer, rounds } = watchedHealer(cluster, { takesPart: () => false });
    healer.start();
    await until('some rounds passed', () => rounds() > 3);
    await healer.stop();
    expect(await cluster.store.findSetting(field)).toBe('0');
    expect(await cluster.replicas(fid)).toEqual([1]);
    cluster.jobs.want('replicate', 4);
    await replicasBecome(cluster, fid, [1, 2]);
    await until('the walk is over', async () => !(await cluster.store.findSetting(field)));
  });
});

test('what comes up in the midst of a walk is seen to', async () => {
  const cluster = await startCluster({ engine: 'sqlite', hosts: 0, settings, start: false });
  const { store, dmid, classid } = cluster;
  await cluster.jobs.monitor.refresh();
  const files = Array.from({ length: 2300 }, (_, n) => `(${n + 1}, ${dmid}, 'k${n}', 1, 0, 0)`);
  const columns = 'fid, dmid, dkey, length, classid, devcount';
  await cluster.sql(`INSERT INTO file (${columns}) VALUES ${files}`);
  const field = `omg_sweep_class_${dmid}_${classid}`;
  const begun: number[] = [];
  let other = 0;
  let noted: string | undefined;
  const read = store.filesAfter.bind(store);
  store.filesAfter = async (request) => {
    const call = begun.push(request.after);
    const rows = await read(request);
    // A tracker whose lock does not exclude ours, as on a cluster of databases, sees a change.
    if (call === 2) await store.setSetting({ field, value: '0@1' });
    if (call === 3) {
      other = await store.createClass({ dmid, name: 'b', mindevcount: 1, hashtype: null });
      await cluster.jobs.monitor.reload();
    }
    if (rows.length < request.limit) {
      noted = await store.findSetting(`omg_class_${dmid}_${other}`);
    }
    return rows;
  };
  await store.setSetting({ field, value: '0' });
  const { healer } = watchedHealer(cluster, {});
  healer.start();
  await until('the walk is over', async () => !(await store.findSetting(field)));
  await healer.stop();
  expect(begun.slice(0, 4)).toEqual([0, 250, 0, 250]);
  expect(noted).toBe('1');
});
