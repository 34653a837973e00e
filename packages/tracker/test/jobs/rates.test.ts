/**
 * Goal: every tracker can tell what the jobs of all of them get through, and which of them rest.
 * Method: two trackers on one real database; one works, the other is asked.
 */
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { deviceLoad, explainDevice } from '../../src/commands/explain/explain-device.ts';
import { queueStats } from '../../src/commands/explain/queue-stats.ts';
import { engines, startCluster, type TestCluster } from './cluster.ts';

async function statsOf({ store }: Pick<TestCluster, 'store'>) {
  return queueStats({ store })({ args: {}, address: '127.0.0.1' });
}

describe.each(engines)('rates on %s', (engine) => {
  test('are those of all trackers that spoke of late, each with its last word', async () => {
    const { store } = await startCluster({ engine, hosts: 0, start: false });
    expect(await store.rates.total()).toEqual(new Map());
    await store.rates.write('one', new Map([['replicate', 100]]));
    await store.rates.write('one', new Map(Object.entries({ replicate: 2, delete: 0.5 })));
    await store.rates.write('two', new Map([['replicate', 3]]));
    expect(await store.rates.total()).toEqual(
      new Map(Object.entries({ replicate: 5, delete: 0.5 })),
    );
  });

  test('how long it takes to get a dead device off the books is told', async () => {
    const cluster = await startCluster({ engine, hosts: 2, start: false });
    const { store, topology, jobs } = cluster;
    await jobs.monitor.reload();
    for (const key of ['a', 'b', 'c']) {
      await cluster.upload({ bytes: 'x', on: [1, 2], key, replicate: false });
    }
    for (const devid of [1, 2]) await store.setDeviceStatus({ devid, status: 'dead' });
    const said = async () => {
      await jobs.monitor.reload();
      return explainDevice(
        topology,
        2,
        await deviceLoad({ store, topology, settleSeconds: 0 }, 2),
      ).join('\n');
    };
    expect(await said()).toContain('nobody can tell yet how fast');
    // Each of the two gets its half.
    await store.rates.write('one', new Map([['reaper', 0.1]]));
    expect(await said()).toContain('copies, 0.1 a second: 60 seconds more.');
    await store.rates.write('one', new Map([['reaper', 0.01]]));
    expect(await said()).toContain('10 minutes more.');
    await store.setSetting({ field: 'omg_pause_reaper', value: '1' });
    expect(await said()).toContain('but the reaper is paused');
  });

  test('what one tracker copies is seen by another', async () => {
    const cluster = await startCluster({ engine, hosts: 2, settings: { ratesEveryMs: 10 } });
    const other = await cluster.anotherTracker({ start: false });
    await cluster.upload({ bytes: 'hello', on: [1] });
    const rate = await until('it is seen', async () =>
      (await other.store.rates.total()).get('replicate'),
    );
    expect(rate).toBeGreaterThan(0);
  });

  test('a queue says its rate, how long it will take, and whether it rests', async () => {
    const cluster = await startCluster({ engine, hosts: 0, start: false });
    const { store } = cluster;
    for (const fid of [1, 2, 3]) await store.enqueueReplication({ fid, nexttry: 0 });
    await store.rates.write('one', new Map([['replicate', 0.5]]));
    expect(await statsOf(cluster)).toMatchObject({
      queue1_name: 'replicate',
      queue1_per_second: '0.50',
      queue1_eta_seconds: 6,
      queue1_paused: 0,
    });
    // Nothing is due before an hour: no rate says how long that takes.
    await store.claimReplications(3, 3600);
    expect((await statsOf(cluster)).queue1_eta_seconds).toBeUndefined();
    await store.setSetting({ field: 'omg_pause_replicate', value: '1' });
    const paused = await statsOf(cluster);
    expect(paused).toMatchObject({ queue1_paused: 1, queue1_per_second: '0.00', job1_paused: 1 });
    expect(paused.queue1_eta_seconds).toBeUndefined();
  });

  test('every job rests while its setting is on', async () => {
    const cluster = await startCluster({ engine, hosts: 0 });
    const states = () =>
      cluster.jobs.status().flatMap(({ name, state }) => (name === 'monitor' ? [] : [state]));
    const set = async (value: string) => {
      for (const job of ['replicate', 'delete', 'fsck', 'rebalance', 'reaper']) {
        await cluster.store.setSetting({ field: `omg_pause_${job}`, value });
      }
      await cluster.jobs.monitor.reload();
    };
    await set('1');
    expect(states()).toEqual(['paused', 'paused', 'paused', 'paused']);
    await set('0');
    expect(states()).toEqual(['running', 'running', 'running', 'running']);
  });
});
