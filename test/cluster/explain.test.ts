/**
 * Goal: an operator who asks why gets the reason in words, for files, devices and queues.
 * Method: a real cluster brought into each situation; the words of the command are read.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createAdmin, createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOmgfs } from '../helpers/command-line.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-explain-'));
let cluster: LocalCluster;
let admin: ReturnType<typeof createAdmin>;
let client: ReturnType<typeof createClient>;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  const trackers = [...cluster.trackers];
  admin = createAdmin({ trackers });
  client = createClient({ trackers, domain: 'main' });
});
afterAll(async () => {
  await client?.close();
  await admin?.close();
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function explain(subject: string): Promise<string> {
  const args = ['--tracker', cluster.trackers[0] ?? '', '--domain', 'main', 'admin', 'explain'];
  const { code, out, err } = await runOmgfs([...args, subject], { cwd: dir });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return String(out);
}

test('a file with its copies', async () => {
  const { fid } = await client.put('well', Buffer.from('x'));
  await until('two copies', async () => (await client.info('well')).devcount === 2);
  const text = await explain('well');
  expect(text).toContain(`fid ${fid} is the file of the key 'well' in the domain 'main': 1 bytes`);
  expect(text).toContain('wants 2 copies by MultipleHosts(); it has 2.');
  expect(text).toMatch(/^- dev1: alive on node1 \(127\.0\.0\.1, alive\), can be read$/m);
  expect(text).toContain('The policy is met.');
  expect(await explain(`fid:${fid}`)).toBe(text);
});

test('a file that wants more copies than there are hosts, and what waits', async () => {
  // A third device that does not answer: with two, two copies would be all there can be.
  await admin.createHost({ name: 'away', ip: '127.0.0.88', port: 9, status: 'alive' });
  await admin.createDevice({ devid: 9, host: 'away' });
  await admin.createClass({ domain: 'main', name: 'three', mindevcount: 3 });
  await admin.updateClass({ domain: 'main', name: 'three', replpolicy: 'MultipleHosts(3)' });
  await client.put('more', Buffer.from('x'), { class: 'three' });
  const text = await until('it was put off', async () => {
    const said = await explain('more');
    return said.includes('The last attempt failed') ? said : undefined;
  });
  expect(text).toMatch(/^The policy (?:cannot be followed now: .+|wants another copy, .+)\.$/m);
  expect(text).toMatch(
    /^It waits for replication: the next attempt is in \d+ s, after 1 failures\.$/m,
  );
  expect(text).toMatch(/^The last attempt failed \d+ s ago: .+\.$/m);
  const [why] = await admin.waitReasons();
  expect(why).toMatchObject({ job: 'replicate', count: 1 });
  const queues = await admin.queues();
  expect(queues).toContainEqual(
    expect.objectContaining({ name: 'replicate', total: 1, failed: 1, parked: 0 }),
  );
});

test('a deleted file, an open upload, and a number that never was', async () => {
  const { fid } = await client.put('gone', Buffer.from('x'));
  await client.delete('gone');
  await until('its deletion is complete', async () => {
    return (await explain(`fid:${fid}`)).startsWith(`Nothing is known of fid ${fid}`);
  });
  const opened = await admin.call('create_open', { domain: 'main', key: 'open' });
  expect(await explain(`fid:${opened.fid}`)).toContain('opened and not closed');
  expect(await explain('fid:4294967290')).toContain('never stored');
});

test('devices: why one gets no files, and when it can be pulled', async () => {
  expect(await explain('dev1')).toMatch(/It gets new files\./);
  await admin.setDeviceStatus({ devid: 2, status: 'readonly' });
  expect(await explain('dev2')).toContain('It gets no new files: it is marked readonly.');
  await admin.setDeviceStatus({ devid: 2, status: 'alive' });
  await admin.setDeviceWeight({ devid: 2, weight: 0 });
  expect(await explain('dev:2')).toContain('It gets no new files: its weight is 0.');
  await admin.setDeviceWeight({ devid: 2, weight: 100 });
  expect(await explain('dev9')).toMatch(/cannot be read: its host does not answer/);
  // The host may come back, and files with it.
  expect(await explain('dev9')).toMatch(/^Nothing depends .* again: drain it before it is pulled/m);
  expect(await explain('dev77')).toBe('There is no device 77.\n');
  await expect(admin.explain({ devid: 0 })).resolves.toEqual(['There is no device 0.']);
  await expect(admin.explain({ fid: 0 })).resolves.toEqual([expect.stringContaining('fid 0')]);
});

test('a class that wants what the cluster does not have', async () => {
  const args = ['--tracker', cluster.trackers[0] ?? '', 'admin', 'class', 'add', 'main', 'many'];
  const { out } = await runOmgfs([...args, '-p', 'MultipleHosts(9)'], { cwd: dir });
  expect(String(out)).toMatch(/^Class many of main is there\.\nNote: It cannot have them so now/);
  expect(await explain('class:main/many')).toContain('by MultipleHosts(9).');
  const replpolicy = 'HostsPerNetwork(nowhere=1)';
  await admin.updateClass({ domain: 'main', name: 'many', replpolicy });
  expect(await explain('class:main/many')).toContain('network zone nowhere (0 of 1)');
  expect(await admin.explain({ domain: 'main', class: 'default' })).toEqual([
    "The class 'default' wants 2 copies by MultipleHosts().",
    'The devices there are can hold its files so.',
  ]);
});

test('what fsck waits for, said of the file, the device and the queue', async () => {
  const { fid } = await client.put('held', Buffer.from('x'));
  await until('two copies', async () => (await client.info('held')).devcount === 2);
  await admin.pauseJob('fsck', true);
  await admin.fsckReset({});
  expect((await admin.fsckStatus()).fields.paused).toBe('1');
  await cluster.hosts[1]?.stop();
  await admin.pauseJob('fsck', false);
  await admin.fsckStart();
  const reason = /Connectivity problem reaching device 2: ./;
  await until('a check waits', async () => (await explain('held')).includes('Connectivity'));
  expect(await explain(`fid:${fid}`)).toMatch(reason);
  expect(await explain('dev2')).toMatch(/^\d+ checks of fsck wait until it can be asked\.$/m);
  const reasons = await admin.waitReasons();
  expect(reasons.find(({ job }) => job === 'fsck')?.reason).toMatch(reason);
  await cluster.hosts[1]?.start();
  await until('nothing waits', async () => {
    return (await admin.fsckStatus()).fields.waiting === undefined;
  });
});

test('over HTTP as well', async () => {
  const api = cluster.apis[0] ?? '';
  const { lines } = (await (await fetch(`${api}/v1/explain?devid=1`)).json()) as {
    lines: string[];
  };
  expect(lines[0]).toContain('dev1 is alive on node1');
  const queues = (await (await fetch(`${api}/v1/queues`)).json()) as { name: string }[];
  expect(queues[0]).toMatchObject({ reasons: [{ code: 'policy_no_suggestions', count: 1 }] });
  expect(queues.map(({ name }) => name)).toEqual(['replicate', 'delete', 'fsck', 'rebalance']);
  const pause = (job: string) =>
    fetch(`${api}/v1/jobs/${job}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ paused: true }),
    });
  expect((await pause('heal')).status).toBe(204);
  expect((await pause('nothing')).status).toBeGreaterThanOrEqual(400);
  const heal = { name: 'heal', perSecond: 0 };
  expect(await admin.jobs()).toContainEqual({ ...heal, paused: true });
  await admin.pauseJob('heal', false);
  expect(await admin.jobs()).toContainEqual({ ...heal, paused: false });
});
