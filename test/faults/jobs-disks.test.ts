/**
 * Goal: I1, I2, I5, I9. Bad disks take nothing from replicate and the reaper: a replica with other
 * bytes than were stored, and a directory that is gone for good lose no acknowledged file, and
 * every class gets its copies again.
 * Method: real processes; bytes changed and directories removed behind the back of the nodes, and
 * the tracker that reaps killed. Disks that are full are in `jobs-storm.test.ts`.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkedClass, JobSite } from '../helpers/job-site.ts';
import { rotFile } from '../helpers/rot.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

let site: JobSite;

beforeAll(async () => {
  site = await JobSite.start(sharedServer());
});
afterAll(() => site?.stop());

function pathOf(devid: number, fid: number): string {
  const host = site.cluster.hosts.find(({ devids }) => devids.includes(devid));
  return join(host?.docroot ?? '', fidPath(devid, fid));
}

/** Writes a replica again with its digest, which the node keeps, as many clients do. */
async function writeWithDigest(devid: number, fid: number): Promise<void> {
  const host = site.cluster.hosts.find(({ devids }) => devids.includes(devid));
  const body = readFileSync(pathOf(devid, fid));
  const headers = { 'content-md5': createHash('md5').update(body).digest('base64') };
  const url = `http://${host?.ip}:${host?.httpPort}${fidPath(devid, fid)}`;
  expect((await fetch(url, { method: 'PUT', body, headers })).status).toBe(201);
}

async function devicesOf(fid: number): Promise<number[]> {
  const rows = await site.rows('SELECT devid FROM file_on WHERE fid = ?', [fid]);
  return rows.map(({ devid }) => Number(devid));
}

async function expectWhole(): Promise<void> {
  await site.settle();
  expect(await site.verify()).toEqual([]);
  expect(await site.undead()).toEqual([]);
}

test('I2, I5: a replica with other bytes is no source, and fsck replaces it', async () => {
  const fids: number[] = [];
  for (let number = 0; number < 12; number += 1) {
    const key = `rotten/${number}`;
    await site.writers.put(key, Buffer.from(`body of ${key} `.repeat(500)));
    fids.push((await site.client.info(key)).fid);
  }
  await site.settle();
  for (const fid of fids) {
    const [devid = 0] = await devicesOf(fid);
    const path = pathOf(devid, fid);
    writeFileSync(path, readFileSync(path).fill('?', 0, 10));
  }
  const args = { domain: site.cluster.domain, class: checkedClass };
  await site.call('update_class', { ...args, mindevcount: 3, hashtype: 'MD5' });
  await site.call('clear_cache', {}, 1);
  await site.fsck();
  await expectWhole();
  for (const fid of fids) expect((await devicesOf(fid)).length).toBeGreaterThanOrEqual(3);
  await site.call('update_class', { ...args, mindevcount: 2, hashtype: 'MD5' });
  await site.call('clear_cache', {}, 1);
});

test('I2, I5: a disk is emptied although copies on it, or the only others, rotted', async () => {
  const emptied = site.cluster.hosts[1]?.devids[0] ?? 0;
  const keys = Array.from({ length: 60 }, (_, number) => `emptied/${number}`);
  for (const key of keys) await site.writers.put(key, Buffer.from(`body of ${key} `.repeat(500)));
  await site.settle();
  let rotten = 0;
  for (const key of keys) {
    const { fid } = await site.client.info(key);
    const held = await devicesOf(fid);
    if (rotten === 6 || !held.includes(emptied)) continue;
    const devid = rotten % 2 === 0 ? emptied : (held.find((one) => one !== emptied) ?? 0);
    rotten += 1;
    writeFileSync(pathOf(devid, fid), readFileSync(pathOf(devid, fid)).fill('?', 0, 10));
  }
  // With chances of one to three each, 60 files are enough; of 40 one run in 300 had too few.
  expect(rotten).toBe(6);
  await site.empty(emptied, async () => {
    // What is good only here stays, and why is told, until somebody sees to the other copy.
    await until('the rest to wait', async () => {
      const { dev1_replicas, dev1_waiting_1_reason } = await site.call('drain_status');
      return dev1_replicas === '3' && dev1_waiting_1_reason === 'not_verified';
    });
    await site.fsck();
  });
  await expectWhole();
});

