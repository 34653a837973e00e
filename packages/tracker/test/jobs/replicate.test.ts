/**
 * Goal: files get the replicas their class wants, from good sources to good targets, and none is
 * taken from them wrongly (I2, I5, I8).
 * Method: the jobs on a real database and real storage nodes; faults are made on disks and nodes.
 */
import { createHash } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checksum } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { replicationDelaySeconds } from '../../src/jobs/replication/backoff.ts';
import { endOfTime } from '../../src/store/store.ts';
import { startTestNode } from '../devices/http-node.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';

function md5Of(bytes: string): Checksum {
  return { type: 'MD5', hex: createHash('md5').update(bytes).digest('hex') };
}

async function drained({ store }: TestCluster): Promise<void> {
  await until('the queue is empty', async () => (await store.queueDepths()).replicate === 0);
}

describe.each(engines)('replication on %s', (engine) => {
  test('a file gets its second copy on another host, at once', async () => {
    const cluster = await startCluster({ engine, hosts: 2, settings: { idleMs: 600_000 } });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    expect(await cluster.bytesOn(2, fid)).toBe('hello');
    const [file] = await cluster.store.filesByFid([fid]);
    expect(file).toMatchObject({ devcount: 2, length: 5 });
  });

  test('a class that another tracker made a moment ago is asked for what it wants', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const { dmid, store } = cluster;
    const classid = await store.createClass({ dmid, name: 'new', mindevcount: 3 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1], classid });
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2, 3]);
  });

  test('an empty file is replicated too', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload({ bytes: '', on: [1] });
    await drained(cluster);
    expect(await cluster.bytesOn(2, fid)).toBe('');
  });

  test('when the source dies another one serves', async () => {
    const cluster = await startCluster({ engine, hosts: 3, mindevcount: 3 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1, 2], replicate: false });
    await cluster.node(1).stop();
    await cluster.store.enqueueReplication({ fid, nexttry: 0, fromdevid: 1 });
    cluster.jobs.wakeReplicate();
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2, 3]);
    expect(await cluster.bytesOn(3, fid)).toBe('hello');
  });

  test('when the target refuses another one takes the copy', async () => {
    const cluster = await startCluster({ engine, hosts: 3 });
    const { docroot } = cluster.node(2);
    await rename(join(docroot, 'dev2'), join(docroot, 'away'));
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const fid = await cluster.upload({ bytes: 'hello', on: [1], key });
      await drained(cluster);
      expect(await cluster.replicas(fid)).toEqual([1, 3]);
    }
  });

  test('a target that answers OK and keeps something else is left for another one', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    const liar = await startTestNode((request, response) => {
      if (request.method !== 'PUT' || request.url?.includes('test-write')) return undefined;
      request.resume().on('end', () => {
        liar.files.set(request.url ?? '', Buffer.from('hell'));
        response.writeHead(200).end();
      });
      return true;
    }, '127.0.0.9');
    liar.files.set('/dev9/usage', Buffer.from('total: 2048\nused: 1024\n'));
    await cluster.addStrangeHost({ base: liar.base, devids: [9] });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const line = await cluster.logged('replication.postponed', { fid });
    expect(line).toMatchObject({
      code: 'copy_error',
      reason: 'dev9: after the copy: has 4 bytes instead of 5',
    });
    expect(await cluster.replicas(fid)).toEqual([1]);
    await cluster.addHost(2);
    await cluster.jobs.monitor.refresh();
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('a source with other bytes is left for a good one when there is a checksum', async () => {
    const cluster = await startCluster({ engine, hosts: 3, mindevcount: 3, hashtype: 'MD5' });
    const file = { bytes: 'hello', on: [1, 2], checksum: md5Of('hello') };
    const fid = await cluster.upload({ ...file, replicate: false });
    await cluster.damage(1, fid, 'jello');
    await cluster.store.enqueueReplication({ fid, nexttry: 0, fromdevid: 1 });
    cluster.jobs.wakeReplicate();
    await drained(cluster);
    expect(await cluster.bytesOn(3, fid)).toBe('hello');
  });

  test('a file deleted while it is copied leaves neither row nor bytes', async () => {
    const cluster = await startCluster({
      engine,
      hosts: 2,
      devices: (real, store) => ({
        ...real,
        copy: async (request) => {
          const outcome = await real.copy(request);
          await store.deleteKey({ dmid: 1, dkey: 'key' });
          return outcome;
        },
      }),
    });
    expect(cluster.dmid).toBe(1);
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await until('both queues are empty', async () => {
      const depths = await cluster.store.queueDepths();
      return depths.replicate === 0 && depths.delete === 0;
    });
    expect(await cluster.replicas(fid)).toEqual([]);
    expect(await cluster.bytesOn(1, fid)).toBeUndefined();
    expect(await cluster.bytesOn(2, fid)).toBeUndefined();
  });

  test('a file with no known replica is parked with the reason (I5)', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1], replicate: false });
    await cluster.store.removeReplica({ fid, devid: 1 });
    await cluster.store.enqueueReplication({ fid, nexttry: 0 });
    cluster.jobs.wakeReplicate();
    const line = await cluster.logged('replication.parked', { fid });
    expect(line).toMatchObject({ code: 'no_source' });
    await until('nobody tries again by himself', async () => {
      const { replication } = await cluster.store.fidRecords(fid);
      return replication?.nexttry === endOfTime;
    });
  });

  test('a file that must wait is hurried when a host is added (I5)', async () => {
    const cluster = await startCluster({ engine, hosts: 1 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const line = await cluster.logged('replication.postponed', { fid });
    expect(line).toMatchObject({ code: 'policy_no_suggestions', failcount: 0 });
    await until('the job reports the file that waits', () => {
      return cluster.jobs
        .status()
        .some(({ name, backlog }) => name === 'replicate' && backlog === 1);
    });
    await cluster.addHost(2);
    await cluster.jobs.monitor.refresh();
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('a policy that is not installed keeps the file as it is and says so', async () => {
    const cluster = await startCluster({ engine, hosts: 2 });
    const { store, dmid, classid } = cluster;
    await store.updateClass({ dmid, classid, replpolicy: 'Everywhere(2)' });
    await cluster.jobs.monitor.refresh();
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const line = await cluster.logged('replication.postponed', { fid });
    expect(line.reason).toBe('Replication policy Everywhere is not installed');
    expect(await cluster.replicas(fid)).toEqual([1]);
  });

  test('two trackers never copy one fid at the same time (I8)', async () => {
    const busy = new Set<string>();
    let copies = 0;
    const overlaps: string[] = [];
    const devices = (real: TestCluster['devices']): TestCluster['devices'] => ({
      ...real,
      copy: async (request) => {
        const name = request.from.slice(request.from.lastIndexOf('/'));
        if (busy.has(name)) overlaps.push(name);
        busy.add(name);
        copies += 1;
        try {
          return await real.copy(request);
        } finally {
          busy.delete(name);
        }
      },
    });
    const cluster = await startCluster({ engine, hosts: 3, devices });
    const other = await cluster.anotherTracker({ devices });
    const fids = [];
    for (let number = 0; number < 40; number += 1) {
      const fid = await cluster.upload({ bytes: 'hello', on: [1], key: `key${number}` });
      fids.push(fid);
      // Again and again, as admins and fsck do, also while the fid is being worked on.
      await cluster.store.enqueueReplication({ fid, nexttry: 0 });
      other.jobs.wakeReplicate();
    }
    await drained(cluster);
    for (const fid of fids) expect(await cluster.replicas(fid)).toHaveLength(2);
    expect(overlaps).toEqual([]);
    expect(copies).toBe(fids.length);
  });

  test('a tracker that stops does not read replicas to their end', async () => {
    let reading = 0;
    const cluster = await startCluster({
      ...{ engine, hosts: 3, hashtype: 'MD5' },
      devices: (real) => ({
        ...real,
        digest: async (url, type, options) => {
          reading += 1;
          await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve));
          return real.digest(url, type, options);
        },
      }),
    });
    const checksum = md5Of('hello');
    const fid = await cluster.upload({ bytes: 'hello', on: [1, 2, 3], checksum });
    await until('the replicas of a file with one too many are read', () => reading === 3);
    await cluster.jobs.stop();
    expect(await cluster.replicas(fid)).toEqual([1, 2, 3]);
    expect(cluster.lines.filter(({ event }) => event === 'replica.faulty')).toEqual([]);
  });

  test('a tracker that stops gives up its copy and leaves the row due', async () => {
    let copying = () => {};
    const began = new Promise<void>((resolve) => {
      copying = resolve;
    });
    const cluster = await startCluster({
      engine,
      hosts: 2,
      devices: (real) => ({
        ...real,
        copy: (request) =>
          new Promise((resolve) => {
            copying();
            const stopped = { state: 'target_failed', reason: 'stopped' } as const;
            request.signals?.[1]?.addEventListener('abort', () => resolve(stopped));
          }),
      }),
    });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await began;
    await cluster.jobs.stop();
    await cluster.anotherTracker();
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });
});

