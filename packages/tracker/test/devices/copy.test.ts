/**
 * Goal: a copy is whole and right or it is not made, and the end to blame is named.
 * Method: two real servers; one of them breaks, lies, refuses or stalls.
 */
import { createHash, randomBytes } from 'node:crypto';
import { fidPath } from '@omgfs/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDeviceClient } from '../../src/devices/device-client.ts';
import { startTcpNode, startTestNode } from './http-node.ts';

const path = fidPath(1, 7);
const bytes = randomBytes(3 * 1024 * 1024);
const length = bytes.length;
const md5 = createHash('md5').update(bytes).digest('hex');
const nobody = 'http://127.0.0.1:1';

function newClient(stallMs = 20_000) {
  const timeouts = { nodeTimeoutMs: 20_000, connTimeoutMs: 20_000, stallMs };
  const client = createDeviceClient({ ...timeouts, connectionsPerHost: 4 });
  onTestFinished(() => client.close());
  return client;
}

async function twoNodes() {
  const source = await startTestNode();
  const target = await startTestNode();
  source.files.set(path, bytes);
  return { source, target, from: source.base + path, to: target.base + path };
}

test('streams the bytes and digests them when asked', async () => {
  const { target, from, to } = await twoNodes();
  const client = newClient();
  expect(await client.copy({ from, to, length })).toEqual({ state: 'copied', checksum: undefined });
  expect(target.files.get(path)?.equals(bytes)).toBe(true);
  const checksum = { type: 'MD5' as const, hex: md5 };
  expect(await client.copy({ from, to, length, hashtype: 'MD5' })).toEqual({
    state: 'copied',
    checksum,
  });
  expect(await client.copy({ from, to, length, expected: checksum })).toEqual({
    state: 'copied',
    checksum,
  });
});

test('an empty file is copied like any other', async () => {
  const { source, target, from, to } = await twoNodes();
  source.files.set(path, Buffer.alloc(0));
  expect(await newClient().copy({ from, to, length: 0 })).toMatchObject({ state: 'copied' });
  expect(target.files.get(path)).toEqual(Buffer.alloc(0));
});

test('a stored MD5 is sent along, so that the node can check it', async () => {
  const { source } = await twoNodes();
  let sent: unknown;
  const target = await startTestNode((request) => {
    sent = request.headers['content-md5'];
    return undefined;
  });
  const expected = { type: 'MD5' as const, hex: md5 };
  const request = { from: source.base + path, to: target.base + path, length, expected };
  await newClient().copy(request);
  expect(sent).toBe(Buffer.from(md5, 'hex').toString('base64'));
});

describe('the source is to blame', () => {
  test('when it has another length, and the target hears nothing', async () => {
    const { target, from, to } = await twoNodes();
    const outcome = await newClient().copy({ from, to, length: length - 1 });
    const reason = `has ${length} bytes instead of ${length - 1}`;
    expect(outcome).toEqual({ state: 'source_failed', reason });
    expect(target.seen).toEqual([]);
  });

  test('when the file is missing or the node is gone', async () => {
    const { source, from, to } = await twoNodes();
    source.files.clear();
    const client = newClient();
    const missing = { state: 'source_failed', reason: 'answered 404' };
    expect(await client.copy({ from, to, length })).toEqual(missing);
    const gone = { state: 'source_failed', reason: 'connection refused' };
    expect(await client.copy({ from: nobody + path, to, length })).toEqual(gone);
  });

  test('when it breaks off, and the target has no file', async () => {
    const { target, to } = await twoNodes();
    const source = await startTestNode((_, response) => {
      response.writeHead(200, { 'content-length': length });
      response.write(bytes.subarray(0, length / 2), () => response.destroy());
      return true;
    });
    const outcome = await newClient().copy({ from: source.base + path, to, length });
    expect(outcome.state).toBe('source_failed');
    expect(target.files.size).toBe(0);
  });

  test('when its bytes have another checksum, and the target has no file', async () => {
    const { target, from, to } = await twoNodes();
    const expected = { type: 'SHA-1' as const, hex: '0'.repeat(40) };
    const outcome = await newClient().copy({ from, to, length, expected });
    const reason = expect.stringContaining(`has SHA-1`);
    expect(outcome).toEqual({ state: 'source_failed', reason });
    expect(target.files.size).toBe(0);
  });
});

describe('the target is to blame', () => {
  test('when it refuses, early or late', async () => {
    const { from } = await twoNodes();
    const early = await startTestNode((_, response) => response.writeHead(507).end());
    const late = await startTestNode((request, response) => {
      request.resume().on('end', () => response.writeHead(507).end());
      return true;
    });
    const client = newClient();
    const outcome = await client.copy({ from, to: late.base + path, length });
    expect(outcome).toEqual({ state: 'target_failed', reason: 'answered 507' });
    const busy = await startTestNode((request, response) => {
      request.resume().on('end', () => response.writeHead(503).end());
      return true;
    });
    expect(await client.copy({ from, to: busy.base + path, length })).toMatchObject({
      reason: 'answered 503',
      mayFinish: true,
    });
    const cut = await client.copy({ from, to: early.base + path, length });
    expect(cut.state).toBe('target_failed');
  });

  test('when it hangs up or is not there', async () => {
    const { from } = await twoNodes();
    const closing = await startTcpNode((socket) => {
      socket.once('data', () => socket.destroy());
    });
    const client = newClient();
    expect(await client.copy({ from, to: closing + path, length })).toMatchObject({
      state: 'target_failed',
      mayFinish: true,
    });
    const gone = { state: 'target_failed', reason: 'connection refused' };
    expect(await client.copy({ from, to: nobody + path, length })).toEqual(gone);
  });

  test('when it takes the bytes and never answers', async () => {
    const { from } = await twoNodes();
    const silent = await startTcpNode((socket) => socket.resume());
    const outcome = await newClient(300).copy({ from, to: silent + path, length });
    const silence = { state: 'target_failed', reason: 'no progress for 300 ms' };
    expect(outcome).toEqual({ ...silence, mayFinish: true });
  });
});

test('a copy ends when it is told to', async () => {
  const { from } = await twoNodes();
  const stop = new AbortController();
  const silent = await startTcpNode((socket) => {
    socket.resume().once('data', () => stop.abort());
  });
  const request = { from, to: silent + path, length, signals: [stop.signal] };
  const stopped = { state: 'target_failed', reason: 'stopped', mayFinish: true };
  expect(await newClient().copy(request)).toEqual(stopped);
});

test('a digest of what cannot be read to its end says so, however the answer was cut', async () => {
  const cut = 2_000_000;
  const asked: (string | undefined)[] = [];
  const node = await startTestNode((request, response) => {
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    asked.push(request.headers.range);
    if (from >= cut) {
      response.writeHead(500, { 'omgfs-error': 'FILE_UNREADABLE' }).end('EIO at that place\n');
      return true;
    }
    const range = { 'content-range': `bytes ${from}-${length - 1}/${length}` };
    response.writeHead(asked.length === 1 ? 200 : 206, {
      'content-length': length - from,
      ...range,
    });
    response.write(bytes.subarray(from, cut), () => response.destroy());
    return true;
  });
  const outcome = await newClient().digest(node.base + path, 'MD5');
  expect(outcome).toEqual({ state: 'unreadable', reason: 'EIO at that place' });
  expect(asked[0]).toBeUndefined();
});
