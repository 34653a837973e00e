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
    const rows = await store.fsck.claim(2);
    for (const row of rows) row.claim = 5;
    await sql('UPDATE file_to_queue SET nexttry = fid - 2');
    await store.fsck.renew(rows);
    const claims = rows.map(({ fid, claim }) => [fid, claim > 1_600_000_000]);
    expect(claims.toSorted()).toEqual([
      [7, true],
      [8, false],
    ]);
    await store.fsck.settle({ rows, miscounted: [], waits: [] });
    expect((await store.fidRecords(7)).fsck).toBeUndefined();
    expect((await store.fidRecords(8)).fsck?.nexttry).toBe(6);
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
      settings: { renewEveryMs: 20 },
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
