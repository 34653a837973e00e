/**
 * Goal: I1, I2, I5, I8, I9. Every job keeps every acknowledged file, finishes and never works
 * twice, whatever happens to a tracker, a storage node, a disk or the database meanwhile.
 * Method: real processes, on which one fault after the other is inflicted while all jobs are at
 * work; after each the queues have to drain, and `omgfs admin verify` reads everything.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { AllJobs } from '../helpers/all-jobs.ts';
import { freeze, freezeAll } from '../helpers/freeze.ts';
import { JobSite } from '../helpers/job-site.ts';
import { type MariaDb, startMariaDb } from '../helpers/mariadb.ts';
import { mountSmall, type Unmount } from '../helpers/small-disk.ts';
import { until } from '../helpers/wait.ts';

// Each wait has a bound of its own.
vi.setConfig({ testTimeout: 480_000 });
const dir = mkdtempSync(join(tmpdir(), 'omgfs-jobs-storm-'));
const smallDisk = join(dir, 'node1', 'dev1');
let unmount: Unmount = async () => {};
let server: MariaDb;
let site: JobSite;
let jobs: AllJobs;

beforeAll(async () => {
  mkdirSync(smallDisk, { recursive: true });
  unmount = await mountSmall(smallDisk, 16);
  server = await startMariaDb();
  // So that the disk is offered until it is really full.
  const limits = {
    extraTrackerArgs: ['--min_free_space', '0'],
    extraStorageArgs: ['--free-reserve-mb', '0'],
  };
  site = await JobSite.start(server, { dir, ...limits });
  const [first, second, third] = site.cluster.hosts;
  jobs = new AllJobs(site, {
    emptied: second?.devids[0] ?? 0,
    dead: third?.devids[1] ?? 0,
    small: first?.devids[0] ?? 0,
  });
});
afterAll(async () => {
  await site?.stop();
  await server?.stop();
  await unmount();
  rmSync(dir, { recursive: true, force: true });
});

async function expectWhole(): Promise<void> {
  await site.settle();
  expect(await site.verify()).toEqual([]);
  expect(await site.undead()).toEqual([]);
  expect(await site.surplus()).toEqual([]);
}

async function untilSeen(devid: number, state: string): Promise<void> {
  await until(`the trackers to see dev${devid} ${state}`, async () => {
    return (await site.call('get_devices', { devid })).dev1_observed_state === state;
  });
}

/** What happens while all jobs are at work. */
const faults: Record<string, () => Promise<void>> = {
  'a storage node hangs for so long that others heal its files': async () => {
    const [, , host] = site.cluster.hosts;
    const [devid = 0] = host?.devids ?? [];
    const lost = async () => {
      const [row] = await site.rows(
        "SELECT value FROM server_settings WHERE field = 'omg_lost_devices'",
      );
      return String(row?.value ?? '')
        .split(',')
        .includes(String(devid));
    };
    const copies = async () => (await site.logged('replica.written')).length;
    const noted = 'SELECT devid FROM device WHERE mb_asof IS NOT NULL AND devid = ?';
    // Nobody knows since when a device is away that was never seen.
    await until('it to be seen', async () => (await site.rows(noted, [devid])).length > 0);
    await freeze(host?.pid);
    try {
      await untilSeen(devid, 'unreachable');
      await site.call('set_server_setting', { key: 'omg_heal_after', value: 1 });
      await until('its devices to count as lost', lost);
      const before = await copies();
      await until('copies to be made for it', async () => (await copies()) > before);
    } finally {
      process.kill(host?.pid ?? 0, 'SIGCONT');
    }
    await until('it to be back', async () => !(await lost()));
    await site.call('set_server_setting', { key: 'omg_heal_after', value: 0 });
  },
  'a tracker hangs for a while': async () => {
    const wake = await freezeAll(site.cluster.trackerDaemons[1]?.pid);
    const before = site.writers.done;
    try {
      await until('writers to go on without it', () => site.writers.done > before + 120);
    } finally {
      wake();
    }
  },
  'the directory of a device vanishes for a while': async () => {
    const [host] = site.cluster.hosts;
    const devid = host?.devids[1] ?? 0;
    const place = join(host?.docroot ?? '', `dev${devid}`);
    renameSync(place, `${place}-away`);
    await untilSeen(devid, 'unreachable');
    renameSync(`${place}-away`, place);
  },
  'a disk becomes full and gets room again': async () => {
    const filler = join(smallDisk, 'filler');
    execFileSync('sh', ['-c', `head -c 100M /dev/zero > ${filler} 2> /dev/null || true`]);
    const before = site.writers.done;
    await until('writers to go on beside it', () => site.writers.done > before + 60);
    rmSync(filler, { force: true });
  },
  'trackers and a storage node are killed': async () => {
    await jobs.reaping();
    const { trackerDaemons, hosts } = site.cluster;
    for (const one of [...trackerDaemons, hosts[1]]) {
      await one?.kill('SIGKILL');
      await one?.start();
    }
  },
  'the database is killed and comes back': () => server.restart(),
};

test('I8: two healthy trackers write no replica twice', async () => {
  await site.storm(async () => {});
  await expectWhole();
  expect(await site.doubled()).toEqual([]);
  const written = await site.logged('replica.written');
  expect(written.length).toBeGreaterThan(60);
  await jobs.begin();
});

const everyFault = Object.entries(faults);
test.each(everyFault)('I1, I2, I5, I9: all jobs at work, and %s', async (_, fault) => {
  await jobs.during(fault);
  await expectWhole();
});

test('I5, I9: the reaper is through in the end', async () => {
  await jobs.reaped();
  await expectWhole();
});

test('I5, I9: the database and the tracker that looks are killed while fsck runs', async () => {
  const rate = { key: 'queue_rate_for_fsck', value: '100' };
  await site.call('set_server_setting', rate);
  await site.call('set_server_setting', { key: 'fsck_checksum', value: 'class' });
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
