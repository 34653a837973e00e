/**
 * Goal: a node fetches a replica from another node when it may, whole and checked, or not at all.
 * Method: two real nodes; sources that lie are small servers.
 */

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pullMethod, signPath } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import type { AccessRules } from '../src/access/access.ts';
import { parseNetworks } from '../src/access/networks.ts';
import { Buffers } from '../src/device/buffers.ts';
import { Devices } from '../src/device/devices.ts';
import { orderOf, storePull } from '../src/handlers/pull.ts';
import {
  type Answer,
  ask,
  createDocroot,
  filesOf,
  put,
  quiet,
  startNode,
  startWithNginx,
  Wire,
} from './helpers.ts';

const name = '0/000/000/0000000042.fid';
const body = Buffer.alloc(600_000, 'pulled bytes ');
const md5 = createHash('md5').update(body).digest('hex');
const trusting = { networks: parseNetworks('127.0.0.0/8'), secrets: [], pull: true };

function pull(url: string, source: string, headers: Record<string, string> = {}): Promise<Answer> {
  return ask(url, {
    method: 'POST',
    headers: { 'omgfs-pull': source, 'omgfs-length': String(body.length), ...headers },
  });
}

async function twoNodes(access: AccessRules = trusting) {
  const [from, to] = [await startNode({ access }), await startNode({ access })];
  return { from: `${from.url}/dev1/${name}`, to: `${to.url}/dev2/${name}`, target: to };
}

test('the bytes arrive, with the checksum that was asked for', async () => {
  const { from, to } = await twoNodes();
  await put(from, body);
  const answer = await pull(to, from, { 'omgfs-hash': 'MD5' });
  expect(answer.status).toBe(201);
  expect(answer.headers['omgfs-checksum']).toBe(`MD5:${md5}`);
  expect((await ask(to)).body.equals(body)).toBe(true);
  expect((await pull(to, from, { 'omgfs-checksum': `MD5:${md5}` })).status).toBe(201);
});

test('through nginx the answer ends where it ends, however long the source took', async () => {
  let finish = () => {};
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': body.length }).write(body.subarray(1));
    finish = () => response.end(body.subarray(0, 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dev1/${name}`;
  const { port } = await startWithNginx({ access: trusting, stallMs: 2000 });
  const order = `Omgfs-Pull: ${source}\r\nOmgfs-Length: ${body.length}`;
  const wire = new Wire(port).send(`POST /dev2/${name} HTTP/1.1\r\nHost: x\r\n${order}\r\n\r\n`);
  await until('a sign of progress', () => wire.status === 102);
  finish();
  await until('the answer', () => / 102 .*\r\n\r\nHTTP\/1\.1 201 /s.test(wire.received));
  // Else nginx takes the connection for busy, and the next request on it waits.
  wire.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  expect(await wire.untilClosed()).toMatch(/\r\n\r\nHTTP\/1\.1 200 /);
});

test('a source with other bytes leaves nothing', async () => {
  const { from, to, target } = await twoNodes();
  await put(from, body);
  const wrong = { 'omgfs-checksum': `MD5:${'0'.repeat(32)}` };
  expect(await pull(to, from, wrong)).toMatchObject({
    status: 502,
    text: expect.stringContaining(`has MD5 ${md5} instead of`),
  });
  const short = { 'omgfs-length': '5' };
  expect(await pull(to, from, short)).toMatchObject({
    status: 502,
    text: 'has 600000 bytes instead of 5',
  });
  expect(await pull(to, `${from}x`)).toMatchObject({ status: 502, text: 'answered 404' });
  expect(await pull(to, 'http://127.0.0.1:1/dev1/x')).toMatchObject({ status: 502 });
  expect(await filesOf(target.docroot, 2)).toEqual([]);
});

test('a source that breaks off leaves nothing', async () => {
  const { to, target } = await twoNodes();
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 1000), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  expect((await pull(to, `http://127.0.0.1:${port}/dev1/x`)).status).toBe(502);
  expect(await filesOf(target.docroot, 2)).toEqual([]);
});

test('nothing is stored for a tracker that is gone', async () => {
  const { to, target } = await twoNodes();
  let closed = 0;
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 1000));
    response.once('close', () => {
      closed += 1;
    });
    asking.abort();
  });
  const asking = new AbortController();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const headers = { 'omgfs-pull': `http://127.0.0.1:${port}/dev1/x`, 'omgfs-length': '600000' };
  const { signal } = asking;
  await expect(ask(to, { method: 'POST', headers, signal })).rejects.toThrow();
  await until('the source is let go', () => closed === 1 || undefined);
  await until('nothing is left', async () => (await filesOf(target.docroot, 2)).length === 0);
});

