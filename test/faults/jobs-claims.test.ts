/**
 * Goal: I2, I5, I8, I9. What a tracker had begun to copy and to delete that is killed, or hangs, is
 * done by another within the time of its claims; one that wakes up again spoils nothing.
 * Method: real processes. Rows that the test has locked hold two trackers up in the middle of
 * their work, whose queues nobody touches afterwards.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freezeAll } from '../helpers/freeze.ts';
import { JobSite } from '../helpers/job-site.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

let site: JobSite;

beforeAll(async () => {
  site = await JobSite.start(sharedServer(), { hosts: 2, devicesPerHost: 1, trackers: 3 });
});
afterAll(() => site?.stop());

/** Sets how much a tracker copies and deletes at once. */
async function want(tracker: number, count: number): Promise<void> {
  const raw = new RawClient(site.cluster.trackers[tracker] ?? '');
  for (const job of ['replicate', 'delete']) await raw.admin(`!want ${count} ${job}`);
  // Answered by the process that was told so before.
  await raw.admin('!jobs');
  await raw.close();
}

/** The server looks anew at who waits only when nobody asked for a tenth of a second. */
const calmly = { everyMs: 300 };

/** Statements on this database that wait for a row which somebody else holds. */
async function waiting(): Promise<number> {
  const [row] = await site.rows(
    `SELECT COUNT(*) AS n FROM information_schema.innodb_trx t
     JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
     WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()`,
  );
  return Number(row?.n);
}

async function queued(): Promise<string> {
  const [row] = await site.rows(
    `SELECT (SELECT COUNT(*) FROM file_to_replicate) AS copies,
       (SELECT COUNT(*) FROM file_to_delete2) AS deletions`,
  );
  return `${row?.copies} copies, ${row?.deletions} deletions`;
}

test('I9: the work of a killed tracker and of one that hangs is done by a third', async () => {
  const { trackerDaemons } = site.cluster;
  for (const tracker of [0, 1, 2]) await want(tracker, 0);
  const keys = ['kept/1', 'kept/2', 'deleted/1', 'deleted/2'];
  for (const key of keys) await site.writers.put(key, Buffer.from(key));
  for (const key of keys.slice(2)) await site.writers.delete(key);
  await site.rows('DELETE FROM file_to_replicate WHERE fid NOT IN (SELECT fid FROM file)');
  const letGo = await site.hold('SELECT * FROM file', 'SELECT * FROM file_on');
  await want(0, 1);
  const middle = 'a tracker to be in the middle of a copy and a deletion';
  await until(middle, async () => (await waiting()) >= 2, calmly);
  await want(1, 1);
  await until('another one to be there, too', async () => (await waiting()) >= 4, calmly);
  expect(await queued()).toBe('2 copies, 2 deletions');
  await trackerDaemons[0]?.kill('SIGKILL');
  const wake = await freezeAll(trackerDaemons[1]?.pid);
  try {
    await letGo();
    await want(2, 4);
    const done = async () => {
      const left = await queued();
      if (left === '0 copies, 0 deletions') return true;
      throw new Error(left);
    };
    // A claim of the original would hold for ten times as long.
    await until('the third one to do it all', done, { everyMs: 200 });
  } finally {
    wake();
  }
  // It ends what it was at before.
  await trackerDaemons[1]?.stop();
  await trackerDaemons[0]?.start();
  const copies = await site.rows(
    `SELECT f.dkey, f.devcount, COUNT(*) AS n FROM file f JOIN file_on o ON o.fid = f.fid
     GROUP BY f.dkey, f.devcount`,
  );
  expect(copies.map(({ dkey, devcount, n }) => [String(dkey), devcount, n]).toSorted()).toEqual([
    ['kept/1', 2, 2],
    ['kept/2', 2, 2],
  ]);
  expect(await site.rows('SELECT * FROM file_on WHERE fid NOT IN (SELECT fid FROM file)')).toEqual(
    [],
  );
  expect(await site.verify()).toEqual([]);
  expect(await site.undead()).toEqual([]);
  expect(await site.doubled()).toEqual([]);
});
