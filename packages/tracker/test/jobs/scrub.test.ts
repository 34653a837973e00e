/**
 * Goal: what nodes find by scrubbing is seen to as fsck would, once, whichever tracker does it, and
 * the last copy stays on the books (I2, I8).
 * Method: real nodes that really scrub, with files that rot on their disks.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath, type ScrubAnswer, scrubHeader, scrubPath } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { rotFile } from '../../../../test/helpers/rot.ts';
import { until } from '../../../../test/helpers/wait.ts';
import type { DeviceClient } from '../../src/devices/device-client.ts';
import { scrubRateField } from '../../src/topology/scrub-view.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';
import { foundIn } from './fsck-run.ts';

const settings = { scrubEveryMs: 50, notesEveryMs: 50 };

/** Stores a file on devices that know its digest. */
async function store(cluster: TestCluster, key: string, on: number[]): Promise<number> {
  const bytes = `the bytes of ${key}`;
  const fid = await cluster.upload({ bytes, on, key, replicate: false });
  const md5 = createHash('md5').update(bytes).digest('base64');
  for (const devid of on) {
    const url = cluster.topology.writeUrl({ devid, fid }) ?? '';
    const headers = { 'content-md5': md5 };
    expect((await fetch(url, { method: 'PUT', body: bytes, headers })).status).toBe(201);
  }
  return fid;
}

function rot(cluster: TestCluster, devid: number, fid: number): void {
  rotFile(cluster.node(devid).docroot + fidPath(devid, fid));
}

/** As an operator sets it; the nodes begin when they hear of it. */
async function scrubAt(cluster: TestCluster, mib: number): Promise<void> {
  await cluster.store.setSetting({ field: scrubRateField, value: String(mib) });
  await cluster.jobs.monitor.refresh();
}

async function ask(cluster: TestCluster, devid: number, order: object = {}): Promise<ScrubAnswer> {
  const { origin } = new URL(cluster.topology.readUrl({ devid, fid: 1 }) ?? '');
  const headers = { [scrubHeader]: '1' };
  const body = JSON.stringify(order);
  const reply = await fetch(origin + scrubPath(devid), { method: 'POST', headers, body });
  expect(reply.status).toBe(200);
  return (await reply.json()) as ScrubAnswer;
}

