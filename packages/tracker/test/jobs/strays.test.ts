/**
 * Goal: a copy that nobody vouched for when its upload was closed goes, and never one that counts
 * (I2). Method: the jobs on a real database and real storage nodes.
 */
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
  await until('all were looked at', async () => (await store.strays.due(9)).length === 0);
  const onDisk = await Promise.all(fids.map((fid) => cluster.bytesOn(2, fid)));
  expect(onDisk).toEqual([undefined, 'hello', 'hello', 'hello']);
  // The one that may be the last copy, and that of the open upload, wait; once more is no harm.
  await store.strays.add([{ fid: last, devid: 2 }]);
  await cluster.damage(1, last, 'hello');
  await store.strays.postpone({ fid: last, devid: 2 }, 0);
  await cluster.logged('stray.deleted', { fid: last, devid: 2 });
  expect(await cluster.bytesOn(2, open)).toBe('hello');
});
