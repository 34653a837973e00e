/**
 * Goal: a copy that takes longer than the lease of its claim keeps the row (I8).
 * Method: a copy held back by the test, with a short time between renewals, on real databases.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { engines, startCluster } from './cluster.ts';

describe.each(engines)('claims on %s', (engine) => {
  test('a long copy renews its claim, and its row goes in the end', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const cluster = await startCluster({
      engine,
      hosts: 2,
      settings: { renewEveryMs: 20 },
      devices: (real) => ({
        ...real,
        copy: async (request) => {
          await held;
          return real.copy(request);
        },
      }),
    });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    const nexttry = async () => (await cluster.store.fidRecords(fid)).replication?.nexttry ?? 0;
    const first = await until('it is claimed', async () => (await nexttry()) || undefined);
    await until('the lease began anew', async () => (await nexttry()) > first);
    release();
    await until('the row is gone', async () => (await nexttry()) === 0);
    expect(await cluster.replicas(fid)).toEqual([1, 2]);
  });

  test('a row that was enqueued again is not taken back', async () => {
    const { store, sql } = await startCluster({ engine, hosts: 0, start: false });
    await store.enqueueReplication({ fid: 7, nexttry: 0 });
    await store.claimReplications(1);
    await sql('UPDATE file_to_replicate SET nexttry = 5 WHERE fid = 7');
    await store.renewReplication(7);
    await store.finishReplications([7]);
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
    const cluster = await startCluster({ engine, hosts: 1, mindevcount: 1 });
    const { store, sql, jobs } = cluster;
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await jobs.stop();
    const nexttry = async () => (await store.fidRecords(fid)).fsck?.nexttry;
    await store.fsck.enqueue([fid]);
    await store.fsck.claim(1, 1);
    const another = await cluster.anotherTracker();
    another.jobs.wakeFsck();
    await until('it is done', async () => (await nexttry()) === undefined);
    // What a tracker claims by itself is not held for longer than others can wait.
    await another.jobs.stop();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await cluster.anotherTracker({
      devices: (real) => ({ ...real, size: (url) => held.then(() => real.size(url)) }),
    });
    await sql(`INSERT INTO file_to_queue (fid, type, nexttry) VALUES (${fid}, 1, 0)`);
    const claim = await until('it is claimed', nexttry);
    expect(claim).toBeLessThan(Date.now() / 1000 + 120);
    release();
  });

  test('a check that takes long renews its claim', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const cluster = await startCluster({
      engine,
      hosts: 1,
      mindevcount: 1,
      settings: { fsckLeaseSeconds: 2 },
      devices: (real) => ({
        ...real,
        size: async (url, options) => {
          await held;
          return real.size(url, options);
        },
      }),
    });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await cluster.sql(`INSERT INTO file_to_queue (fid, type, nexttry) VALUES (${fid}, 1, 0)`);
    cluster.jobs.wakeFsck();
    const nexttry = async () => (await cluster.store.fidRecords(fid)).fsck?.nexttry ?? 0;
    const first = await until('it is claimed', async () => (await nexttry()) || undefined);
    await until('the lease began anew', async () => (await nexttry()) > first);
    release();
    await until('the row is gone', async () => (await nexttry()) === 0);
  });
});
