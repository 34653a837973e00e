/**
 * Goal: what is stored through an application comes back through a real proxy that fetches it from
 * a replica, whatever happens to the replica it tries first.
 * Method: a real cluster, a small application, nginx with the files of deploy/nginx, Perlbal.
 * Replicas are spoilt one at a time; the order of URLs is random, so each fetch is repeated.
 */
import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type LocalCluster, type LocalHost, startLocalCluster } from '@omgfs/cli';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { fidPath } from '@omgfs/protocol';
import type { FastifyInstance } from 'fastify';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freeze } from '../helpers/freeze.ts';
import { type FrontProxy, startNginx, startPerlbal } from '../helpers/proxies.ts';
import { createSmallApplication } from '../helpers/small-application.ts';
import { until } from '../helpers/wait.ts';

const domain = 'proxied';
const picture = randomBytes(150_000);
const tries = 12;

let cluster: LocalCluster;
let client: Client;
let application: FastifyInstance;
let applicationUrl: string;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain });
  client = createClient({ trackers: cluster.trackers, domain });
  application = createSmallApplication({ trackers: cluster.trackers, domain });
  applicationUrl = await application.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await application?.close();
  await client?.close();
  await cluster?.stop();
});

async function fetchFrom(proxy: FrontProxy, key: string, headers: Record<string, string> = {}) {
  const response = await request(`${proxy.url}/files/${key}`, { headers });
  const body = Buffer.from(await response.body.arrayBuffer());
  return { status: response.statusCode, headers: response.headers, body };
}

/** Stores through the proxy and waits for the second copy. @returns the fid. */
async function store(proxy: FrontProxy, key: string): Promise<number> {
  const url = `${proxy.url}/files/${key}`;
  const { statusCode, body } = await request(url, { method: 'PUT', body: picture });
  await body.dump();
  expect(statusCode).toBe(201);
  const info = await until('the second copy', async () => {
    const seen = await client.info(key);
    return seen.devcount === 2 && seen;
  });
  return info.fid;
}

async function expectEveryFetchWhole(proxy: FrontProxy, key: string): Promise<void> {
  for (let count = 0; count < tries; count += 1) {
    const { status, headers, body } = await fetchFrom(proxy, key);
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'image/png' });
    expect(body.equals(picture)).toBe(true);
  }
}

/** A file that is stored while a node is away waits for its second copy. */
async function untilUsed(): Promise<void> {
  const tracker = createAdmin({ trackers: cluster.trackers });
  await until('every node to be used again', async () => {
    await tracker.call('clear_cache');
    const { dev1_observed_state: one, dev2_observed_state: other } =
      await tracker.call('get_devices');
    return one === 'writeable' && other === 'writeable';
  });
  await tracker.close();
}

function firstHost(): LocalHost {
  const [host] = cluster.hosts;
  if (host === undefined) throw new Error('the cluster has no host');
  return host;
}

describe.each([
  ['nginx', startNginx],
  ['Perlbal', startPerlbal],
] as const)('%s', (name, start) => {
  let proxy: FrontProxy;
  beforeAll(async () => {
    proxy = await start(applicationUrl);
  });
  afterAll(() => proxy?.stop());

  test('stores and fetches a file', async () => {
    await store(proxy, `${name}/whole.png`);
    await expectEveryFetchWhole(proxy, `${name}/whole.png`);
  });

  test('an empty file', async () => {
    await client.put(`${name}/empty.png`, Buffer.alloc(0));
    const { status, body } = await fetchFrom(proxy, `${name}/empty.png`);
    expect({ status, bytes: body.length }).toEqual({ status: 200, bytes: 0 });
  });

  test('the first replica is gone (404)', async () => {
    const key = `${name}/gone.png`;
    const fid = await store(proxy, key);
    const { docroot, devids } = firstHost();
    const file = join(docroot, fidPath(devids[0] ?? 0, fid));
    await rename(file, `${file}.gone`);
    await expectEveryFetchWhole(proxy, key);
  });

  test('the first replica is refused', async () => {
    const key = `${name}/refused.png`;
    await store(proxy, key);
    await firstHost().kill('SIGKILL');
    try {
      await expectEveryFetchWhole(proxy, key);
    } finally {
      await firstHost().start();
    }
    await untilUsed();
  });

  test('HEAD and ranges', async () => {
    const key = `${name}/ranges.png`;
    await store(proxy, key);
    const head = await request(`${proxy.url}/files/${key}`, { method: 'HEAD' });
    await head.body.dump();
    expect(head.statusCode).toBe(200);
    expect(head.headers['content-length']).toBe(String(picture.length));
    const part = await fetchFrom(proxy, key, { range: 'bytes=1000-1999' });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes 1000-1999/${picture.length}`);
    expect(part.body.equals(picture.subarray(1000, 2000))).toBe(true);
  });

  test('an unknown key is the application’s 404', async () => {
    expect((await fetchFrom(proxy, 'nothing/here')).status).toBe(404);
  });
});

describe('nginx', () => {
  let proxy: FrontProxy;
  beforeAll(async () => {
    proxy = await startNginx(applicationUrl);
  });
  afterAll(() => proxy?.stop());

  test('the first replica hangs', async () => {
    const key = 'nginx/hung.png';
    await store(proxy, key);
    const { pid } = firstHost();
    await freeze(pid);
    try {
      await expectEveryFetchWhole(proxy, key);
    } finally {
      process.kill(pid ?? 0, 'SIGCONT');
    }
    await untilUsed();
  });

  test('outsiders cannot use the internal location', async () => {
    for (const path of ['/reproxy', '/reproxy?x=1', '/%72eproxy', '/@reproxy_1']) {
      const { statusCode, body } = await request(`${proxy.url}${path}`, {
        headers: { 'x-reproxy-url': 'http://127.0.0.1:1/' },
      });
      await body.dump();
      expect(`${path} ${statusCode}`).toBe(`${path} 404`);
    }
  });

  test('equal ETags on every replica make a conditional request a 304', async () => {
    const key = 'nginx/tagged.png';
    await store(proxy, key);
    const tags = new Set<string>();
    for (let count = 0; count < tries; count += 1) {
      tags.add(String((await fetchFrom(proxy, key)).headers.etag));
    }
    expect(tags.size).toBe(1);
    const again = await fetchFrom(proxy, key, { 'if-none-match': [...tags][0] ?? '' });
    expect(again.status).toBe(304);
  });
});