describe.each(engines)('%s', (engine) => {
  test('I2: a replica that rotted is replaced beside a verified one', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const fid = await store(cluster, 'rotten', [1, 2]);
    const fine = await store(cluster, 'fine', [1, 3]);
    rot(cluster, 1, fid);
    await scrubAt(cluster, 1000);
    await cluster.logged('scrub.repaired', { fid, devid: 1, kind: 'corrupt', verified: 2 });
    await until('two copies', async () => (await cluster.replicas(fid)).length === 2);
    for (const devid of await cluster.replicas(fid)) {
      expect(await cluster.bytesOn(devid, fid)).toBe('the bytes of rotten');
    }
    expect(await foundIn(cluster, fid)).toEqual(['MISS 1', 'REPL']);
    expect(await foundIn(cluster, fine)).toEqual([]);
    expect(await cluster.replicas(fine)).toEqual([1, 3]);
    const kept = await readdir(join(cluster.node(1).docroot, 'dev1/.omgfs/quarantine'));
    expect(kept).toHaveLength(1);
    await until('the node to know', async () => (await ask(cluster, 1)).waiting === 0);
    expect((await ask(cluster, 1)).recent[0]).toMatchObject({
      name: fidPath(1, fid).slice('/dev1/'.length),
      handled: 'its row was removed and the file queued for replication',
    });
    await until('a note for explain', async () => {
      const [note] = await cluster.store.notes.of(fid);
      return note?.job === 'scrub' && note.reason.includes('lies in .omgfs/quarantine/');
    });
    expect(await cluster.store.notes.top(10)).toEqual([]);
  });

  test('I2: the row of the last copy stays, and its finding waits in sight', async () => {
    const cluster = await startCluster({ engine, hosts: 2, settings });
    const alone = await store(cluster, 'alone', [1]);
    const both = await store(cluster, 'both', [1, 2]);
    rot(cluster, 1, alone);
    rot(cluster, 1, both);
    await cluster.node(2).stop();
    await cluster.jobs.monitor.refresh();
    await scrubAt(cluster, 1000);
    await cluster.logged('scrub.last_copy', { fid: alone, devid: 1, delaySeconds: 600 });
    // The node of the other copy may be back soon.
    await cluster.logged('scrub.last_copy', { fid: both, devid: 1, delaySeconds: 60 });
    expect(await cluster.replicas(alone)).toEqual([1]);
    expect(await cluster.replicas(both)).toEqual([1, 2]);
    expect((await ask(cluster, 1)).waiting).toBe(2);
    expect(await foundIn(cluster)).toEqual([]);
    await cluster.node(2).start();
    await cluster.jobs.monitor.refresh();
    await cluster.logged('scrub.repaired', { fid: both, devid: 1, verified: 2 });
    await until('one waits', async () => (await ask(cluster, 1)).waiting === 1);
    expect(await cluster.replicas(alone)).toEqual([1]);
  });

  test('I2: what cannot be read is replaced from another copy, and the last one kept', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const bytes = 'x'.repeat(4096);
    const upload = (key: string, on: number[]) =>
      cluster.upload({ bytes, on, key, replicate: false });
    const [two, one] = [await upload('two', [1, 2]), await upload('one', [1])];
    await cluster.node(1).restartUnable([two, one]);
    // The new copy must not come to lie where it cannot be read either.
    await cluster.sql("UPDATE device SET status = 'readonly' WHERE devid = 1");
    await scrubAt(cluster, 1000);
    await cluster.logged('scrub.repaired', { fid: two, devid: 1, kind: 'unreadable', verified: 2 });
    await until('the other copy', async () => (await cluster.replicas(two)).includes(3));
    expect(await cluster.bytesOn(3, two)).toBe(bytes);
    await cluster.logged('scrub.last_copy', { fid: one, devid: 1, kind: 'unreadable' });
    expect(await cluster.replicas(one)).toEqual([1]);
  });

  test('I6: a node that gives no answer while a finding is looked at keeps its row', async () => {
    let asked = 0;
    let cluster: TestCluster | undefined;
    const devices = (real: DeviceClient): DeviceClient => ({
      ...real,
      digest: async (url, type, options) => {
        if (!url.includes('/dev1/')) return real.digest(url, type, options);
        await cluster?.node(1).stop();
        const outcome = await real.digest(url, type, options);
        await cluster?.node(1).start();
        asked += 1;
        return outcome;
      },
    });
    cluster = await startCluster({ engine, hosts: 2, settings, devices });
    const fid = await store(cluster, 'fine', [1, 2]);
    const node = cluster.node(1);
    await node.stop();
    const name = fidPath(1, fid).slice('/dev1/'.length);
    const at = new Date().toISOString();
    const totals = { files: 0, bytes: 0, verified: 0, recorded: 0 };
    const findings = [{ name, kind: 'unreadable', reason: 'EIO', at }];
    await mkdir(join(node.docroot, 'dev1/.omgfs'), { recursive: true });
    const report = join(node.docroot, 'dev1/.omgfs/scrub.json');
    await writeFile(
      report,
      JSON.stringify({ position: '', rounds: 0, startedAt: '', endedAt: '', totals, findings }),
    );
    await node.start();
    await until('a look at the file', () => asked > 0);
    await cluster.anotherTracker({ settings });
    const started = cluster;
    await until('it to be settled', async () => (await ask(started, 1)).waiting === 0);
    const [seen] = (await ask(cluster, 1)).recent;
    expect(seen).toMatchObject({ name, handled: 'it is in order now' });
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('a finding whose handling fails holds up no others', async () => {
    let failing = '';
    const devices = (real: DeviceClient): DeviceClient => ({
      ...real,
      size: (url, options) =>
        failing !== '' && url.endsWith(failing)
          ? Promise.reject(new Error('a bug'))
          : real.size(url, options),
    });
    const cluster = await startCluster({ engine, hosts: 3, settings, devices });
    const bad = await store(cluster, 'bad', [1, 2]);
    const other = await store(cluster, 'other', [1, 2]);
    failing = fidPath(1, bad);
    for (const fid of [bad, other]) rot(cluster, 1, fid);
    await scrubAt(cluster, 1000);
    await cluster.logged('scrub.failed', { devid: 1, name: failing.slice('/dev1/'.length) });
    await cluster.logged('scrub.repaired', { fid: other, devid: 1 });
    await until('only one waits', async () => (await ask(cluster, 1)).waiting === 1);
    expect(await cluster.replicas(bad)).toEqual([1, 2]);
  });

  test('I8: two trackers see to each finding once', async () => {
    const cluster = await startCluster({ engine, hosts: 3, settings });
    const other = await cluster.anotherTracker({ settings });
    const fids: number[] = [];
    for (let n = 0; n < 6; n += 1) fids.push(await store(cluster, `key ${n}`, [1, 2]));
    for (const fid of fids) rot(cluster, 1, fid);
    await scrubAt(cluster, 1000);
    await other.jobs.monitor.refresh();
    await until('all to be seen to', async () => {
      const { waiting, rounds } = await ask(cluster, 1);
      return rounds > 0 && waiting === 0;
    });
    const lines = [...cluster.lines, ...other.lines];
    const repaired = lines.filter(({ event }) => event === 'scrub.repaired');
    expect(repaired.map(({ fid }) => fid).toSorted()).toEqual(fids.toSorted());
    expect(await foundIn(cluster)).toHaveLength(12);
  });

  test('the rate is that of the setting, and without one that of the node', async () => {
    const cluster = await startCluster({ engine, hosts: 1, settings });
    const rate = async (bytes: number) =>
      until(`a rate of ${bytes}`, async () => (await ask(cluster, 1)).bytesPerSecond === bytes);
    const own = 2 * 1024 * 1024;
    await rate(own);
    await scrubAt(cluster, 7);
    await rate(7 * 1024 * 1024);
    await scrubAt(cluster, 0);
    await rate(0);
    await cluster.store.setSetting({ field: scrubRateField, value: undefined });
    await cluster.jobs.monitor.refresh();
    await rate(own);
  });
});

