/**
 * Goal: I8, I9. Work that takes longer than a claim lasts keeps its row, and what a tracker had
 * claimed that died is soon another's.
 * Method: work held back by the test, with claims of seconds, on real databases.
 */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import type { Store } from '../../src/store/store.ts';
import { type EngineName, engines, startCluster } from './cluster.ts';

/** A cluster whose devices copy, delete and tell sizes only when the test lets them. */
async function startHeld(engine: EngineName, options: { mindevcount?: number } = {}) {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const cluster = await startCluster({
    engine,
    hosts: 2,
    ...options,
    settings: { claimSeconds: 2 },
    devices: (real) => ({
      ...real,
      copy: (request) => held.then(() => real.copy(request)),
      remove: (url) => held.then(() => real.remove(url)),
      size: (url, sizing) => held.then(() => real.size(url, sizing)),
    }),
  });
  const records = (fid: number) => cluster.store.fidRecords(fid);
  /** Holds on until the claim of a row was renewed, and lets go then. */
  const longer = async (nexttry: () => Promise<number | undefined>) => {
    const first = await until('it is claimed', async () => (await nexttry()) || undefined);
    // No tracker that dies may hold up its work for longer than others can wait.
    expect(first).toBeLessThan(Date.now() / 1000 + 60);
    await until('its claim began anew', async () => ((await nexttry()) ?? 0) > first);
    release();
    await until('the row is gone', async () => (await nexttry()) === undefined);
  };
  return { cluster, records, longer };
}

/** Makes the first that locks a file lose its lock when the test says so. */
function loseFirstLock() {
  const losing = new AbortController();
  const lock = {
    /** How often files were locked. */
    turns: 0,
    lose: () => losing.abort(),
    watch: (store: Store) => {
      const { withLock } = store;
      store.withLock = async <T>(
        request: { name: string; waitMs: number },
        work: (lost: AbortSignal) => Promise<T>,
      ) => {
        const isFile = request.name.startsWith('mgfs:fid:');
        lock.turns += isFile ? 1 : 0;
        const isFirst = isFile && lock.turns === 1;
        let result: T | undefined;
        await withLock.call(store, request, async (lost) => {
          result = await work(isFirst ? AbortSignal.any([lost, losing.signal]) : lost);
        });
        return result;
      };
    },
  };
  return lock;
}

