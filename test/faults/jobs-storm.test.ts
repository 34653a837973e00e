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

test('I1, I2, I5, I9: a node hangs and the database dies while a disk is emptied', async () => {
  const [first, second] = site.cluster.hosts;
  await site.storm(() =>
    site.empty(first?.devids[0] ?? 0, async () => {
      await freeze(second?.pid);
      await server.restart().finally(() => process.kill(second?.pid ?? 0, 'SIGCONT'));
    }),
  );
  await expectWhole();
});

test('I5, I9: the database and the tracker that looks are killed while fsck runs', async () => {
  const rate = { key: 'queue_rate_for_fsck', value: '100' };
  await site.call('set_server_setting', rate);
  const status = await site.fsck(async () => {
    const checked = async () => Number((await site.call('fsck_status')).checked) > 0;
    await until('it to begin', checked);
    await server.restart();
    const [{ value } = { value: '' }] = await site.rows(
      "SELECT value FROM server_settings WHERE field = 'omg_fsck_lease'",
    );
    const { trackerDaemons } = site.cluster;
    const driver = trackerDaemons.find(({ pid }) => String(value).includes(`:${pid}:`));
    await driver?.kill('SIGKILL');
    await driver?.start();
    await site.call('set_server_setting', { ...rate, value: '' });
  });
  const [files] = await site.rows('SELECT COUNT(*) AS n FROM file');
  // Each once: the position and the counts move together.
  expect(status.checked).toBe(String(files?.n));
  expect(status.max_fid_checked).toBe(status.end_fid);
  await expectWhole();
});
