/**
 * Goal: fsck finds what is wrong, in the codes and the order of spec §5.5, and what it does about
 * it never costs a replica (I2, I6).
 * Method: the jobs of a tracker on a real database and real storage nodes; faults are made on
 * disks, on nodes and in the database. Replication is off, so that what fsck leaves shows.
 */
import { createHash } from 'node:crypto';
import { type Checksum, fidPath } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { startTestNode } from '../devices/http-node.ts';
import { type ClusterOptions, engines, startCluster, type TestCluster } from './cluster.ts';
import { foundIn, runFsck, settled } from './fsck-run.ts';

function md5Of(bytes: string): Checksum {
  return { type: 'MD5', hex: createHash('md5').update(bytes).digest('hex') };
}

function start(options: Omit<ClusterOptions, 'settings'>): Promise<TestCluster> {
  return startCluster({ ...options, settings: { replicateJobs: 0, deleteJobs: 0 } });
}

async function devcountOf({ store }: TestCluster, fid: number): Promise<number | undefined> {
  return (await store.filesByFid([fid]))[0]?.devcount;
}

async function isQueuedToReplicate({ store }: TestCluster, fid: number): Promise<boolean> {
  return (await store.fidRecords(fid)).replication !== undefined;
}

describe.each(engines)('fsck on %s', (engine) => {
  test('says nothing of files that are as they should be', async () => {
    const cluster = await start({ engine, hosts: 2 });
    for (const key of ['a', 'b', 'c']) {
      await cluster.upload({ bytes: key, on: [1, 2], key, replicate: false });
    }
    await runFsck(cluster);
    expect(await foundIn(cluster)).toEqual([]);
    const state = await cluster.store.fsck.state();
    expect(state).toMatchObject({ position: state.end, checked: 3, host: undefined });
  });

  test('I2: a replica that cannot be read is forgotten while another is right', async () => {
    const cluster = await start({ engine, hosts: 2, hashtype: 'MD5' });
    const bytes = 'x'.repeat(4096);
    const upload = (key: string, on: number[], checksum?: Checksum) =>
      cluster.upload({ bytes, on, key, replicate: false, ...(checksum && { checksum }) });
    const two = await upload('two', [1, 2], md5Of(bytes));
    const one = await upload('one', [1], md5Of(bytes));
    await cluster.node(1).restartUnable([two, one]);
    await runFsck(cluster, { waiting: 1 });
    expect(await foundIn(cluster, two)).toEqual(['MISS 1', 'REPL']);
    expect(await cluster.replicas(two)).toEqual([2]);
    expect(await cluster.replicas(one)).toEqual([1]);
  });

  test('I2: what a node cannot even open is forgotten beside another, or waits', async () => {
    const cluster = await start({ engine, hosts: 1 });
    const strange = await startTestNode((request, response) => {
      if (!request.url?.endsWith('.fid') || request.method === 'PUT') return undefined;
      return response.writeHead(500, { 'omgfs-error': 'FILE_UNREADABLE' }).end();
    }, '127.0.0.9');
    strange.files.set('/dev9/usage', Buffer.from('total: 1000000\nused: 1000\n'));
    await cluster.addStrangeHost({ base: strange.base, devids: [9] });
    const fids: number[] = [];
    for (const on of [[1, 9], [1, 9], [1, 9], [1, 9], [9]]) {
      fids.push(
        await cluster.upload({ bytes: 'x', on, key: `on ${fids.length}`, replicate: false }),
      );
    }
    const last = fids.pop() as number;
    await runFsck(cluster, { waiting: 1 });
    // Not silenced for it: the device is asked about every file.
    for (const fid of fids) {
      expect(await foundIn(cluster, fid)).toEqual(['MISS 9', 'REPL']);
      expect(await cluster.replicas(fid)).toEqual([1]);
    }
    expect(await cluster.replicas(last)).toEqual([9]);
    expect(await foundIn(cluster, last)).not.toContain('GONE');
  });

  test('counts and places: BCNT, POVI for too few and too many, NOPA', async () => {
    const cluster = await start({ engine, hosts: 4 });
    const upload = (key: string, on: number[]) =>
      cluster.upload({ bytes: key, on, key, replicate: false });
    const many = await upload('many', [1, 2]);
    const none = await upload('none', [1, 2]);
    await cluster.sql(`UPDATE file SET devcount = 13 WHERE fid = ${many}`);
    await cluster.sql(`UPDATE file SET devcount = 0 WHERE fid = ${none}`);
    const few = await upload('few', [1]);
    const over = await upload('over', [1, 2, 3]);
    const lost = await upload('lost', [3, 4]);
    await cluster.sql(`DELETE FROM file_on WHERE fid = ${lost}`);
    await runFsck(cluster);
    expect(await foundIn(cluster, many)).toEqual(['BCNT']);
    expect(await foundIn(cluster, none)).toEqual(['BCNT']);
    expect([await devcountOf(cluster, many), await devcountOf(cluster, none)]).toEqual([2, 2]);
    expect(await foundIn(cluster, few)).toEqual(['POVI', 'REPL']);
    expect(await foundIn(cluster, over)).toEqual(['POVI', 'REPL']);
    expect(await isQueuedToReplicate(cluster, over)).toBe(true);
    expect(await cluster.replicas(over)).toEqual([1, 2, 3]);
    expect(await foundIn(cluster, lost)).toEqual(['NOPA', 'SRCH', 'FOND', 'REPL']);
    const [foundOn] = await cluster.replicas(lost);
    expect([3, 4]).toContain(foundOn);
    const { byCode } = await cluster.store.fsck.counts();
    expect(Object.fromEntries(byCode)).toEqual({
      BCNT: 2,
      POVI: 2,
      REPL: 3,
      NOPA: 1,
      SRCH: 1,
      FOND: 1,
    });
    await runFsck(cluster, { policyOnly: true });
    expect((await cluster.store.fsck.counts()).byCode.get('BCNT')).toBeUndefined();
    expect((await cluster.store.fsck.counts()).byCode.get('POVI')).toBe(3);
  });

  test('device counts are nobody’s business with skip_devcount', async () => {
    const cluster = await start({ engine, hosts: 2 });
    const fid = await cluster.upload({ bytes: 'x', on: [1, 2], replicate: false });
    await cluster.sql(`UPDATE file SET devcount = 13 WHERE fid = ${fid}`);
    await cluster.store.setSetting({ field: 'skip_devcount', value: '1' });
    await runFsck(cluster);
    expect(await foundIn(cluster)).toEqual([]);
    expect(await devcountOf(cluster, fid)).toBe(13);
  });

  test('replicas: MISS, BLEN, GONE, and a lost file that lies elsewhere', async () => {
    const cluster = await start({ engine, hosts: 3 });
    const upload = (key: string, on: number[] = [1, 2]) =>
      cluster.upload({ bytes: `bytes of ${key}`, on, key, replicate: false });
    const [missing, cut, gone, moved] = [
      await upload('missing'),
      await upload('cut'),
      await upload('gone'),
      await upload('moved', [1, 2, 3]),
    ];
    await cluster.damage(2, missing, undefined);
    await cluster.damage(1, cut, 'short');
    for (const devid of [1, 2]) await cluster.damage(devid, gone, undefined);
    for (const devid of [1, 2]) await cluster.damage(devid, moved, undefined);
    await cluster.sql(`DELETE FROM file_on WHERE fid = ${moved} AND devid = 3`);
    await cluster.sql(`UPDATE file SET devcount = 2 WHERE fid = ${moved}`);
    await runFsck(cluster);
    expect(await foundIn(cluster, missing)).toEqual(['MISS 2', 'REPL']);
    expect(await cluster.replicas(missing)).toEqual([1]);
    expect(await foundIn(cluster, cut)).toEqual(['BLEN 1', 'REPL']);
    expect(await cluster.replicas(cut)).toEqual([2]);
    expect(await cluster.bytesOn(1, cut)).toBe('short');
    expect(await foundIn(cluster, gone)).toEqual(['MISS 1', 'MISS 2', 'SRCH', 'GONE']);
    expect([await devcountOf(cluster, gone), await cluster.replicas(gone)]).toEqual([0, []]);
    expect(await isQueuedToReplicate(cluster, gone)).toBe(false);
    expect(await foundIn(cluster, moved)).toEqual(['MISS 1', 'MISS 2', 'SRCH', 'FOND', 'REPL']);
    expect(await cluster.replicas(moved)).toEqual([3]);
    // A policy-only run asks no device: it sees what the database says.
    await cluster.damage(2, cut, undefined);
    await cluster.store.fsck.clearLog();
    await runFsck(cluster, { policyOnly: true, limits: { dmid: cluster.dmid, prefix: 'mis' } });
    expect(await foundIn(cluster)).toEqual(['POVI', 'REPL']);
  });

  test('checksums of a class: NSUM once, a corrupt replica goes, BSUM, BALG', async () => {
    const cluster = await start({ engine, hosts: 3, hashtype: 'MD5' });
    const upload = (key: string, checksum?: Checksum) =>
      cluster.upload({
        bytes: key,
        on: [1, 2],
        key,
        replicate: false,
        ...(checksum && { checksum }),
      });
    const plain = await upload('plain');
    const corrupt = await upload('corrupt', md5Of('corrupt'));
    const spoiled = await upload('spoiled', md5Of('spoiled'));
    const unequal = await upload('unequal');
    const other = await upload('other', { type: 'SHA-1', hex: sha1Of('other') });
    await cluster.damage(1, corrupt, 'cORRUPT');
    for (const devid of [1, 2]) await cluster.damage(devid, spoiled, 'sPOILED');
    await cluster.damage(2, unequal, 'uNEQUAL');
    await runFsck(cluster);
    expect(await foundIn(cluster, plain)).toEqual(['NSUM']);
    expect(await cluster.store.findChecksum(plain)).toEqual(md5Of('plain'));
    expect(await foundIn(cluster, corrupt)).toEqual(['REPL']);
    expect(await cluster.replicas(corrupt)).toEqual([2]);
    expect(await foundIn(cluster, spoiled)).toEqual(['BSUM']);
    expect(await cluster.replicas(spoiled)).toEqual([1, 2]);
    expect(await foundIn(cluster, unequal)).toEqual(['BSUM']);
    expect(await cluster.store.findChecksum(unequal)).toBeUndefined();
    expect(await foundIn(cluster, other)).toEqual(['BALG']);
    await cluster.store.setSetting({ field: 'fsck_checksum', value: 'off' });
    await cluster.store.fsck.clearLog();
    await cluster.store.addReplica({ fid: corrupt, devid: 1 });
    await runFsck(cluster);
    expect(await foundIn(cluster)).toEqual([]);
  });

  test('checksums by setting: MSUM where replicas differ, nothing stored for others', async () => {
    const cluster = await start({ engine, hosts: 2 });
    const same = await cluster.upload({ bytes: 'same', on: [1, 2], key: 's', replicate: false });
    const fid = await cluster.upload({ bytes: 'one', on: [1, 2], key: 'd', replicate: false });
    await cluster.damage(2, fid, 'two');
    await cluster.store.setSetting({ field: 'fsck_checksum', value: 'MD5' });
    await runFsck(cluster);
    expect(await foundIn(cluster)).toEqual(['MSUM']);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    expect(await cluster.store.findChecksum(same)).toBeUndefined();
  });

  test('a dead device and one nobody knows are no finding, but are made up for', async () => {
    const cluster = await start({ engine, hosts: 3 });
    const dead = await cluster.upload({ bytes: 'x', on: [1, 3], key: 'd', replicate: false });
    const odd = await cluster.upload({ bytes: 'y', on: [1], key: 'o', replicate: false });
    await cluster.sql(`INSERT INTO file_on (fid, devid) VALUES (${odd}, 77)`);
    await cluster.sql(`UPDATE file SET devcount = 2 WHERE fid = ${odd}`);
    await cluster.store.setDeviceStatus({ devid: 3, status: 'dead' });
    await cluster.jobs.monitor.refresh();
    await runFsck(cluster);
    expect(await foundIn(cluster, dead)).toEqual(['REPL']);
    expect(await cluster.replicas(dead)).toEqual([1]);
    expect(await foundIn(cluster, odd)).toEqual(['REPL']);
    expect(await cluster.replicas(odd)).toEqual([1]);
  });

  test('I6: who is silent or marked down is no proof that files are missing', async () => {
    const cluster = await start({ engine, hosts: 4 });
    const upload = (key: string, on: number[]) =>
      cluster.upload({ bytes: key, on, key, replicate: false });
    const [stopped, marked, fine] = [
      await upload('stopped', [1, 3]),
      await upload('marked', [2, 4]),
      await upload('fine', [1, 2]),
    ];
    await cluster.damage(1, fine, undefined);
    await cluster.damage(4, marked, undefined);
    await cluster.node(3).stop();
    await cluster.store.setDeviceStatus({ devid: 4, status: 'down' });
    await cluster.jobs.monitor.refresh();
    await runFsck(cluster, { waiting: 2 });
    expect(await foundIn(cluster, fine)).toEqual(['MISS 1', 'REPL']);
    expect(await foundIn(cluster, stopped)).toEqual([]);
    expect(await foundIn(cluster, marked)).toEqual([]);
    expect(await cluster.replicas(stopped)).toEqual([1, 3]);
    expect(await cluster.replicas(marked)).toEqual([2, 4]);
    const { fsck: row } = await cluster.store.fidRecords(stopped);
    expect(row).toMatchObject({ devid: 3, failcount: 1 });
    expect(row?.arg).toContain('Connectivity problem reaching device 3');
    // Back again, they are judged at once and not when their turn comes (I5).
    await cluster.node(3).start();
    await cluster.store.setDeviceStatus({ devid: 4, status: 'alive' });
    await cluster.jobs.monitor.refresh();
    await settled(cluster);
    expect(await foundIn(cluster, stopped)).toEqual([]);
    expect(await foundIn(cluster, marked)).toEqual(['MISS 4', 'REPL']);
  });

  test('I6: a foreign server whose disk just went says 404, which is not believed', async () => {
    const cluster = await start({ engine, hosts: 2 });
    let isMounted = true;
    const strange = await startTestNode((_, response) => {
      return isMounted ? undefined : response.writeHead(404).end();
    }, '127.0.0.9');
    strange.files.set('/dev9/usage', Buffer.from('total: 1000000\nused: 1000\n'));
    await cluster.addStrangeHost({ base: strange.base, devids: [9] });
    const fid = await cluster.upload({ bytes: 'x', on: [1, 9], replicate: false });
    // The monitor has not looked since.
    isMounted = false;
    await runFsck(cluster, { waiting: 1 });
    expect(await foundIn(cluster)).toEqual([]);
    expect(await cluster.replicas(fid)).toEqual([1, 9]);
    isMounted = true;
    strange.files.delete(fidPath(9, fid));
    await runFsck(cluster);
    // Either the check that waited comes to it first, or that of the new run.
    const found = await foundIn(cluster);
    expect(found.filter((code) => code !== 'POVI')).toEqual(['MISS 9', 'REPL']);
  });

  test('one replica is gone, another cannot be asked: the sure part is done at once', async () => {
    const cluster = await start({ engine, hosts: 4, mindevcount: 3 });
    const fid = await cluster.upload({ bytes: 'x', on: [1, 2, 3], replicate: false });
    await cluster.damage(2, fid, undefined);
    await cluster.node(3).stop();
    await cluster.jobs.monitor.refresh();
    await runFsck(cluster, { waiting: 1 });
    expect(await foundIn(cluster)).toEqual(['MISS 2', 'REPL']);
    expect(await cluster.replicas(fid)).toEqual([1, 3]);
    await cluster.node(3).start();
    await cluster.jobs.monitor.refresh();
    await settled(cluster);
    // The policy is still short, which is known; nothing new was found.
    expect(await foundIn(cluster)).toEqual(['MISS 2', 'REPL']);
  });

  test('a lost file is not given up while a device that may have it is away', async () => {
    const cluster = await start({ engine, hosts: 3 });
    const fid = await cluster.upload({ bytes: 'x', on: [1, 3], replicate: false });
    await cluster.sql(`DELETE FROM file_on WHERE fid = ${fid} AND devid = 3`);
    await cluster.sql(`UPDATE file SET devcount = 1 WHERE fid = ${fid}`);
    await cluster.damage(1, fid, undefined);
    await cluster.node(3).stop();
    await cluster.jobs.monitor.refresh();
    await runFsck(cluster, { waiting: 1 });
    expect(await foundIn(cluster)).toEqual([]);
    expect(await cluster.replicas(fid)).toEqual([1]);
    await cluster.node(3).start();
    await cluster.jobs.monitor.refresh();
    await settled(cluster);
    expect(await foundIn(cluster)).toEqual(['POVI', 'MISS 1', 'SRCH', 'FOND', 'REPL']);
    expect(await cluster.replicas(fid)).toEqual([3]);
  });

  test('what fsck finds, replication heals', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const fid = await cluster.upload({ bytes: 'x', on: [1, 2] });
    await cluster.damage(2, fid, undefined);
    await runFsck(cluster);
    await until('there are two copies again', async () => {
      const devids = await cluster.replicas(fid);
      const bytes = await Promise.all(devids.map((devid) => cluster.bytesOn(devid, fid)));
      return bytes.join() === 'x,x';
    });
  });
});

