/**
 * Goal: a copy that nobody vouched for when its upload was closed goes, and never one that counts
 * (I2). Method: the jobs on a real database and real storage nodes.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { engines, startCluster } from './cluster.ts';

test.each(engines)('copies that are no replicas go, others stay, on %s', async (engine) => {
  const cluster = await startCluster({ engine, hosts: 2, settings: { tempfileEveryMs: 20 } });
  const { store, dmid } = cluster;
  const file = { bytes: 'hello', on: [1, 2], replicate: false };
  const stray = await cluster.upload({ ...file, key: 'stray' });
  const replica = await cluster.upload({ ...file, key: 'replica' });
  const last = await cluster.upload({ ...file, key: 'last' });
  for (const fid of [stray, last]) await store.removeReplica({ fid, devid: 2 });
  await cluster.damage(1, last, undefined);
  const open = await store.openTempfile({ dmid, dkey: 'open', classid: 0, devids: [1, 2] });
  await cluster.damage(2, open, 'hello');
  const fids = [stray, replica, last, open];
  await store.strays.add(fids.map((fid) => ({ fid, devid: 2 })));
  await cluster.logged('stray.deleted', { fid: stray, devid: 2 });
  for (const fid of fids) await cluster.logged('stray.looked-at', { fid });
  const onDisk = await Promise.all(fids.map((fid) => cluster.bytesOn(2, fid)));
  expect(onDisk).toEqual([undefined, 'hello', 'hello', 'hello']);
  // The one that may be the last copy, and that of the open upload, wait; once more is no harm.
  await store.strays.add([{ fid: last, devid: 2 }]);
  await cluster.damage(1, last, 'hello');
  await store.strays.postpone([{ fid: last, devid: 2 }], 0);
  await cluster.logged('stray.deleted', { fid: last, devid: 2 });
  expect(await cluster.bytesOn(2, open)).toBe('hello');
});

test.each(engines)('what work that broke off left on a device goes, on %s', async (engine) => {
  const settings = { tempfileEveryMs: 20, replicationDelaySeconds: () => 0 };
  const cluster = await startCluster({ engine, hosts: 3, settings, start: false });
  const { store, topology } = cluster;
  await cluster.jobs.monitor.refresh();
  const file = { bytes: 'hello', on: [1, 2], replicate: false };
  const copied = await cluster.upload({ ...file, key: 'copied' });
  const moved = await cluster.upload({ ...file, key: 'moved' });
  await store.enqueueReplication({ fid: copied, nexttry: 0 });
  await store.rebalance.change({ expect: {}, moves: [{ fid: moved, devid: 1, targets: [2] }] });
  // A tracker that is killed before it has recorded the copies it made.
  await store.claimReplications(1, 0);
  await store.rebalance.claim({ limit: 1, seconds: 0 });
  for (const fid of [copied, moved]) {
    const url = topology.writeUrl({ devid: 3, fid }) ?? '';
    expect((await fetch(url, { method: 'PUT', body: 'hello' })).ok).toBe(true);
  }
  // One that loses the database at that moment, and takes another device the next time.
  const failed = await cluster.upload({ ...file, on: [1], key: 'failed', replicate: true });
  let left = 0;
  const { addReplica } = store;
  store.addReplica = async (made) => {
    if (left !== 0) return addReplica.call(store, made);
    left = made.devid;
    topology.observeDevice(left, { state: 'readable' });
    throw new Error('the connection is lost');
  };
  cluster.jobs.start();
  for (const fid of [copied, moved]) await cluster.logged('stray.deleted', { fid, devid: 3 });
  await until('the copy was made', () => left !== 0);
  await cluster.logged('stray.deleted', { fid: failed, devid: left });
  expect(await cluster.bytesOn(left, failed)).toBeUndefined();
  expect(await cluster.replicas(failed)).toEqual([1, 5 - left]);
  for (const fid of [copied, moved]) {
    expect(await cluster.bytesOn(3, fid)).toBeUndefined();
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  }
});

test('a copy that becomes a replica while it is looked at stays', async () => {
  const settings = { tempfileEveryMs: 20 };
  const cluster = await startCluster({ engine: 'sqlite', hosts: 1, settings });
  const { store, dmid } = cluster;
  const place = { dmid, dkey: 'key', classid: 0, devids: [1] };
  const fid = await store.openTempfile(place);
  await mkdir(dirname(cluster.node(1).docroot + fidPath(1, fid)), { recursive: true });
  await cluster.damage(1, fid, 'hello');
  const { findTempfile } = store;
  // The upload is closed at the last moment at which it can be found closed.
  store.findTempfile = async (asked) => {
    await store.closeTempfile({ ...place, fid, length: 5, replicate: false });
    return findTempfile.call(store, asked);
  };
  await store.strays.add([{ fid, devid: 1 }]);
  await cluster.logged('stray.looked-at', { fid });
  expect(await cluster.replicas(fid)).toEqual([1]);
  expect(await cluster.bytesOn(1, fid)).toBe('hello');
});

test('a copy whose look takes long holds up neither others nor abandoned uploads', async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let slow = 0;
  let isLookedAt = false;
  const cluster = await startCluster({
    engine: 'sqlite',
    hosts: 2,
    settings: { tempfileEveryMs: 20, claimSeconds: 2 },
    devices: (real) => ({
      ...real,
      size: async (url, options) => {
        if (url.endsWith(fidPath(1, slow))) {
          isLookedAt = true;
          await held;
        }
        return real.size(url, options);
      },
    }),
  });
  const { store, dmid } = cluster;
  const file = { bytes: 'hello', on: [1, 2], replicate: false };
  slow = await cluster.upload({ ...file, key: 'slow' });
  const quick = await cluster.upload({ ...file, key: 'quick' });
  for (const fid of [slow, quick]) await store.removeReplica({ fid, devid: 2 });
  await store.strays.add([{ fid: slow, devid: 2 }]);
  await until('somebody looks at it', () => isLookedAt);
  await store.strays.add([{ fid: quick, devid: 2 }]);
  const open = await store.openTempfile({ dmid, dkey: 'open', classid: 0, devids: [1] });
  await cluster.sql('UPDATE tempfile SET createtime = 0');
  await cluster.logged('stray.deleted', { fid: quick });
  await cluster.logged('upload.abandoned', { fid: open });
  expect(await cluster.bytesOn(2, slow)).toBe('hello');
  release();
  await cluster.logged('stray.deleted', { fid: slow });
});

test.each(['gave no word on', 'does not show'])(
  'a copy that its target %s goes all the same',
  async (what) => {
    let silent: number | undefined;
    let isHidden = what === 'does not show';
    const cluster = await startCluster({
      engine: 'sqlite',
      hosts: 3,
      settings: { tempfileEveryMs: 20 },
      devices: (real) => ({
        ...real,
        copy: async (request) => {
          const outcome = await real.copy(request);
          if (silent !== undefined) return outcome;
          silent = request.to.includes('/dev2/') ? 2 : 3;
          if (isHidden) return outcome;
          return { state: 'target_failed', reason: 'silent', mayFinish: true };
        },
        size: async (url, options) => {
          if (!isHidden) return real.size(url, options);
          isHidden = false;
          return { state: 'unreachable', reason: 'silent' };
        },
      }),
    });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await cluster.logged('stray.deleted', { fid });
    const other = silent === 2 ? 3 : 2;
    expect(await cluster.replicas(fid)).toEqual([1, other]);
    expect(await cluster.bytesOn(silent ?? 0, fid)).toBeUndefined();
    expect(await cluster.bytesOn(other, fid)).toBe('hello');
  },
);
