/**
 * Goal: deleted and abandoned bytes go away, what cannot go now waits with a reason, and what lives
 * is not touched.
 * Method: the jobs on a real database and real storage nodes.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';

const file = { bytes: 'hello', on: [1, 2], replicate: false };

async function drained({ store }: TestCluster): Promise<void> {
  await until('the queue is empty', async () => (await store.queueDepths()).delete === 0);
}

async function deleteKey({ store, jobs, dmid }: TestCluster, dkey = 'key'): Promise<void> {
  expect(await store.deleteKey({ dmid, dkey })).toBe(true);
  jobs.wakeDelete();
}

describe.each(engines)('deletion on %s', (engine) => {
  test('a deleted file loses its bytes and rows on all devices', async () => {
    const cluster = await startCluster({ engine, hosts: 2, settings: { idleMs: 600_000 } });
    const fid = await cluster.upload(file);
    await deleteKey(cluster);
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([]);
    expect(await cluster.bytesOn(1, fid)).toBeUndefined();
    expect(await cluster.bytesOn(2, fid)).toBeUndefined();
  });

  test('only the old version goes when a key is overwritten', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const before = await cluster.upload(file);
    const after = await cluster.upload({ ...file, bytes: 'world' });
    cluster.jobs.wakeDelete();
    await drained(cluster);
    expect(await cluster.bytesOn(1, before)).toBeUndefined();
    expect(await cluster.bytesOn(1, after)).toBe('world');
    expect(await cluster.replicas(after)).toEqual([1, 2]);
  });

  test('bytes that are missing already count as deleted', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.damage(1, fid, undefined);
    await deleteKey(cluster);
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([]);
  });

  test('a device that cannot be written can still be emptied', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    cluster.topology.observeDevice(2, { state: 'readable' });
    await deleteKey(cluster);
    await drained(cluster);
    expect(await cluster.bytesOn(2, fid)).toBeUndefined();
  });

  test('what waits for a device goes when that is back, not ten minutes later', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.node(2).stop();
    await cluster.jobs.monitor.refresh();
    await deleteKey(cluster);
    await cluster.logged('deletion.postponed', { fid });
    await cluster.node(2).start();
    await cluster.jobs.monitor.refresh();
    await drained(cluster);
    expect(await cluster.bytesOn(2, fid)).toBeUndefined();
  });

  test('an unreachable device keeps its replica in the queue, the others go (I5)', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.node(2).stop();
    await cluster.jobs.monitor.refresh();
    await deleteKey(cluster);
    const line = await cluster.logged('deletion.postponed', { fid });
    expect(line).toMatchObject({ reason: 'dev2 cannot be reached', delaySeconds: 600 });
    expect(await cluster.replicas(fid)).toEqual([2]);
    await cluster.node(2).start();
    await cluster.jobs.monitor.refresh();
    await cluster.sql('UPDATE file_to_delete2 SET nexttry = 0');
    cluster.jobs.wakeDelete();
    await drained(cluster);
    expect(await cluster.bytesOn(2, fid)).toBeUndefined();
  });

  test('a node that fails in the act is asked again later', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.node(2).stop();
    await deleteKey(cluster);
    const line = await cluster.logged('deletion.postponed', { fid });
    expect(line).toMatchObject({ reason: 'dev2: connection refused', delaySeconds: 1800 });
    expect(await cluster.replicas(fid)).toEqual([2]);
  });

  test.each(['readonly', 'down'] as const)('a %s device keeps its bytes', async (status) => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.store.setDeviceStatus({ devid: 2, status });
    await cluster.jobs.monitor.refresh();
    await deleteKey(cluster);
    const line = await cluster.logged('deletion.postponed', { fid });
    expect(line.delaySeconds).toBe(3600);
    expect(await cluster.bytesOn(2, fid)).toBe('hello');
  });

  test('the row of a dead device is just dropped', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.store.setDeviceStatus({ devid: 2, status: 'dead' });
    await cluster.jobs.monitor.refresh();
    await deleteKey(cluster);
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([]);
    expect(await cluster.bytesOn(2, fid)).toBe('hello');
  });

  test('the row of a device nobody knows is dropped and named', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.store.addReplica({ fid, devid: 99 });
    await deleteKey(cluster);
    await cluster.logged('replica.device_unknown', { fid, devid: 99 });
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([]);
  });

  test('a device that this tracker has not heard of yet is looked up, not dropped', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.addHost(3);
    await cluster.store.addReplica({ fid, devid: 3 });
    await deleteKey(cluster);
    const line = await cluster.logged('deletion.postponed', { fid });
    expect(line.reason).toBe('dev3 cannot be reached');
    expect(await cluster.replicas(fid)).toEqual([3]);
  });

  test('a current file is never deleted, whatever the queue says (I2)', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload(file);
    await cluster.sql(`INSERT INTO file_to_delete2 (fid, nexttry) VALUES (${fid}, 0)`);
    cluster.jobs.wakeDelete();
    const line = await cluster.logged('deletion.postponed', { fid });
    expect(line.reason).toBe('the fid is a current file');
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    expect(await cluster.bytesOn(1, fid)).toBe('hello');
  });

  test('many deletions by two trackers all come to an end', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const other = await cluster.anotherTracker();
    const fids = [];
    for (let number = 0; number < 30; number += 1) {
      fids.push(await cluster.upload({ ...file, key: `key${number}` }));
    }
    for (let number = 0; number < 30; number += 1) await deleteKey(cluster, `key${number}`);
    other.jobs.wakeDelete();
    await drained(cluster);
    for (const fid of fids) expect(await cluster.bytesOn(1, fid)).toBeUndefined();
    expect(cluster.lines.filter(({ event }) => event === 'job.failed')).toEqual([]);
  });
});

describe.each(engines)('abandoned uploads on %s', (engine) => {
  test('an upload that is never closed loses its bytes', async () => {
    const settings = { tempfileAgeSeconds: 0, tempfileEveryMs: 50 };
    const cluster = await startCluster({ engine, hosts: 2, start: false, settings });
    const { store, dmid, classid, topology } = cluster;
    topology.replace(await store.loadTopology());
    const fid = await store.openTempfile({ dmid, dkey: 'key', classid, devids: [1, 2] });
    await fetch(topology.writeUrl({ devid: 1, fid })!, { method: 'PUT', body: 'half' });
    expect(await cluster.bytesOn(1, fid)).toBe('half');
    cluster.jobs.start();
    await cluster.logged('upload.abandoned', { fid });
    await drained(cluster);
    expect(await store.findTempfile(fid)).toBeUndefined();
    expect(await cluster.bytesOn(1, fid)).toBeUndefined();
    expect(await cluster.replicas(fid)).toEqual([]);
  });

  test('the left-over row of an upload that was closed goes, its file stays', async () => {
    const settings = { tempfileAgeSeconds: 3600, tempfileEveryMs: 50 };
    const cluster = await startCluster({ engine, hosts: 2, settings });
    const fid = await cluster.upload(file);
    await cluster.sql(
      `INSERT INTO tempfile (fid, createtime, classid, dmid, dkey, devids)
       VALUES (${fid}, 1, ${cluster.classid}, ${cluster.dmid}, 'key', '1,2')`,
    );
    await until('the row is gone', async () => !(await cluster.store.findTempfile(fid)));
    expect(await cluster.store.queueDepths()).toMatchObject({ delete: 0, tempfile: 0 });
    expect(await cluster.bytesOn(1, fid)).toBe('hello');
  });

  test('young uploads are left alone', async () => {
    const settings = { tempfileAgeSeconds: 3600, tempfileEveryMs: 10 };
    const cluster = await startCluster({ engine, hosts: 1, settings });
    const { store, dmid, classid } = cluster;
    const fid = await store.openTempfile({ dmid, dkey: 'key', classid, devids: [1] });
    await cluster.upload({ ...file, on: [1], key: 'other' });
    await deleteKey(cluster, 'other');
    await drained(cluster);
    expect(await store.findTempfile(fid)).toMatchObject({ fid });
  });
});