function sha1Of(bytes: string): string {
  return createHash('sha1').update(bytes).digest('hex');
}

test('a device is asked no more at once than its limit allows, for lengths and bytes', async () => {
  const inFlight = { now: new Map<string, number>(), most: { size: 0, digest: 0 } };
  const { now, most } = inFlight;
  const counted = async <T>(what: 'size' | 'digest', url: string, ask: () => Promise<T>) => {
    const { host } = new URL(url);
    now.set(host, (now.get(host) ?? 0) + 1);
    most[what] = Math.max(most[what], now.get(host) ?? 0);
    return ask().finally(() => now.set(host, (now.get(host) ?? 0) - 1));
  };
  const cluster = await startCluster({
    engine: 'sqlite',
    hosts: 2,
    hashtype: 'MD5',
    settings: { replicateJobs: 0, deleteJobs: 0 },
    devices: (real) => ({
      ...real,
      size: (url, options) => counted('size', url, () => real.size(url, options)),
      digest: (url, ...rest) => counted('digest', url, () => real.digest(url, ...rest)),
    }),
  });
  for (let number = 0; number < 20; number += 1) {
    const key = `key${number}`;
    await cluster.upload({ bytes: key, on: [1, 2], key, replicate: false });
  }
  await cluster.store.setSetting({ field: 'omg_device_copies', value: '2' });
  await cluster.jobs.monitor.refresh();
  await runFsck(cluster);
  expect(await foundIn(cluster)).toEqual(Array(20).fill('NSUM'));
  await cluster.store.setSetting({ field: 'fsck_checksum', value: 'off' });
  await runFsck(cluster);
  expect(most).toEqual({ size: 2, digest: 2 });
});