test('a target whose disk hangs ends in an error, not in more patience', async () => {
  const from = await startNode({ access: trusting });
  const source = `${from.url}/dev1/${name}`;
  await put(source, body);
  const common = { threads: 16, reserveBytes: 0, adopt: [], log: quiet };
  const docroot = await createDocroot(2);
  const devices = await Devices.open({ docroot, sync: 'always' as const, ...common });
  onTestFinished(() => devices.close());
  const device = await devices.find(2);
  let thaw = () => {};
  const frozen = new Promise<void>((resolve) => {
    thaw = resolve;
  });
  // What a disk that hangs does to its device: every call that may be under way is, and stays so.
  const calls = Array.from({ length: 64 }, () => device.run(() => frozen));
  const buffers = new Buffers(1024 * 1024);
  const context = { devices, buffers, log: quiet, access: trusting, stallMs: 1_500 };
  const gone = new AbortController().signal;
  const order = orderOf({ source, length: String(body.length), checksum: '', hash: '' });
  if (order === undefined) throw new Error('the order cannot be read');
  const pulling = storePull(context, order, { devid: 2, name, gone });
  await expect(pulling).rejects.toMatchObject({
    code: 'DEVICE_BUSY',
    message: expect.stringContaining('has not taken the file'),
  });
  thaw();
  await Promise.all(calls);
  // What was given up is not stored when the disk comes back.
  for (let call = 0; call < 10; call += 1) await device.run(async () => {});
  await until('nothing is left', async () => (await filesOf(docroot, 2)).length === 0);
});

test('a node that trusts everybody fetches from nobody', async () => {
  const { from, to } = await twoNodes({ networks: [], secrets: [], pull: true });
  await put(from, body);
  expect((await pull(to, from)).status).toBe(403);
});

test('the source must be in the allowed networks too', async () => {
  const { to } = await twoNodes();
  for (const source of ['http://10.1.1.1:80/dev1/x', 'http://localhost:80/dev1/x']) {
    expect((await pull(to, source)).status).toBe(403);
  }
});

test('a signature allows one source, and no other', async () => {
  const secrets = ['shared'];
  const { from, to } = await twoNodes({ networks: [], secrets, pull: true });
  const sign = (method: string, url: string) => {
    const { origin, pathname } = new URL(url);
    return origin + signPath({ secret: 'shared', method, path: pathname, expires: 9e9 });
  };
  await put(sign('PUT', from), body);
  const source = sign('GET', from);
  expect((await pull(sign(pullMethod(source), to), source)).status).toBe(201);
  expect((await pull(sign(pullMethod(source), to), `${source}&x=1`)).status).toBe(401);
  expect((await pull(sign('POST', to), source)).status).toBe(401);
  expect((await pull(to, source)).status).toBe(401);
  const headers = { 'omgfs-pull': source };
  const reused = await ask(sign(pullMethod(source), to), { method: 'DELETE', headers });
  expect(reused.status).toBe(401);
});

test('a source with an IPv6 address may be in the allowed networks', async () => {
  const networks = parseNetworks('127.0.0.0/8 ::1');
  const { to } = await twoNodes({ networks, secrets: [], pull: true });
  expect((await pull(to, 'http://[::1]:1/dev1/x')).status).toBe(502);
});

