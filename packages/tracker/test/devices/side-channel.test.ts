/**
 * Goal: a digest told by the node spares reading the file, and whatever else the side channel does,
 * the file is read instead. Method: a real socket server that answers as told.
 */
import { createHash } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { createDeviceClient } from '../../src/devices/device-client.ts';
import { UtilizationWatch } from '../../src/devices/side-channel/utilization-watch.ts';
import { startTcpNode, startTestNode } from './http-node.ts';

const path = '/dev1/0/000/000/0000000007.fid';
const hex = createHash('md5').update('hello').digest('hex');

/** A node that has the file, with a side channel that answers each line by `reply`. */
async function startBoth(reply: (line: string) => string | undefined, onClose = () => {}) {
  const node = await startTestNode();
  node.files.set(path, Buffer.from('hello'));
  const asked: string[] = [];
  const address = await startTcpNode((socket) => {
    socket.setEncoding('latin1');
    socket.once('close', onClose);
    socket.on('data', (text: Buffer | string) => {
      for (const line of String(text).trimEnd().split('\r\n')) {
        asked.push(line);
        const answer = reply(line);
        if (answer === undefined) socket.destroy();
        else socket.write(answer);
      }
    });
  });
  const timeouts = { nodeTimeoutMs: 20_000, connTimeoutMs: 20_000, connectionsPerHost: 4 };
  const sideChannelPort = Number(new URL(address).port);
  const client = createDeviceClient({ ...timeouts, sideChannelPort });
  onTestFinished(() => client.close());
  return { node, asked, url: `${node.base}${path}`, client };
}

test('the node is asked, and the file is not read', async () => {
  const { node, asked, url, client } = await startBoth((line) =>
    line.startsWith('size') ? `${path} 5\r\n` : `${path} MD5=${hex}\r\n`,
  );
  for (const background of [false, true]) {
    expect(await client.digest(url, 'MD5', { background })).toEqual({
      state: 'present',
      hex,
      bytes: 5,
    });
  }
  expect(asked).toEqual([`size ${path}`, `MD5 ${path}`, `size ${path}`, `MD5 ${path} fsck`]);
  expect(node.seen).toEqual([]);
});

test.each([
  ['an old server', () => 'ERROR: unknown command: size\r\n'],
  ['a file it does not find', () => `${path} -1\r\n`],
  ['an answer to another question', () => `/dev1/other 5\r\n`],
  [
    'a digest that is none',
    (line: string) => (/^size/.test(line) ? `${path} 5\r\n` : `${path} MD5=x\r\n`),
  ],
  [
    'a read error',
    (line: string) => (/^size/.test(line) ? `${path} 5\r\n` : `ERR read ${path} at 0 failed\r\n`),
  ],
  ['an endless line', () => 'x'.repeat(100_000)],
  ['a connection that ends', () => undefined],
])('with %s the file is read', async (_, reply) => {
  const { url, client } = await startBoth(reply);
  expect(await client.digest(url, 'MD5')).toEqual({ state: 'present', hex, bytes: 5 });
  expect(await client.digest(url, 'MD5')).toEqual({ state: 'present', hex, bytes: 5 });
});

/** A node that says the size at once and the digest never. */
async function startSilent() {
  const both = await startBoth((line) => (line.startsWith('size') ? `${path} 5\r\n` : ''));
  const stopping = new AbortController();
  const asking = Array.from({ length: 8 }, () =>
    both.client.digest(both.url, 'MD5', { background: true, signal: stopping.signal }),
  );
  await until('some digests are asked for', () => both.asked.length === 8 || undefined);
  return { ...both, stopping, asking };
}

test('a stop ends the digests that are asked for, and those that wait for their turn', async () => {
  const { asking, stopping, asked } = await startSilent();
  stopping.abort();
  await Promise.all(asking);
  expect(asked.length).toBe(8);
});

test('closing ends them as well', async () => {
  const { asking, client, asked } = await startSilent();
  await client.close();
  await Promise.all(asking);
  expect(asked.length).toBe(8);
});

test('a node that talks without end to nobody is cut off', async () => {
  let closed = false;
  const { url, client } = await startBoth(
    (line) => {
      if (line.startsWith('size')) return `${path} 5\r\n`;
      return `${path} MD5=${hex}\r\n${'more\n'.repeat(100_000)}`;
    },
    () => {
      closed = true;
    },
  );
  expect(await client.digest(url, 'MD5')).toEqual({ state: 'present', hex, bytes: 5 });
  await until('the connection is closed', () => closed);
});

test('utilisation is followed while it comes, and unknown afterwards', async () => {
  let end = () => {};
  const address = await startTcpNode((socket) => {
    socket.write('3\t12.50\n4\t-\n.\n');
    end = () => socket.destroy();
  });
  const seen: unknown[] = [];
  const watch = new UtilizationWatch({
    port: Number(new URL(address).port),
    connTimeoutMs: 20_000,
    onUtilization: (devid, percent) => seen.push([devid, percent]),
  });
  onTestFinished(() => watch.close());
  watch.follow(new Set(['127.0.0.1']));
  await until('two devices are seen', () => seen.length === 2);
  expect(seen).toEqual([
    [3, '12.50'],
    [4, undefined],
  ]);
  end();
  await until('both are unknown again', () => seen.length === 4);
  expect(seen.slice(2)).toEqual([
    [3, undefined],
    [4, undefined],
  ]);
});
