/**
 * Goal: why a file waits can be read from every tracker, until it waits no more.
 * Method: two trackers on one real database; a copy and a deletion that fail, and then do not.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';

const settings = { notesEveryMs: 20 };

async function noteBecomes({ store }: TestCluster, fid: number, code: string | undefined) {
  return until(`the note of ${fid} is ${code}`, async () => {
    const [note] = await store.notes.of(fid);
    return note?.code === code && [note];
  });
}

describe.each(engines)('notes on %s', (engine) => {
  test('a replication that fails leaves its reason, until it is settled', async () => {
    const cluster = await startCluster({ engine, hosts: 1, settings });
    const other = await cluster.anotherTracker({ start: false });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await noteBecomes(cluster, fid, 'policy_no_suggestions');
    const [note] = await other.store.notes.of(fid);
    expect(note).toMatchObject({ job: 'replicate', reason: 'no device can take another copy now' });
    expect(note?.utime).toBeGreaterThan(1_600_000_000);
    const top = [{ job: 'replicate', code: 'policy_no_suggestions', count: 1 }];
    expect(await other.store.notes.top(5)).toMatchObject(top);
    await cluster.addHost(2);
    await cluster.jobs.monitor.refresh();
    await noteBecomes(cluster, fid, undefined);
    expect(await other.store.notes.top(5)).toEqual([]);
  });

  test('a deletion that has to wait says why', async () => {
    const cluster = await startCluster({ engine, hosts: 1, mindevcount: 1, settings });
    const fid = await cluster.upload({ bytes: 'hello', on: [1] });
    await cluster.node(1).stop();
    await cluster.jobs.monitor.refresh();
    await cluster.store.deleteKey({ dmid: cluster.dmid, dkey: 'key' });
    cluster.jobs.wake('delete');
    const [note] = await noteBecomes(cluster, fid, 'cannot_delete');
    expect(note).toMatchObject({ job: 'delete', reason: 'dev1 cannot be reached' });
  });

  test('only the newest notes are kept, and a database without any has none', async () => {
    const { store } = await startCluster({ engine, hosts: 0, start: false });
    expect(await store.notes.of(1)).toEqual([]);
    expect(await store.notes.top(5)).toEqual([]);
    const note = { job: 'replicate' as const, code: 'c', reason: 'r' };
    await store.notes.write([1, 2, 3].map((fid) => ({ ...note, fid, utime: fid })));
    await store.notes.prune(2);
    expect(await store.notes.of(1)).toEqual([]);
    expect(await store.notes.of(2)).toHaveLength(1);
    await store.notes.remove('delete', [2]);
    expect(await store.notes.of(2)).toHaveLength(1);
    await store.notes.remove('replicate', [2, 3]);
    expect(await store.notes.top(5)).toEqual([]);
  });
});