test.each([
  ['no length', { 'omgfs-length': '' }],
  ['a negative length', { 'omgfs-length': '-1' }],
  ['no URL', { 'omgfs-pull': 'nonsense' }],
  ['a file URL', { 'omgfs-pull': 'file:///etc/passwd' }],
  ['a path that is none of a device', { 'omgfs-pull': 'http://127.0.0.1:80/etc/passwd' }],
  ['an address inside the address', { 'omgfs-pull': 'http://127.0.0.1/dev1/x@y' }],
])('%s is refused', async (_, headers) => {
  const { from, to } = await twoNodes();
  expect((await pull(to, from, headers)).status).toBe(400);
});

test('other ways to use POST are as before', async () => {
  const { to } = await twoNodes();
  expect((await ask(to, { method: 'POST', body: 'x' })).status).toBe(405);
  const dir = to.replace(name, '');
  expect((await pull(dir, 'http://127.0.0.1:80/dev1/x')).status).toBe(400);
});

function pullAll(url: string, orders: unknown): Promise<Answer> {
  const body = Buffer.from(JSON.stringify(orders));
  const headers = { 'omgfs-pulls': '1', 'content-length': String(body.length) };
  return ask(new URL('/', url).href, { method: 'POST', headers, body });
}

test('each pull of a batch has its own answer', async () => {
  const { from, to, target } = await twoNodes();
  await put(from, body);
  const path = new URL(to).pathname;
  const order = { target: path, source: from, length: body.length };
  const answer = await pullAll(to, [
    { ...order, hash: 'MD5' },
    { ...order, target: `${path}.2`, checksum: `MD5:${'0'.repeat(32)}` },
    { ...order, target: `${path}.3`, length: 5 },
    { ...order, target: '/dev2/../../x' },
    { ...order, target: '/dev9/x' },
    { ...order, length: 2 ** 40 },
    { ...order, source: 'file:///dev1/x' },
    {},
  ]);
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.text)).toMatchObject([
    { status: 201, bytes: body.length, checksum: `MD5:${md5}` },
    { status: 502, reason: expect.stringContaining(`has MD5 ${md5} instead of`) },
    { status: 502, reason: 'has 600000 bytes instead of 5' },
    { status: 400 },
    { status: 404 },
    { status: 400 },
    { status: 400 },
    { status: 400 },
  ]);
  const stored = (await filesOf(target.docroot, 2)).filter((file) => file.endsWith('.fid'));
  expect(stored).toHaveLength(1);
  expect((await ask(to)).body.equals(body)).toBe(true);
});

test('a batch must be a list of bounded length', async () => {
  const { to } = await twoNodes();
  expect((await pullAll(to, {})).status).toBe(400);
  expect((await pullAll(to, [1])).status).toBe(400);
  expect((await pullAll(to, Array(65).fill({}))).status).toBe(400);
  expect((await pullAll(to, ['x'.repeat(300_000)])).status).toBe(400);
  const refusing = await twoNodes({ networks: [], secrets: [], pull: false });
  expect((await pullAll(refusing.to, [])).status).toBe(403);
});

test('each pull of a batch needs its own signature where URLs are signed', async () => {
  const secret = 'geheim';
  const { from, to } = await twoNodes({ networks: [], secrets: [secret], pull: true });
  const expires = Math.floor(Date.now() / 1000) + 60;
  const sign = (method: string, url: string) =>
    signPath({ secret, method, path: new URL(url).pathname, expires });
  await ask(new URL(sign('PUT', from), from).href, { method: 'PUT', body });
  const source = new URL(sign('GET', from), from).href;
  const target = sign(pullMethod(source), to);
  const order = { target, source, length: body.length };
  const answer = await pullAll(to, [
    order,
    { ...order, target: new URL(to).pathname },
    { ...order, source: `${source}&x=1` },
  ]);
  expect(JSON.parse(answer.text)).toMatchObject([
    { status: 201 },
    { status: 401 },
    { status: 401 },
  ]);
});