test('what is read to verify copies keeps to the limit of their device', async () => {
  const reading = { now: 0, most: 0, all: 0 };
  const devices = (real: DeviceClient): DeviceClient => ({
    ...real,
    digest: async (url, type, options) => {
      if (!url.includes('/dev2/')) return real.digest(url, type, options);
      reading.now += 1;
      reading.all += 1;
      reading.most = Math.max(reading.most, reading.now);
      // Long enough that those who do not wait for their turn meet here.
      for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
      return real.digest(url, type, options).finally(() => {
        reading.now -= 1;
      });
    },
  });
  const cluster = await startCluster({ engine: 'sqlite', hosts: 4, settings, devices });
  await cluster.store.setSetting({ field: 'omg_device_copies', value: '1' });
  await cluster.jobs.monitor.refresh();
  const stored = async (key: string, on: number[]): Promise<number> => {
    const fid = await store(cluster, key, on);
    const hex = createHash('md5').update(`the bytes of ${key}`).digest('hex');
    await cluster.store.saveChecksum({ fid, checksum: { type: 'MD5', hex } });
    return fid;
  };
  const trimmed: number[] = [];
  for (const number of [1, 2, 3, 4]) {
    rot(cluster, 1, await stored(`first/${number}`, [1, 2]));
    rot(cluster, 3, await stored(`third/${number}`, [3, 2]));
    trimmed.push(await stored(`many/${number}`, [1, 2, 4]));
  }
  await scrubAt(cluster, 1000);
  for (const fid of trimmed) await cluster.store.enqueueReplication({ fid, nexttry: 0 });
  cluster.jobs.wakeReplicate();
  await until('all to be seen to', async () => {
    const repaired = cluster.lines.filter(({ event }) => event === 'scrub.repaired');
    const left = await Promise.all(
      trimmed.map(async (fid) => (await cluster.replicas(fid)).length),
    );
    return repaired.length === 8 && left.every((count) => count === 2);
  });
  expect(reading.all).toBeGreaterThanOrEqual(12);
  expect(reading.most).toBe(1);
});