describe.each(engines)('claims on %s', (engine) => {
  test('a long copy renews its claim, and its row goes in the end', async () => {
    const { cluster, records, longer } = await startHeld(engine);
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await longer(async () => (await records(fid)).replication?.nexttry);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    expect(cluster.lines.filter(({ event }) => event === 'replica.written')).toHaveLength(1);
  });

  test('a long deletion renews its claim, and its row goes in the end', async () => {
    const { cluster, records, longer } = await startHeld(engine);
    const fid = await cluster.upload({ bytes: 'hello', on: [1, 2], key: 'gone', replicate: false });
    await cluster.store.deleteKey({ dmid: cluster.dmid, dkey: 'gone' });
    cluster.jobs.wakeDelete();
    // It is due from the moment on that it was deleted.
    const due = (await records(fid)).deletion?.nexttry;
    await longer(async () => {
      const nexttry = (await records(fid)).deletion?.nexttry;
      return nexttry === due ? 0 : nexttry;
    });
    expect(await cluster.replicas(fid)).toEqual([]);
  });

  test('a check that takes long renews its claim', async () => {
    const { cluster, records, longer } = await startHeld(engine, { mindevcount: 1 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await cluster.sql(`INSERT INTO file_to_queue (fid, type, nexttry) VALUES (${fid}, 1, 0)`);
    cluster.jobs.wakeFsck();
    await longer(async () => (await records(fid)).fsck?.nexttry);
  });

  test("I9: what a tracker that died copied and deleted is soon another's", async () => {
    const cluster = await startCluster({ engine, hosts: 2, start: false });
    await cluster.jobs.monitor.reload();
    const { store } = cluster;
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const gone = await cluster.upload({ bytes: 'bye', on: [2], key: 'gone', replicate: false });
    await store.deleteKey({ dmid: cluster.dmid, dkey: 'gone' });
    expect(await store.claimReplications(9, 1)).toHaveLength(1);
    expect(await store.claimDeletions(9, 1)).toHaveLength(1);
    await cluster.anotherTracker();
    await until('all is done', async () => {
      const { replicate, delete: deletions } = await store.queueDepths();
      return replicate + deletions === 0;
    });
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
    expect(await cluster.replicas(gone)).toEqual([]);
  });

  test('I2: a tracker that wakes up without its lock removes nothing', async () => {
    const lock = loseFirstLock();
    const removedIn: number[] = [];
    let seen = 0;
    const cluster = await startCluster({
      engine,
      hosts: 3,
      devices: (real, store) => {
        lock.watch(store);
        return {
          ...real,
          // With the last answer comes the news that the lock is gone.
          size: async (url, options) => {
            const size = await real.size(url, options);
            seen += 1;
            if (seen === 3) setImmediate(lock.lose);
            return size;
          },
          remove: (url) => {
            removedIn.push(lock.turns);
            return real.remove(url);
          },
        };
      },
    });
    const fid = await cluster.upload({ bytes: 'hello', on: [1, 2, 3] });
    await until('one is removed', async () => (await cluster.replicas(fid)).length === 2);
    expect(removedIn).toEqual([2]);
  });

  test('what two trackers copied, one of them without its lock, is not one too many', async () => {
    const lock = loseFirstLock();
    let fid = 0;
    let copies = 0;
    const cluster = await startCluster({
      engine,
      hosts: 3,
      devices: (real, store) => {
        lock.watch(store);
        return {
          ...real,
          copy: async (request) => {
            const outcome = await real.copy(request);
            copies += 1;
            // What another tracker that took over has done by then.
            const devid = request.to.includes('/dev2/') ? 3 : 2;
            await store.addReplica({ fid, devid });
            lock.lose();
            return outcome;
          },
        };
      },
    });
    const { store, jobs } = cluster;
    fid = await cluster.upload({ bytes: 'hello', on: [1, 2, 3], replicate: false });
    for (const devid of [2, 3]) await store.removeReplica({ fid, devid });
    await store.enqueueReplication({ fid, nexttry: 0 });
    jobs.wakeReplicate();
    await until('one too many is removed', () => {
      return cluster.lines.some(({ event }) => event === 'replica.trimmed');
    });
    expect(await cluster.replicas(fid)).toHaveLength(2);
    expect(copies).toBe(1);
  });

  test('how long a row waits is counted by the clock of the database', async () => {
    const { now } = Date;
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
    onTestFinished(() => clock.mockRestore());
    const cluster = await startCluster({ engine, hosts: 1 });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const { nexttry } = await until('it waits', async () => {
      const { replication } = await cluster.store.fidRecords(fid);
      return replication?.failcount === 1 ? replication : undefined;
    });
    // An hour is what a job waits here.
    expect(nexttry).toBeLessThan(now() / 1000 + 5_400);
  });

  test('a row that was enqueued again is not taken back', async () => {
    const { store, sql } = await startCluster({ engine, hosts: 0, start: false });
    await store.enqueueReplication({ fid: 7, nexttry: 0 });
    const rows = await store.claimReplications(1);
    await sql('UPDATE file_to_replicate SET nexttry = 5 WHERE fid = 7');
    await store.renewReplications(rows);
    for (const row of rows) await store.finishReplication(row);
    expect((await store.fidRecords(7)).replication?.nexttry).toBe(5);
  });

  test('the claims of a long check are renewed, but for those that hold no more', async () => {
    const { store, sql } = await startCluster({ engine, hosts: 0, start: false });
    await sql('INSERT INTO file_to_queue (fid, type, nexttry) VALUES (7, 1, 0), (8, 1, 0)');
    const rows = await store.fsck.claim(2, 30);
    for (const row of rows) row.claims = [5];
    await sql('UPDATE file_to_queue SET nexttry = fid - 2');
    await store.fsck.renew(rows, 30);
    const claims = rows.map(({ fid, claims: [claim = 0] }) => [fid, claim > 1_600_000_000]);
    expect(claims.toSorted()).toEqual([
      [7, true],
      [8, false],
    ]);
    await store.fsck.settle({ rows, miscounted: [], waits: [] });
    expect((await store.fidRecords(7)).fsck).toBeUndefined();
    expect((await store.fidRecords(8)).fsck?.nexttry).toBe(6);
  });

  test('a claim that another made in the same second is not taken for a renewed one', async () => {
    const { store, sql } = await startCluster({ engine, hosts: 0, start: false });
    await sql('INSERT INTO file_to_queue (fid, type, nexttry) VALUES (7, 1, 0), (8, 1, 0)');
    const rows = await store.fsck.claim(2, 30);
    for (const row of rows) row.claims = [5];
    // Whether or not the second ends before the renewal: one row is what that would write.
    const now = Math.floor(Date.now() / 1000);
    await sql(`UPDATE file_to_queue SET nexttry = ${now} + 30 + fid - 7`);
    await store.fsck.renew(rows, 30);
    expect(rows.map(({ claims }) => claims)).toEqual([[], []]);
  });

  test('a check that ends while its claim is renewed is over', async () => {
    const { store, sql } = await startCluster({ engine, hosts: 0, start: false });
    await sql('INSERT INTO file_to_queue (fid, type, nexttry) VALUES (7, 1, 0), (8, 1, 0)');
    const rows = await store.fsck.claim(2, 30);
    // Nobody knows yet whether it was written: of one it was, of the other not.
    for (const row of rows) row.claims = [5, 6];
    await sql('UPDATE file_to_queue SET nexttry = fid - 2');
    await store.fsck.settle({ rows, miscounted: [], waits: [] });
    for (const fid of [7, 8]) expect((await store.fidRecords(fid)).fsck).toBeUndefined();
  });

  test('a row that another has claimed since is not repaired again', async () => {
    const cluster = await startCluster({ engine, hosts: 1, settings: { fsckJobs: 0 } });
    const { store, sql } = cluster;
    const fid = await cluster.upload({ bytes: 'hello', on: [1], replicate: false });
    await store.fsck.enqueue([fid]);
    const [ours] = await store.fsck.claim(1, 30);
    await sql(`UPDATE file_to_queue SET nexttry = 0 WHERE fid = ${fid}`);
    const [theirs] = await store.fsck.claim(1, 60);
    const change = { forget: [], replicate: true, recount: true };
    const events = [{ code: 'POVI' }] as const;
    expect(await store.fsck.repair({ ...change, events, row: ours! })).toBe(false);
    expect(await store.fsck.log({ after: 0, limit: 9 })).toEqual([]);
    expect(await store.fsck.repair({ ...change, events, row: theirs! })).toBe(true);
    expect(await store.fsck.log({ after: 0, limit: 9 })).toHaveLength(1);
    expect((await store.fidRecords(fid)).fsck).toBeUndefined();
  });

  test('I9: the checks of a tracker that died are soon those of another', async () => {
    const cluster = await startCluster({ engine, hosts: 1, mindevcount: 1, start: false });
    await cluster.jobs.monitor.reload();
    const { store } = cluster;
    const fid = await cluster.upload({ bytes: 'hello', on: [1], replicate: false });
    await store.fsck.enqueue([fid]);
    expect(await store.fsck.claim(1, 1)).toHaveLength(1);
    await cluster.anotherTracker();
    await until('it is done', async () => (await store.fidRecords(fid)).fsck === undefined);
  });
});
