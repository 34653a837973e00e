/**
 * Goal: downloads and uploads through a tracker outlive storage nodes, and nginx in front of
 * trackers needs no application. Method: nodes are killed while bytes flow; a real nginx.
 */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { type FrontProxy, startNginxIn } from '../helpers/proxies.ts';
import { until } from '../helpers/wait.ts';
import { FilesSite, json } from './site.ts';

let cluster: LocalCluster;
let site: FilesSite;
let nginx: FrontProxy;
const large = randomBytes(12_000_000);

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  site = new FilesSite(`${cluster.apis[0]}/files/main/`);
  nginx = await startNginxBefore(cluster);
});
afterAll(async () => {
  await nginx?.stop();
  await cluster?.stop();
});

/** nginx with `deploy/nginx/trackers.conf`, as docs/files-api.md says. */
async function startNginxBefore({ apis }: LocalCluster): Promise<FrontProxy> {
  const deploy = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-nginx-'));
  const port = await freePort();
  await cp(deploy, dir, { recursive: true });
  const sample = await readFile(join(deploy, 'trackers.conf'), 'utf8');
  const trackers = sample
    .replace('127.0.0.1:7003', (apis[0] ?? '').replace('http://', ''))
    .replace('listen 8001;', `listen 127.0.0.1:${port};`);
  await writeFile(join(dir, 'trackers.conf'), trackers);
  const whole = await readFile(join(deploy, 'nginx.conf'), 'utf8');
  const http = whole.slice(0, whole.indexOf('  upstream application'));
  await writeFile(join(dir, 'nginx.conf'), `${http}  include trackers.conf;\n}\n`);
  return startNginxIn(dir, port);
}

test('nginx before the tracker: uploads pass through, bytes come from storage nodes', async () => {
  const front = new FilesSite(`${nginx.url}/files/main/`);
  const body = large.subarray(0, 1_000_000);
  const headers = {
    'content-type': 'image/png',
    'content-disposition': 'inline; filename=cat.png',
  };
  expect((await front.ask('PUT', 'a b.png', { body, headers })).status).toBe(201);
  const told = await site.ask('GET', 'a b.png', { headers: { 'x-reproxy': 'nginx' } });
  expect([told.headers['x-accel-redirect'], told.body.length]).toEqual(['/reproxy', 0]);
  const read = await front.ask('GET', 'a b.png');
  expect(read.body.equals(body)).toBe(true);
  expect(read.headers).toMatchObject({
    'content-type': 'image/png',
    'content-disposition': 'inline; filename="cat.png"',
    etag: told.headers.etag,
  });
  expect(read.headers['x-reproxy-url']).toBeUndefined();
  const part = await front.ask('GET', 'a b.png', { headers: { range: 'bytes=5-9' } });
  expect([part.status, part.body.equals(body.subarray(5, 10))]).toEqual([206, true]);
  const none = { 'if-none-match': String(read.headers.etag) };
  expect((await front.ask('GET', 'a b.png', { headers: none })).status).toBe(304);
  expect((await front.ask('HEAD', 'none')).status).toBe(404);
  // A client does not get the addresses of storage nodes by asking for them.
  const sly = { 'x-reproxy': 'perlbal', 'x-proxy-capabilities': 'reproxy-file' };
  expect((await front.ask('GET', 'a b.png', { headers: sly })).body.equals(body)).toBe(true);
});

test('nginx before the tracker: what was said of a file arrives in one header', async () => {
  const front = new FilesSite(`${nginx.url}/files/main/`);
  const said = { by: 'Zoë "\\"', long: 'ä'.repeat(2_000), longer: 'x'.repeat(3_800) };
  const headers = Object.fromEntries(
    Object.entries(said).map(([name, text]) => [
      `x-meta-${name}`,
      Buffer.from(text).toString('latin1'),
    ]),
  );
  expect((await front.ask('PUT', 'said', { body: 'said', headers })).status).toBe(201);
  const read = await front.ask('GET', 'said');
  expect([read.status, read.body.toString()]).toEqual([200, 'said']);
  const told = Buffer.from(String(read.headers['x-omgfs-meta']), 'latin1').toString();
  expect(JSON.parse(told)).toEqual(said);
  await front.ask('PUT', 'unsaid', { body: 'unsaid' });
  expect((await front.ask('GET', 'unsaid')).headers['x-omgfs-meta']).toBeUndefined();
});

test('the other shapes, by header', async () => {
  await site.ask('PUT', 'shapes', { body: 'shape' });
  const by = (headers: Record<string, string>) => site.ask('GET', 'shapes', { headers });
  const redirect = await by({ 'x-reproxy': 'redirect' });
  expect(redirect.status).toBe(302);
  const there = await request(String(redirect.headers.location));
  expect(await there.body.text()).toBe('shape');
  const perlbal = await by({ 'x-proxy-capabilities': 'reproxy-file' });
  expect(perlbal.headers['x-reproxy-url']).toMatch(/^http:/);
  expect(perlbal.headers['x-reproxy-expected-size']).toBe('5');
  expect((await by({ 'x-reproxy': 'single' })).headers['x-reproxy-url']).toMatch(/^http:\S+$/);
  expect((await by({ 'x-reproxy': 'stream' })).body.toString()).toBe('shape');
  expect((await by({ 'x-reproxy': 'other' })).status).toBe(400);
});

test('a node killed in the middle: downloads go on, uploads find another', async () => {
  const stored = await site.ask('PUT', 'large?replicas=2', { body: large });
  expect(json(stored).devcount).toBe(2);
  // Which replica is read is chance, so there are several; each stops after its first bytes.
  const downloads = await Promise.all(
    Array.from({ length: 8 }, () => request(`${site.base}large`)),
  );
  const readers = downloads.map(({ body }) => body[Symbol.asyncIterator]());
  const first = await Promise.all(readers.map(async (reader) => (await reader.next()).value));
  const [node, other] = cluster.hosts;
  await node?.kill('SIGKILL');
  for (const [at, reader] of readers.entries()) {
    const rest = [first[at] as Buffer];
    for (let next = await reader.next(); !next.done; next = await reader.next()) {
      rest.push(next.value as Buffer);
    }
    expect(Buffer.concat(rest).equals(large)).toBe(true);
  }
  // The tracker may not have noticed yet that the node is gone.
  const uploads = Array.from({ length: 6 }, (_, at) => site.ask('PUT', `up${at}`, { body: 'up' }));
  expect((await Promise.all(uploads)).map(({ status }) => status)).toEqual(Array(6).fill(201));
  // One device is left: a second copy cannot come, and the answer says so.
  const alone = await site.ask('PUT', 'alone?replicas=2&wait=1', { body: 'up' });
  expect([alone.status, json(alone).devcount]).toEqual([201, 1]);
  await other?.kill('SIGKILL');
  const read = await site.ask('GET', 'large');
  expect([read.status, json(read).error.code]).toEqual([503, 'NO_REPLICA_UP']);
  const put = await site.ask('PUT', 'large', { body: 'x' });
  expect([503, 507]).toContain(put.status);
  await Promise.all([node?.start(), other?.start()]);
  await until('the file to be read again, as it was', async () => {
    const { status, body } = await site.ask('GET', 'large');
    return status === 200 && body.equals(large);
  });
});
