/**
 * Goal: I1, I2, I5, I8. Replicate and delete keep every acknowledged file, finish and never work
 * twice, whatever happens to a tracker, a storage node or the database while files are stored,
 * overwritten and deleted.
 * Method: real processes, SIGKILL and SIGSTOP in the middle of a storm of writers; afterwards the
 * queues have to drain, and `omgfs admin verify` reads everything.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeze } from '../helpers/freeze.ts';
import { JobSite } from '../helpers/job-site.ts';
import { type MariaDb, startMariaDb } from '../helpers/mariadb.ts';
import { until } from '../helpers/wait.ts';

let server: MariaDb;
let site: JobSite;

beforeAll(async () => {
  server = await startMariaDb();
  site = await JobSite.start(server);
});
afterAll(async () => {
  await site?.stop();
  await server?.stop();
});

async function expectWhole(): Promise<void> {
  await site.settle();
  expect(await site.verify()).toEqual([]);
  expect(await site.undead()).toEqual([]);
}

test('I8: two healthy trackers write no replica twice', async () => {
  await site.storm(async () => {});
  await expectWhole();
  expect(await site.doubled()).toEqual([]);
  const written = await site.logged('replica.written');
  expect(written.length).toBeGreaterThan(60);
});

test('I1, I2, I5: a tracker is killed with copies and deletions in work', async () => {
  const [first, second] = site.cluster.trackerDaemons;
  await site.storm(async () => {
    await first?.kill('SIGKILL');
    await first?.start();
    await second?.kill('SIGKILL');
    await second?.start();
  });
  await expectWhole();
});

test('I1, I2, I5: a storage node hangs for a while', async () => {
  const pid = site.cluster.hosts[1]?.pid ?? 0;
  const [devid = 0] = site.cluster.hosts[1]?.devids ?? [];
  await site.storm(async () => {
    await freeze(pid);
    try {
      await until('the trackers to notice', async () => {
        const fields = await site.call('get_devices', { devid });
        return fields.dev1_observed_state === 'unreachable';
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
  await expectWhole();
});

test('I1, I2, I5: the database is killed and comes back', async () => {
  await site.storm(() => server.restart());
  await expectWhole();
});
