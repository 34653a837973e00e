/**
 * Goal: I6. A device directory whose disk is gone, or that carries another device's identity, gets
 * no writes and no "file missing" verdicts, and is used again when the right disk is back.
 * Method: directories of a running cluster are moved away and swapped behind its back.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import { fidPath } from '@omgfs/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { getBody, RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

let cluster: LocalCluster;
let client: Client;
let raw: RawClient;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 2, domain: 'disks' });
  client = createClient({ trackers: cluster.trackers, domain: 'disks' });
  raw = new RawClient(cluster.trackers[0] ?? '');
});
afterAll(async () => {
  await raw?.close();
  await client?.close();
  await cluster?.stop();
});

async function observed(devid: number): Promise<string> {
  const fields = await raw.call('get_devices', { devid });
  return fields.dev1_observed_state ?? '';
}

test('I6: an unmounted disk is refused, not mistaken for an empty one', async () => {
  const host = cluster.hosts[0];
  const devid = host?.devids[0] ?? 0;
  const mountPoint = join(host?.docroot ?? '', `dev${devid}`);
  const fids: number[] = [];
  for (let count = 0; count < 12; count += 1) {
    fids.push((await client.put(`before ${count}`, Buffer.from(`${count}`))).fid);
  }
  for (const [count] of fids.entries()) {
    await until('two copies', async () => (await client.info(`before ${count}`)).devcount === 2);
  }
  // What an unmounted disk leaves: the bare directory it was mounted on.
  await rename(mountPoint, `${mountPoint}.unmounted`);
  await mkdir(mountPoint);
  await until('the tracker to see it', async () => (await observed(devid)) === 'unreachable');

  const base = `http://${host?.ip}:${host?.httpPort}`;
  for (const fid of fids) {
    expect((await getBody(base + fidPath(devid, fid))).status).toBe(503);
  }
  for (let count = 0; count < 12; count += 1) {
    await client.put(`during ${count}`, Buffer.from(`${count}`));
    const file = await client.get(`before ${count}`);
    expect((await buffer(file.stream)).toString()).toBe(`${count}`);
    const { devids = '' } = await raw.call('file_info', {
      domain: 'disks',
      key: `during ${count}`,
      devices: 1,
    });
    expect(devids.split(',')).not.toContain(String(devid));
  }

  await rm(mountPoint, { recursive: true });
  await rename(`${mountPoint}.unmounted`, mountPoint);
  await until('the device to be used again', async () => (await observed(devid)) === 'writeable');
});

test('I6: two disks in each other’s place are both refused', async () => {
  const host = cluster.hosts[1];
  const [first = 0, second = 0] = host?.devids ?? [];
  const path = (devid: number) => join(host?.docroot ?? '', `dev${devid}`);
  const swap = async () => {
    await rename(path(first), path(first).concat('.moving'));
    await rename(path(second), path(first));
    await rename(path(first).concat('.moving'), path(second));
  };
  await swap();
  for (const devid of [first, second]) {
    await until(`dev${devid} to be refused`, async () => (await observed(devid)) === 'unreachable');
  }
  const body = await getBody(`http://${host?.ip}:${host?.httpPort}/dev${first}/usage`);
  expect(body.status).toBe(503);
  expect(body.body.toString()).toMatch(new RegExp(`dev${second}`));
  await swap();
  for (const devid of [first, second]) {
    await until(`dev${devid} to be used`, async () => (await observed(devid)) === 'writeable');
  }
});
