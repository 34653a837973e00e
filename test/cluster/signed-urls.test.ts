/**
 * Goal: storage nodes that want signed URLs serve nobody else, and everything goes on as before for
 * clients, trackers and jobs. Method: a real cluster with a shared secret.
 */

import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createClient } from '@omgfs/client';
import { request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

let cluster: LocalCluster;
let raw: RawClient;

beforeAll(async () => {
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    domain: 'main',
    extraTrackerArgs: ['--url_secret', 'shared'],
    extraStorageArgs: ['--url-secret', 'shared,older'],
  });
  raw = new RawClient(cluster.trackers[0] ?? '');
});
afterAll(async () => {
  await raw?.close();
  await cluster?.stop();
});

async function status(method: string, url: string, body?: string): Promise<number> {
  const reply = await request(url, {
    method: method as 'GET',
    ...(body === undefined ? {} : { body }),
  });
  await reply.body.dump();
  return reply.statusCode;
}

test('clients store and read, jobs copy and delete', async () => {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  try {
    await client.put('a', Buffer.from('hello'));
    const paths = await until('two copies', async () => {
      const found = await client.paths('a');
      return found.length === 2 ? found : undefined;
    });
    for (const path of paths) expect(await status('GET', path)).toBe(200);
    await client.delete('a');
    await until('the copies are gone', async () => {
      const all = await Promise.all(paths.map((path) => status('GET', path)));
      return all.every((code) => code === 404);
    });
  } finally {
    await client.close();
  }
});

test('a URL is good for what it was signed for, and for nothing else', async () => {
  const opened = await storeRaw(raw, { domain: 'main', key: 'b', body: 'hello' });
  const { path1 = '' } = await raw.call('get_paths', { domain: 'main', key: 'b' });
  const [plain = '', query = ''] = path1.split('?');
  expect(await status('GET', path1)).toBe(200);
  expect(await status('HEAD', path1)).toBe(200);
  expect(await status('GET', plain)).toBe(401);
  expect(await status('DELETE', path1)).toBe(401);
  expect(await status('PUT', path1, 'x')).toBe(401);
  expect(await status('PUT', opened.path ?? '', 'hello')).toBe(200);
  expect(await status('GET', opened.path ?? '')).toBe(401);
  const other = plain.replace(/\d(?=\.fid)/, (digit) => String((Number(digit) + 1) % 10));
  expect(await status('GET', `${other}?${query}`)).toBe(401);
  expect(await status('PROPFIND', plain)).toBe(401);
});

test('health needs no signature', async () => {
  const [node] = cluster.hosts;
  const base = `http://${node?.ip}:${node?.httpPort}`;
  expect(await status('GET', `${base}/`)).toBe(200);
  expect(await status('GET', `${base}/dev1/usage`)).toBe(200);
  expect(await status('PUT', `${base}/dev1/usage`, 'x')).toBe(401);
});
