/**
 * Goal: the monitor's questions have right answers for right and for odd nodes.
 * Method: real servers on loopback.
 */
import { expect, onTestFinished, test } from 'vitest';
import { createDeviceClient } from '../../src/devices/device-client.ts';
import { startTestNode, type TestNode } from './http-node.ts';

function newClient() {
  const timeouts = { nodeTimeoutMs: 20_000, connTimeoutMs: 20_000 };
  const client = createDeviceClient({ ...timeouts, connectionsPerHost: 4 });
  onTestFinished(() => client.close());
  return client;
}

const placeOf = ({ base }: Pick<TestNode, 'base'>) => ({
  devid: 3,
  readBase: base,
  writeBase: base,
});

test('usage is read from the file of mogstored', async () => {
  const node = await startTestNode();
  const text = 'available: 70\ndevice: /dev/sdb1\ntotal: 2048\nuse: 50%\nused: 1024  \n\n\n';
  node.files.set('/dev3/usage', Buffer.from(text));
  const expected = { state: 'read', totalKib: 2048, usedKib: 1024 };
  expect(await newClient().readUsage(placeOf(node))).toEqual(expected);
});

test.each([
  ['total: 0\nused: 5\n', 'usage file lacks used or total'],
  ['total: 10\n', 'usage file lacks used or total'],
  ['<html>not one</html>', 'usage file lacks used or total'],
])('%j is no usage file', async (text, reason) => {
  const node = await startTestNode();
  node.files.set('/dev3/usage', Buffer.from(text));
  expect(await newClient().readUsage(placeOf(node))).toEqual({ state: 'refused', reason });
});

test('a node that refuses a disk says why (I6)', async () => {
  const node = await startTestNode((_, response) => {
    return response.writeHead(503).end('the disk of dev4\nis mounted here');
  });
  const reason = 'usage file answered 503: the disk of dev4 is mounted here';
  expect(await newClient().readUsage(placeOf(node))).toEqual({ state: 'refused', reason });
  const gone = { state: 'unreachable', reason: 'connection refused' };
  expect(await newClient().readUsage(placeOf({ base: 'http://127.0.0.1:1' }))).toEqual(gone);
});

test('the write test passes on a node that keeps what it takes', async () => {
  const node = await startTestNode();
  expect(await newClient().findWriteFault(placeOf(node))).toBeUndefined();
  expect(node.seen.map((line) => line.replace(/write-\d+$/, 'write-N'))).toEqual([
    'MKCOL /dev3/test-write/',
    'PUT /dev3/test-write/test-write-N',
    'GET /dev3/test-write/test-write-N',
  ]);
});

test('the write test fails on a node that refuses or forgets', async () => {
  const full = await startTestNode((_, response) => response.writeHead(507).end());
  expect(await newClient().findWriteFault(placeOf(full))).toBe('write test answered 507');
  const forgetful = await startTestNode((request, response) => {
    return request.method === 'GET' ? response.end('something else') : undefined;
  });
  const fault = await newClient().findWriteFault(placeOf(forgetful));
  expect(fault).toBe('write test read back something else');
});

test('a wrong Content-MD5 is refused or not', async () => {
  const careless = await startTestNode();
  const careful = await startTestNode((request, response) => {
    return request.headers['content-md5'] ? response.writeHead(400).end() : undefined;
  });
  const client = newClient();
  expect(await client.refusesWrongMd5(placeOf(careless))).toBe(false);
  expect(await client.refusesWrongMd5(placeOf(careful))).toBe(true);
  expect(await client.refusesWrongMd5(placeOf({ base: 'http://127.0.0.1:1' }))).toBeUndefined();
});
