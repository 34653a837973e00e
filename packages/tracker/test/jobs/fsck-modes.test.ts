/**
 * Goal: I5. A check is done as the run wanted that asked for it, whatever run comes after: one that
 * waits for a device is not taken for done by a run that asks no devices, and none of a run's files
 * are passed over because of what an earlier one found on the way.
 * And each finding is counted once for a run, whoever comes upon it.
 * Method: runs that follow each other, while a device is down.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';
import { foundIn, runFsck, settled } from './fsck-run.ts';

function start(engine: (typeof engines)[number], fsckJobs = 1): Promise<TestCluster> {
  const settings = { replicateJobs: 0, deleteJobs: 0, fsckJobs };
  return startCluster({ engine, hosts: 3, settings });
}

/** A file whose second replica is gone, of which a device that is down is no proof. */
async function uploadHalfLost(cluster: TestCluster): Promise<number> {
  const fid = await cluster.upload({ bytes: 'x', on: [1, 2], replicate: false });
  await cluster.damage(2, fid, undefined);
  await cluster.sql("UPDATE device SET status = 'down' WHERE devid = 2");
  await cluster.jobs.monitor.refresh();
  return fid;
}

async function comesBack(cluster: TestCluster): Promise<void> {
  await cluster.sql("UPDATE device SET status = 'alive' WHERE devid = 2");
  await cluster.jobs.monitor.refresh();
  await settled(cluster);
}

describe.each(engines)('runs after each other on %s', (engine) => {
  test('I5: what waits for a device is asked for later, past a policy-only run', async () => {
    const cluster = await start(engine);
    const fid = await uploadHalfLost(cluster);
    await runFsck(cluster, { waiting: 1 });
    await cluster.store.fsck.hasten([2]);
    await runFsck(cluster, { policyOnly: true, waiting: 1 });
    await comesBack(cluster);
    expect(await foundIn(cluster)).toEqual(['MISS 2', 'REPL']);
    expect(await cluster.replicas(fid)).toEqual([1]);
  });

  test('I5: and also when the policy-only run has doubts of its own', async () => {
    const cluster = await start(engine);
    const fid = await uploadHalfLost(cluster);
    await runFsck(cluster, { waiting: 1 });
    cluster.jobs.want('fsck', 0);
    const { store } = cluster;
    await store.addReplica({ fid, devid: 3 });
    await store.fsck.reset({ policyOnly: true, position: 0, limits: {} });
    await store.fsck.start('gone');
    const owner = 'gone:1';
    await store.fsck.lease({ owner, host: 'gone', abandoned: false });
    const waits = [{ fid, delaySeconds: 0 }];
    const step = { owner, from: 0, to: fid, checked: 1, activeMs: 1, miscounted: [], waits };
    expect(await store.fsck.advance(step)).toBe(true);
    await store.fsck.finish({ owner, from: fid });
    // What it doubted is in order again before anybody looks.
    await store.removeReplica({ fid, devid: 3 });
    cluster.jobs.want('fsck', 1);
    await settled(cluster, 1);
    await comesBack(cluster);
    expect(await foundIn(cluster)).toEqual(['MISS 2', 'REPL']);
  });

  test('what a policy-only run left in the queue asks devices in a full run', async () => {
    const cluster = await start(engine, 0);
    const { store } = cluster;
    const fid = await cluster.upload({ bytes: 'x', on: [1, 2], replicate: false });
    await cluster.damage(2, fid, undefined);
    await store.fsck.reset({ policyOnly: true, position: 0, limits: {} });
    await store.fsck.enqueue([fid]);
    await store.fsck.reset({ policyOnly: false, position: fid, limits: {} });
    cluster.jobs.want('fsck', 1);
    await settled(cluster);
    expect(await foundIn(cluster)).toEqual(['MISS 2', 'REPL']);
  });

  test('I8: after a reset nothing is written that was found as the run was before', async () => {
    const cluster = await start(engine, 0);
    const { fsck } = cluster.store;
    const fid = await cluster.upload({ bytes: 'x', on: [1, 2], replicate: false });
    await fsck.reset({ policyOnly: true, position: 0, limits: {} });
    await fsck.start('tracker');
    const owner = 'tracker:1';
    expect(await fsck.lease({ owner, host: 'tracker', abandoned: false })).toBe(true);
    await fsck.reset({ policyOnly: false, position: 0, limits: {} });
    const step = { owner, from: 0, to: fid, checked: 1, activeMs: 1, miscounted: [], waits: [] };
    expect(await fsck.advance(step)).toBe(false);
    await fsck.finish({ owner, from: 0 });
    expect(await fsck.state()).toMatchObject({ host: 'tracker', position: 0, checked: 0 });
    // Whoever drove it goes on at once.
    expect(await fsck.lease({ owner, host: 'tracker', abandoned: false })).toBe(true);
    expect(await fsck.advance(step)).toBe(true);
  });

  test('a check that waited and a run that is to come by say what they find once', async () => {
    const cluster = await start(engine);
    const { store, sql } = cluster;
    const file = { bytes: 'x', replicate: false };
    const short = await cluster.upload({ ...file, on: [1], key: 'short' });
    const lost = await cluster.upload({ ...file, on: [1, 2], key: 'lost' });
    await cluster.damage(2, lost, undefined);
    const checked = async () => {
      await sql(`INSERT INTO file_to_queue (fid, type, nexttry) VALUES (${short}, 1, 0),
        (${lost}, 1, 0)`);
      cluster.jobs.wakeFsck();
      await until('the checks are done', async () => {
        const { due, inWork } = await store.fsck.queue({ dueMax: 1 });
        return due + inWork === 0;
      });
    };
    // Driven by a tracker of the original, which is slow to begin.
    const begin = async (prefix?: string) => {
      const limits = prefix === undefined ? {} : { dmid: cluster.dmid, prefix };
      await store.fsck.reset({ policyOnly: false, position: 0, limits });
      await store.setSetting({ field: 'fsck_host', value: 'perl' });
    };
    await begin();
    await checked();
    expect(await foundIn(cluster, short)).toEqual([]);
    expect(await foundIn(cluster, lost)).toEqual(['MISS 2']);
    const settings = { replicateJobs: 0, deleteJobs: 0, fsckAbandonedMs: 0, hostname: 'other' };
    const other = await cluster.anotherTracker({ settings });
    await settled(cluster);
    expect(await foundIn(cluster, short)).toEqual(['POVI', 'REPL']);
    expect(await foundIn(cluster, lost)).toEqual(['MISS 2', 'POVI', 'REPL']);
    await other.jobs.stop();
    // A run that will not come by is not waited for.
    await store.fsck.clearLog();
    await begin('elsewhere/');
    await checked();
    expect(await foundIn(cluster, short)).toEqual(['POVI', 'REPL']);
  });
});