describe.each(engines)('trimming on %s (I2)', (engine) => {
  async function overReplicated(mindevcount: number): Promise<TestCluster & { fid: number }> {
    const cluster = await startCluster({ engine, hosts: 3, mindevcount });
    const fid = await cluster.upload({ bytes: 'hello', on: [1, 2, 3], replicate: false });
    return { ...cluster, fid };
  }

  async function work(cluster: TestCluster & { fid: number }): Promise<void> {
    await cluster.store.enqueueReplication({ fid: cluster.fid, nexttry: 0 });
    cluster.jobs.wakeReplicate();
  }

  test('too many copies are trimmed to those wanted, bytes and all', async () => {
    const cluster = await overReplicated(2);
    await work(cluster);
    await drained(cluster);
    expect(await cluster.replicas(cluster.fid)).toEqual([1, 2]);
    expect(await cluster.bytesOn(3, cluster.fid)).toBeUndefined();
  });

  test('several too many are trimmed one after the other', async () => {
    const cluster = await overReplicated(1);
    await work(cluster);
    await drained(cluster);
    expect(await cluster.replicas(cluster.fid)).toEqual([1]);
    expect(await cluster.bytesOn(1, cluster.fid)).toBe('hello');
  });

  test('a copy that was just made can be one too many, and that is the end of it', async () => {
    let copies = 0;
    let afterLast = async () => {};
    const cluster = await startCluster({
      engine,
      hosts: 3,
      mindevcount: 3,
      // The changed class queues its files once more, for when every tracker knows of the change.
      settings: { settleSeconds: 0 },
      devices: (real) => ({
        ...real,
        copy: async (request) => {
          const outcome = await real.copy(request);
          copies += 1;
          if (copies === 2) await afterLast();
          return outcome;
        },
      }),
    });
    afterLast = async () => {
      const { dmid, classid } = cluster;
      await cluster.store.updateClass({ dmid, classid, mindevcount: 1 });
      await cluster.jobs.monitor.reload();
    };
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await until('two copies were made', () => copies === 2);
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([1]);
    expect(copies).toBe(2);
  });

  test('a damaged replica goes first and good ones stay', async () => {
    const cluster = await overReplicated(2);
    await cluster.damage(1, cluster.fid, 'hell');
    await work(cluster);
    await drained(cluster);
    expect(await cluster.replicas(cluster.fid)).toEqual([2, 3]);
  });

  test('when too few can be verified nothing is removed', async () => {
    const cluster = await overReplicated(2);
    await cluster.damage(1, cluster.fid, 'hell');
    await cluster.damage(2, cluster.fid, undefined);
    await work(cluster);
    const line = await cluster.logged('replication.postponed', { fid: cluster.fid });
    expect(line.code).toBe('too_happy');
    expect(await cluster.replicas(cluster.fid)).toEqual([1, 2, 3]);
    expect(await cluster.bytesOn(3, cluster.fid)).toBe('hello');
  });

  test('the last good copy survives even where one copy is enough', async () => {
    const cluster = await overReplicated(1);
    await cluster.damage(1, cluster.fid, 'hell');
    await cluster.damage(3, cluster.fid, undefined);
    await work(cluster);
    await drained(cluster);
    expect(await cluster.replicas(cluster.fid)).toEqual([2]);
    expect(await cluster.bytesOn(2, cluster.fid)).toBe('hello');
  });

  test('a host that is down keeps its replica and the others theirs', async () => {
    const cluster = await overReplicated(2);
    await cluster.node(1).stop();
    await cluster.jobs.monitor.refresh();
    await work(cluster);
    const line = await cluster.logged('replication.postponed', { fid: cluster.fid });
    expect(line.code).toBe('too_happy');
    expect(await cluster.replicas(cluster.fid)).toEqual([1, 2, 3]);
  });

  test('where a checksum is known bytes are compared, not lengths', async () => {
    const cluster = await startCluster({ engine, hosts: 3, mindevcount: 2, hashtype: 'MD5' });
    const file = { bytes: 'hello', on: [1, 2, 3], checksum: md5Of('hello') };
    const fid = await cluster.upload({ ...file, replicate: false });
    await cluster.damage(1, fid, 'jello');
    await work({ ...cluster, fid });
    await drained(cluster);
    expect(await cluster.replicas(fid)).toEqual([2, 3]);
  });
});

test('back-off grows as the original says, spread by a fifth', () => {
  const seconds = (random: number) =>
    Array.from({ length: 10 }, (_, failcount) => replicationDelaySeconds(failcount, () => random));
  const table = [15, 60, 300, 1800, 3600, 7200, 14_400, 28_800, 86_400, 86_400];
  expect(seconds(0.5)).toEqual(table);
  expect(seconds(0)).toEqual(table.map((delay) => delay * 0.8));
});
