/**
 * Goal: trackers learn how busy disks are and let nodes compute digests over the side channel, and
 * do without where there is none. Method: a real cluster, observed over the line protocol.
 */
import { createHash } from 'node:crypto';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { putBody, RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

let cluster: LocalCluster;
let client: RawClient;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 2, domain: 'main' });
  client = new RawClient(cluster.trackers[0] ?? '');
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

test('devices show how busy their disks are, or that this is not known', async () => {
  // A directory on a disk shows a number; on this machine it may be a file system without one.
  const shown = await until('a tracker heard of every device', async () => {
    const fields = await client.call('get_devices');
    const values = [fields.dev1_utilization, fields.dev2_utilization];
    return values.every((value) => value !== '') ? values : undefined;
  });
  for (const value of shown) expect(value).toMatch(/^\d+\.\d\d$/);
});

test('a checksum is verified without reading the file over the network', async () => {
  const bytes = Buffer.alloc(300_000, 'x');
  const checksum = `MD5:${createHash('md5').update(bytes).digest('hex')}`;
  const close = async (key: string, sum: string) => {
    const opened = await client.call('create_open', { domain: 'main', key });
    await putBody(opened.path ?? '', bytes);
    const line = { ...opened, domain: 'main', key, checksum: sum, checksumverify: 1 };
    return client.code('create_close', line);
  };
  expect(await close('right', checksum)).toBe('OK');
  expect(await close('wrong', `MD5:${'0'.repeat(32)}`)).toBe('checksum_mismatch');
});
