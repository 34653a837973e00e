/**
 * Goal: what a client sends without waiting for answers is done in its order and in bounds (I4,
 * I7), nothing is held for a connection that has ended, and all ways to files share one limit.
 * Method: a real tracker that takes four at once; raw sockets that send more requests than they
 * read answers to.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';
import { FilesSite, type Wire } from './site.ts';

const transfersMax = 4;
let cluster: LocalCluster;
let site: FilesSite;

beforeAll(async () => {
  cluster = await startLocalCluster({
    ...{ hosts: 1, devicesPerHost: 1, domain: 'files' },
    extraTrackerArgs: ['--http_transfers', String(transfersMax), '--http_dav', 'full'],
  });
  site = new FilesSite(cluster.apis[0] ?? '');
  // More than the buffers of all on the way hold.
  const stored = await site.ask('PUT', '/files/files/big', { body: randomBytes(20_000_000) });
  expect(stored.status).toBe(201);
});
afterAll(() => cluster?.stop());

const head = (start: string) => `${start} HTTP/1.1\r\nHost: x\r\n`;

/** A connection with requests of which only the first gets bytes, which nobody reads. */
async function pipelined(start: string): Promise<Wire> {
  const wire = await site.wire('');
  wire.socket.pause();
  wire.socket.write(`${head(start)}\r\n`.repeat(6));
  return wire;
}

async function statuses(count: number, path: string): Promise<number[]> {
  const asked = Array.from({ length: count }, () => site.ask('GET', path));
  return (await Promise.all(asked)).map(({ status }) => status);
}

test.each(['/files/files/big', '/dav/files/big'])('%s: queued requests end too', async (path) => {
  const wires = await Promise.all(
    Array.from({ length: transfersMax }, () => pipelined(`GET ${path}`)),
  );
  await until('no room', async () => (await site.ask('HEAD', path)).status === 503);
  for (const { socket } of wires) socket.destroy();
  await until('room for all again', async () => {
    const all = await statuses(transfersMax, path);
    return all.every((status) => status === 200);
  });
});

test('I4: each request is done after those before it on its connection', async () => {
  const put = (bytes: string) =>
    `${head('PUT /files/files/turn')}Content-Length: ${bytes.length}\r\n\r\n${bytes}`;
  const get = `${head('GET /files/files/turn')}\r\n`;
  const remove = `${head('DELETE /files/files/turn')}\r\n`;
  const last = `${head('GET /files/files/turn')}Connection: close\r\n\r\n`;
  const wire = await site.wire(put('one') + get + put('two') + get + remove + last);
  await once(wire.socket, 'close');
  const all = wire.text.matchAll(/HTTP\/1\.1 (\d+)/g);
  expect(Array.from(all, ([, status]) => Number(status))).toEqual([201, 200, 201, 200, 204, 404]);
  expect(wire.text).toMatch(/\r\n\r\none.*\r\n\r\ntwo/s);
});

test('I7: a connection with very many requests that wait is closed', async () => {
  const wire = await site.wire(`${head('GET /files/files/big')}\r\n`.repeat(100));
  await once(wire.socket, 'close');
  expect(wire.text.length).toBeLessThan(20_000_000);
});

test('files, tus and WebDAV share the limit', async () => {
  const put = `${head('PUT /files/files/held')}Content-Length: 10\r\n\r\nx`;
  const held = await Promise.all(Array.from({ length: transfersMax }, () => site.wire(put)));
  for (const path of ['/files/files/big', '/dav/files/big', '/tus/files/1']) {
    await until(`${path} to be refused`, async () => {
      return (await site.ask('HEAD', path)).status === 503;
    });
  }
  for (const { socket } of held) socket.destroy();
  await until('room again', async () => (await site.ask('HEAD', '/dav/files/big')).status === 200);
});
