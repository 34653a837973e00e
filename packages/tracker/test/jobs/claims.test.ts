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
});
