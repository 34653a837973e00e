/**
 * Goal: requests that are waiting for their turn on a connection that ends give back what they
 * hold, and all ways to files share one limit. Method: a real tracker that takes four at once;
 * raw sockets that send more requests than they read answers to.
 */
import { randomBytes } from 'node:crypto';
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
  wire.socket.write(`${head(start)}\r\n`.repeat(6));
  return wire;
}

async function statuses(count: number, path: string): Promise<number[]> {
  const asked = Array.from({ length: count }, () => site.ask('GET', path));
  return (await Promise.all(asked)).map(({ status }) => status);
}

test.each(['/files/files/big', '/dav/files/big'])('%s: queued requests end too', async (path) => {
  const wires = [await pipelined(`GET ${path}`), await pipelined(`GET ${path}`)];
  for (const { socket } of wires) socket.pause();
  await until('no room', async () => (await site.ask('HEAD', path)).status === 503);
  for (const { socket } of wires) socket.destroy();
  await until('room for all again', async () => {
    const all = await statuses(transfersMax, path);
    return all.every((status) => status === 200);
  });
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