test('I1, I2, I8, I9: nodes find what rots, and trackers see to it although they die', async () => {
  const rotten: { fid: number; devid: number }[] = [];
  for (let number = 0; number < 12; number += 1) {
    const key = `rotting/${number}`;
    await site.writers.put(key, Buffer.from(`body of ${key} `.repeat(500)));
    const { fid } = await site.client.info(key);
    rotten.push({ fid, devid: 0 });
  }
  await site.settle();
  for (const one of rotten) {
    one.devid = (await devicesOf(one.fid))[0] ?? 0;
    await writeWithDigest(one.devid, one.fid);
    rotFile(pathOf(one.devid, one.fid));
  }
  const rate = { key: 'omg_scrub_mib_per_second', value: 1000 };
  await site.call('set_server_setting', rate);
  await site.call('clear_cache', {}, 1);
  const [first] = await until('the first to be found', async () => {
    const lines = await site.logged('scrub.repaired');
    return lines.length > 0 ? lines : undefined;
  });
  const victim = site.cluster.trackerDaemons[first?.tracker ?? 0];
  const node = site.cluster.hosts[0];
  await Promise.all([victim?.kill('SIGKILL'), node?.kill('SIGKILL')]);
  await node?.start();
  const missed = () => site.rows("SELECT fid, devid FROM fsck_log WHERE evcode = 'MISS'");
  const isSeenTo = async () => {
    const found = (await missed()).map(({ fid, devid }) => `${fid} ${devid}`);
    return rotten.every(({ fid, devid }) => found.includes(`${fid} ${devid}`)) || undefined;
  };
  // What it looks at while the node of the other copy is down rests for a minute.
  await until('the other to see to the rest', isSeenTo, { deadlineMs: 180_000, everyMs: 200 });
  await victim?.start();
  await expectWhole();
  const ours = (await missed()).filter(({ fid }) => rotten.some((one) => one.fid === Number(fid)));
  expect(ours).toHaveLength(rotten.length);
  for (const { fid } of rotten) expect((await devicesOf(fid)).length).toBeGreaterThanOrEqual(2);
  const status = await site.call('scrub_status');
  expect(status).toMatchObject({ rate: '1000', dev1_state: 'on' });
  await site.call('set_server_setting', { ...rate, value: 0 });
}, 360_000);

test('I1, I2, I5, I9: a directory vanished, and the reaping tracker is killed', async () => {
  const host = site.cluster.hosts[2];
  const [devid = 0] = host?.devids ?? [];
  const rowsLeft = async () => {
    const [row] = await site.rows('SELECT COUNT(*) AS n FROM file_on WHERE devid = ?', [devid]);
    return Number(row?.n);
  };
  const setting = { key: 'queue_rate_for_reaper', value: 20 };
  await site.call('set_server_setting', setting);
  await site.storm(async () => {
    // Enough that the reaper is not through before anybody can kill it.
    const rows = async () => (await rowsLeft()) > 100;
    await until('the device to hold files', rows, { everyMs: 200 });
  });
  // A disk that goes while it has the only copy takes the file with it, so first all have two.
  await site.settle();
  const all = await rowsLeft();
  await rm(join(host?.docroot ?? '', `dev${devid}`), { recursive: true });
  await site.call('set_state', { host: host?.name ?? '', device: devid, state: 'dead' });
  await site.call('clear_cache', {}, 1);
  await site.storm(async () => {});
  const reaper = await until('the reaper to begin', async () => {
    if ((await rowsLeft()) >= all) return undefined;
    return (await site.logged('device.reaped'))[0]?.tracker;
  });
  await site.call('set_server_setting', { ...setting, value: 1000 });
  const victim = site.cluster.trackerDaemons[reaper];
  await victim?.kill('SIGKILL');
  await site.call('clear_cache', {}, 1 - reaper);
  await until('the other to go on', async () => (await rowsLeft()) === 0);
  await victim?.start();
  await expectWhole();
});
