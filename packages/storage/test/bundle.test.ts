/**
 * Goal: small files that a node fetches together arrive whole or not at all, and what is wrong with
 * one, with the answer or with the other node costs no other file more than a request of its own.
 * Method: real nodes; sources that lie or break off are small servers, or a real process that is
 * killed behind a proxy.
 */
import { rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { bundle, type PullAnswer, signPath, writeFrameHead } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { parseNetworks } from '../src/access/networks.ts';
import { Buffers } from '../src/device/buffers.ts';
import { fetchBundle } from '../src/handlers/pull-source.ts';
import { ask, createDocroot, filesOf, launch, put, startNode } from './helpers.ts';

const access = { networks: parseNetworks('127.0.0.0/8'), secrets: [], pull: true };
const nameOf = (fid: number) => `0/000/000/${String(fid).padStart(10, '0')}.fid`;
const bodyOf = (fid: number) => Buffer.alloc(50_000 + fid, `bytes of ${fid} `);

/** A target, and a way to have it fetch the files of those fids from a source. */
async function startTarget() {
  const { url, docroot } = await startNode({ access });
  const pull = async (origin: string, fids: readonly number[], more: object = {}) => {
    const orders = fids.map((fid) => ({
      target: `/dev2/${nameOf(fid)}`,
      source: `${origin}/dev1/${nameOf(fid)}`,
      length: bodyOf(fid).length,
      hash: 'MD5',
      ...more,
    }));
    const body = Buffer.from(JSON.stringify(orders));
    const headers = { 'omgfs-pulls': '1', 'content-length': String(body.length) };
    const answer = await ask(`${url}/`, { method: 'POST', headers, body });
    return JSON.parse(answer.text) as PullAnswer[];
  };
  const stored = async () => {
    const names = (await filesOf(docroot, 2)).filter((file) => file.endsWith('.fid'));
    const fids = names.map((file) => Number(/(\d+)\.fid$/.exec(file)?.[1]));
    for (const fid of fids) {
      expect((await ask(`${url}/dev2/${nameOf(fid)}`)).body.equals(bodyOf(fid))).toBe(true);
    }
    return fids;
  };
  return { pull, stored };
}

async function fill(url: string, fids: readonly number[]): Promise<void> {
  await Promise.all(fids.map((fid) => put(`${url}/dev1/${nameOf(fid)}`, bodyOf(fid))));
}

/** A server of a test, with what it was asked. */
async function serve(listener: RequestListener): Promise<{ origin: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    asked.push(req.method ?? '');
    listener(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** What a GET of a file is answered with by the servers of the tests. */
const fileOf = ({ url = '' }: IncomingMessage) => bodyOf(Number(/(\d+)\.fid$/.exec(url)?.[1]));

function frame(index: number, body: Buffer): Buffer {
  const head = Buffer.alloc(bundle.headBytes);
  writeFrameHead(head, { index, status: 200, bytes: body.length });
  return Buffer.concat([head, body]);
}

const fids = Array.from({ length: 20 }, (_, index) => index + 1);

test('a file that is gone, changed or of another length fails alone', async () => {
  const [source, target] = [await startNode({ access }), await startTarget()];
  await fill(source.url, fids);
  const pathOf = (fid: number) => join(source.docroot, 'dev1', nameOf(fid));
  await rm(pathOf(3));
  await writeFile(pathOf(5), 'short');
  const answers = await target.pull(source.url, fids);
  const failed = new Map([
    [3, { status: 502, reason: 'answered 404' }],
    [5, { status: 502, reason: 'has 5 bytes instead of 50005' }],
  ]);
  for (const fid of fids) {
    const whole = { status: 201, bytes: bodyOf(fid).length, checksum: expect.any(String) };
    expect(answers[fid - 1]).toEqual(failed.get(fid) ?? whole);
  }
  const right = fids.filter((fid) => !failed.has(fid));
  expect(await target.stored()).toEqual(right);
  const checksum = `MD5:${'0'.repeat(32)}`;
  const corrupt = await target.pull(source.url, [3, 7, 9], { checksum });
  expect(corrupt.map(({ status }) => status)).toEqual([502, 502, 502]);
  expect(corrupt[1]?.reason).toMatch(/^has MD5 [0-9a-f]{32} instead of 0+$/);
  // What was there before is there still.
  expect(await target.stored()).toEqual(right);
});

test('what an answer that breaks off leaves out is fetched by itself', async () => {
  const target = await startTarget();
  const { origin, asked } = await serve((req, res) => {
    if (req.method === 'GET') return void res.end(fileOf(req));
    res.writeHead(200, { 'content-type': bundle.type });
    const whole = Buffer.concat([frame(1, bodyOf(2)), frame(0, bodyOf(1))]);
    res.write(whole.subarray(0, -10), () => res.destroy());
  });
  const answers = await target.pull(origin, [1, 2, 3]);
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  expect(await target.stored()).toEqual([1, 2, 3]);
  expect(asked).toEqual(['POST', 'GET', 'GET']);
});

test('a node that does not know bundles is asked once', async () => {
  const target = await startTarget();
  const { origin, asked } = await serve((req, res) => {
    if (req.method === 'GET') res.end(fileOf(req));
    else res.writeHead(405).end();
  });
  for (const pair of [
    [1, 2],
    [3, 4],
  ]) {
    const answers = await target.pull(origin, pair);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
  }
  expect(await target.stored()).toEqual([1, 2, 3, 4]);
  expect(asked.filter((method) => method === 'POST')).toHaveLength(1);
});

test('an answer that is nonsense harms nothing', async () => {
  const target = await startTarget();
  const { origin } = await serve((req, res) => {
    if (req.method === 'GET') return void res.end(fileOf(req));
    res.writeHead(200, { 'content-type': bundle.type });
    // The second is none of those asked for.
    res.end(Buffer.concat([frame(0, bodyOf(1)), frame(7, bodyOf(2)), frame(1, bodyOf(9))]));
  });
  const answers = await target.pull(origin, [1, 2, 3]);
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  expect(await target.stored()).toEqual([1, 2, 3]);
});

test('a source that falls silent is waited for once', async () => {
  const { origin, asked } = await serve((_, res) => {
    res.writeHead(200, { 'content-type': bundle.type });
    res.write(frame(0, bodyOf(1)));
  });
  const orders = [1, 2, 3].map((fid) => ({
    source: new URL(`${origin}/dev1/${nameOf(fid)}`),
    length: bodyOf(fid).length,
    expected: undefined,
    hash: undefined,
  }));
  const buffers = new Buffers(1024 * 1024);
  const gone = new AbortController().signal;
  const [first, ...rest] = fetchBundle(orders, { buffers, stallMs: 1_500, gone });
  const late = rest.map((file) => expect(file).rejects.toThrow('silent for 1500 ms'));
  expect(await first).toMatchObject({ bytes: bodyOf(1) });
  await Promise.all(late);
  expect(asked).toEqual(['POST']);
});

test('no more is read than there is memory for', async () => {
  const { url } = await startNode({ access });
  await fill(url, [1, 2, 3]);
  const orders = [1, 2, 3].map((fid) => ({
    source: new URL(`${url}/dev1/${nameOf(fid)}`),
    length: bodyOf(fid).length,
    expected: undefined,
    hash: undefined,
  }));
  // For two files, besides what is read into.
  const bytesMax = 64 * 1024 + 512 + 150_000;
  const buffers = new Buffers(bytesMax);
  const gone = new AbortController().signal;
  const files = await Promise.all(fetchBundle(orders, { buffers, stallMs: 10_000, gone }));
  expect(files.filter((file) => file === 'alone')).toHaveLength(1);
  for (const file of files) if (file !== 'alone') file.give();
  await until('all of it is given back', () => buffers.claim(bytesMax));
});

test('a source that is killed in the middle fails only what had not come', async () => {
  const source = await launch(await createDocroot(1), '--allow', '127.0.0.0/8');
  source.child.setMaxListeners(0);
  await fill(source.url, fids);
  let bytes = 0;
  // It lets a few files pass, then the node behind it dies.
  const proxy = createTcpServer((client) => {
    const server = connect(source.port, '127.0.0.1');
    const end = () => {
      server.destroy();
      client.destroy();
    };
    source.child.once('exit', end);
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
    client.pipe(server);
    server.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes < 300_000) client.write(chunk);
      else {
        server.pause();
        source.child.kill('SIGKILL');
      }
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void proxy.close());
  const target = await startTarget();
  const origin = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const answers = await target.pull(origin, fids);
  const arrived = fids.filter((fid) => answers[fid - 1]?.status === 201);
  expect(arrived.length).toBeGreaterThan(0);
  expect(arrived.length).toBeLessThan(fids.length);
  expect(answers.filter(({ status }) => status === 502)).toHaveLength(20 - arrived.length);
  expect(await target.stored()).toEqual(arrived);
});

test('each file of a bundle needs its own signature where URLs are signed', async () => {
  const secret = 'geheim';
  const { url } = await startNode({ access: { networks: [], secrets: [secret], pull: true } });
  const sign = (method: string, path: string) =>
    signPath({ secret, method, path, expires: Math.floor(Date.now() / 1000) + 60 });
  const path = `/dev1/${nameOf(1)}`;
  await put(url + sign('PUT', path), bodyOf(1));
  const targets = [path, sign('GET', path), sign('DELETE', path), '/dev1/../x', '/dev77/x', '/'];
  const body = Buffer.from(JSON.stringify(targets));
  const headers = { [bundle.header]: '1', 'content-length': String(body.length) };
  const answer = await ask(`${url}/`, { method: 'POST', headers, body });
  const statuses = new Map<number, number>();
  for (let at = 0; at < answer.body.length; ) {
    statuses.set(answer.body.readUInt32BE(at), answer.body.readUInt32BE(at + 4));
    at += bundle.headBytes + answer.body.readUInt32BE(at + 8);
  }
  expect([...statuses].sort(([a], [b]) => a - b)).toEqual([
    [0, 401],
    [1, 200],
    [2, 401],
    [3, 401],
    [4, 401],
    [5, 0],
  ]);
});

test('a busy node answers the same, whoever reads the files', async () => {
  const { url, docroot } = await startNode({ access });
  await fill(url, fids);
  await symlink(join(docroot, 'dev1', '0'), join(docroot, 'dev1', 'link'));
  const names = [...fids.map(nameOf), nameOf(99), nameOf(1).replace('0/', 'link/')];
  const list = Buffer.from(JSON.stringify(names.map((name) => `/dev1/${name}`)));
  const headers = { [bundle.header]: '1', 'content-length': String(list.length) };
  // From the fourth on a thread of the device has work.
  for (let round = 0; round < 20; round += 1) {
    const { body } = await ask(`${url}/`, { method: 'POST', headers, body: list });
    const answers = new Map<number, unknown>();
    for (let at = 0; at < body.length; ) {
      const [index = 0, status, bytes = 0] = [0, 4, 8].map((from) => body.readUInt32BE(at + from));
      at += bundle.headBytes;
      const isWhole = body.subarray(at, at + bytes).equals(bodyOf(index + 1));
      answers.set(index, status === 200 ? isWhole : status);
      at += bytes;
    }
    const all = names.map((_, index) => answers.get(index));
    expect(all).toEqual([...fids.map(() => true), 404, 403]);
  }
});

test('a bundle is a list of bounded length, and only of files', async () => {
  const { url } = await startNode({ access });
  const order = (list: unknown) => {
    const body = Buffer.from(JSON.stringify(list));
    const headers = { [bundle.header]: '1', 'content-length': String(body.length) };
    return ask(`${url}/`, { method: 'POST', headers, body });
  };
  expect((await order({})).status).toBe(400);
  expect((await order([1])).status).toBe(400);
  expect((await order(Array(bundle.targetsMax + 1).fill('/dev1/x'))).status).toBe(400);
  expect((await order(['x'.repeat(bundle.bodyBytesMax)])).status).toBe(400);
  await put(`${url}/dev1/large`, Buffer.alloc(bundle.fileBytesMax + 1));
  const { body } = await order(['/dev1/large', '/', '/dev1/../../etc/passwd']);
  const statuses = [0, 1, 2].map((at) => body.readUInt32BE(at * bundle.headBytes + 4));
  expect(statuses.sort()).toEqual([0, 0, 403]);
});
