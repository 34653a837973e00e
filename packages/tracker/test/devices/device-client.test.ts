/**
 * Goal: whatever a storage node does, the client answers with a value, in time.
 * Method: real servers on loopback that hang, lie, cut and refuse. Those that hang are given up
 * after 100 ms for the connection and 100 for the answer; the others have time on a busy machine.
 */
import { fidPath, verifySignature } from '@omgfs/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDeviceClient, type DeviceClientOptions } from '../../src/devices/device-client.ts';
import { startTcpNode, startTestNode } from './http-node.ts';

const impatient = { nodeTimeoutMs: 100, connTimeoutMs: 100 };

function newClient(options: Partial<DeviceClientOptions> = {}) {
  const client = createDeviceClient({
    nodeTimeoutMs: 20_000,
    connTimeoutMs: 20_000,
    connectionsPerHost: 4,
    ...options,
  });
  onTestFinished(() => client.close());
  return client;
}

/** A port of loopback on which nobody listens. */
const nobody = 'http://127.0.0.1:1';
const path = fidPath(1, 7);

describe('size', () => {
  test('is the length that HEAD announces', async () => {
    const node = await startTestNode();
    node.files.set(path, Buffer.from('12345'));
    node.files.set(fidPath(1, 8), Buffer.alloc(0));
    const client = newClient();
    expect(await client.size(node.base + path)).toEqual({ state: 'present', bytes: 5 });
    expect(await client.size(node.base + fidPath(1, 8))).toEqual({ state: 'present', bytes: 0 });
    expect(await client.size(node.base + fidPath(1, 9))).toEqual({ state: 'missing' });
  });

  test.each([
    [{}, { state: 'unreachable', reason: 'answered without a length' }],
    [{ server: 'lighttpd/1.4' }, { state: 'present', bytes: 0 }],
  ])('an answer without a length and with headers %j', async (headers, expected) => {
    const node = await startTestNode((_, response) => {
      // Chunked, so that no length is announced.
      response.writeHead(200, { ...headers, 'transfer-encoding': 'chunked' });
      return response.end();
    });
    expect(await newClient().size(node.base + path)).toEqual(expected);
  });

  test('a node that refuses its disk is not a missing file (I6)', async () => {
    const node = await startTestNode((_, response) => response.writeHead(503).end());
    const expected = { state: 'unreachable', reason: 'answered 503' };
    expect(await newClient().size(node.base + path)).toEqual(expected);
  });

  test('a node that hangs, talks nonsense, hangs up or is not there is unreachable', async () => {
    const hanging = await startTcpNode(() => {});
    const babbling = await startTcpNode((socket) => socket.end('garbage\r\n\r\n'));
    const closing = await startTcpNode((socket) => socket.destroy());
    const [patient, hasty] = [newClient(), newClient(impatient)];
    const reasons = [];
    for (const base of [hanging, babbling, closing, nobody]) {
      const size = await (base === hanging ? hasty : patient).size(base + path);
      reasons.push(size.state === 'unreachable' ? size.reason : size.state);
    }
    expect(reasons).toEqual([
      'no answer within 200 ms',
      expect.stringMatching(/./),
      expect.stringMatching(/./),
      'connection refused',
    ]);
  });

  test('what a node answers while this process sleeps is in time', async () => {
    const slow = { nodeTimeoutMs: 800, connTimeoutMs: 800 };
    const plain = await startTcpNode((socket) => {
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'));
    });
    const odd = await startTcpNode((socket) => {
      socket.on('data', () => socket.write('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n'));
    });
    const client = newClient(slow);
    const sizes = [plain, odd].map((base) => client.size(base + path));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_700);
    const five = { state: 'present', bytes: 5 };
    expect(await Promise.all(sizes)).toEqual([five, five]);
  });

  test('many questions to a hanging node all end, though they share few connections', async () => {
    const hanging = await startTcpNode(() => {});
    const client = newClient(impatient);
    const sizes = await Promise.all(Array.from({ length: 200 }, () => client.size(hanging + path)));
    expect(new Set(sizes.map(({ state }) => state))).toEqual(new Set(['unreachable']));
  });

  test('a kept connection that breaks before the reply is tried once more', async () => {
    const reply = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
    const connections: number[] = [];
    const base = await startTcpNode((socket, number) => {
      connections.push(number);
      let requests = 0;
      socket.on('data', () => {
        requests += 1;
        if (requests === 1) socket.write(reply);
        else socket.destroy();
      });
    });
    const client = newClient();
    expect(await client.size(base + path)).toEqual({ state: 'present', bytes: 5 });
    expect(await client.size(base + path)).toEqual({ state: 'present', bytes: 5 });
    expect(connections).toEqual([1, 2]);
  });
});

describe('size in all forms that an answer may have', () => {
  const five = 'Content-Length: 5\r\n\r\n';

  test.each<[string, string[], unknown]>([
    ['plain', [`HTTP/1.1 200 OK\r\n${five}`], { state: 'present', bytes: 5 }],
    ['in pieces', ['HTTP/1.1 200 OK\r\nConte', `${five.slice(5)}`], { state: 'present', bytes: 5 }],
    ['of HTTP/1.0', [`HTTP/1.0 200 OK\r\n${five}`], { state: 'present', bytes: 5 }],
    [
      'the last',
      [`HTTP/1.1 200 OK\r\nConnection: close\r\n${five}`],
      { state: 'present', bytes: 5 },
    ],
    ['a page', [`HTTP/1.1 404 Not Found\r\n${five}`], { state: 'missing' }],
    [
      'a redirect',
      [`HTTP/1.1 302 Found\r\n${five}`],
      { state: 'unreachable', reason: 'answered 302' },
    ],
  ])('%s', async (_, pieces, expected) => {
    const base = await startTcpNode((socket) => {
      socket.on('data', () => {
        for (const piece of pieces) setImmediate(() => socket.write(piece));
      });
    });
    const client = newClient();
    for (let time = 0; time < 3; time += 1) {
      expect(await client.size(base + path)).toEqual(expected);
    }
  });

  test('a plain node is asked over one connection, another one once more at first', async () => {
    for (const [version, requestsOfThree] of [
      ['1.1', 3],
      ['1.0', 4],
    ] as const) {
      let [connections, requests] = [0, 0];
      const base = await startTcpNode((socket) => {
        connections += 1;
        socket.on('data', () => {
          requests += 1;
          socket.write(`HTTP/${version} 200 OK\r\nConnection: keep-alive\r\n${five}`);
        });
      });
      const client = newClient();
      for (let time = 0; time < 3; time += 1) await client.size(base + path);
      expect(requests).toBe(requestsOfThree);
      if (version === '1.1') expect(connections).toBe(1);
    }
  });

  test('a signed one is good for the node', async () => {
    const secret = 'known to both';
    const seen: string[] = [];
    const node = await startTestNode((request, response) => {
      seen.push(request.url ?? '');
      return response.writeHead(200, { 'content-length': 5 }).end();
    });
    await newClient({ urlSecret: secret }).size(node.base + path);
    const [pathname = '', query = ''] = seen[0]?.split('?') ?? [];
    const nowSeconds = Date.now() / 1000;
    const signed = { secrets: [secret], method: 'HEAD', path: pathname, query, nowSeconds };
    expect(verifySignature(signed)).toBe('valid');
  });
});

test('remove tells gone, missing and failed apart', async () => {
  const node = await startTestNode((request, response) => {
    return request.url === '/dev2/x' ? response.writeHead(500).end() : undefined;
  });
  node.files.set(path, Buffer.from('x'));
  const client = newClient();
  expect(await client.remove(node.base + path)).toBe('removed');
  expect(await client.remove(node.base + path)).toBe('missing');
  expect(await client.remove(`${node.base}/dev2/x`)).toEqual({ failed: 'answered 500' });
  expect(await client.remove(nobody + path)).toEqual({ failed: 'connection refused' });
});

describe('makeDirectories', () => {
  const three = ['MKCOL /dev1/0/', 'MKCOL /dev1/0/000/', 'MKCOL /dev1/0/000/000/'];

  test.each([201, 405])('makes the three levels once when MKCOL answers %i', async (status) => {
    const node = await startTestNode((_, response) => response.writeHead(status).end());
    const client = newClient();
    await client.makeDirectories(node.base + path);
    await client.makeDirectories(node.base + fidPath(1, 8));
    expect(node.seen).toEqual(three);
    await client.makeDirectories(node.base + fidPath(1, 1000));
    expect(node.seen.slice(3)).toEqual(['MKCOL /dev1/0/000/001/']);
  });

  test.each([400, 501])('leaves a device alone that answers %i', async (status) => {
    const node = await startTestNode((_, response) => response.writeHead(status).end());
    const client = newClient();
    await client.makeDirectories(node.base + path);
    await client.makeDirectories(node.base + fidPath(1, 1000));
    await client.makeDirectories(node.base + fidPath(2, 7));
    expect(node.seen).toEqual(['MKCOL /dev1/0/', 'MKCOL /dev2/0/']);
  });

  test('callers at the same time share one request', async () => {
    const node = await startTestNode((_, response) => response.writeHead(201).end());
    const client = newClient();
    const fids = [1, 2, 3, 4, 5];
    await Promise.all(fids.map((fid) => client.makeDirectories(node.base + fidPath(1, fid))));
    expect(node.seen).toEqual(three);
  });

  test('a failure is ignored and asked again next time', async () => {
    const node = await startTestNode((_, response) => response.writeHead(500).end());
    const client = newClient();
    await client.makeDirectories(nobody + path);
    await client.makeDirectories(node.base + path);
    await client.makeDirectories(node.base + path);
    expect(node.seen).toEqual(['MKCOL /dev1/0/', 'MKCOL /dev1/0/']);
  });

  /** A server that keeps directories, as nginx and Apache do; `refuses` says no to a PUT. */
  async function startDavNode(refuses: (url: string) => number | undefined = () => undefined) {
    const directories = new Set<string>();
    const node = await startTestNode((request, response) => {
      const { method, url = '' } = request;
      if (method === 'MKCOL') {
        response.writeHead(directories.has(url) ? 405 : 201).end();
        return directories.add(url);
      }
      const status =
        refuses(url) ?? (directories.has(url.slice(0, url.lastIndexOf('/') + 1)) ? 200 : 409);
      if (method !== 'PUT' || status === 200) return undefined;
      return request.resume().on('end', () => response.writeHead(status).end());
    });
    node.files.set(fidPath(2, 9), Buffer.from('bytes'));
    const copied = (client: ReturnType<typeof newClient>, fid: number) =>
      client.copy({ from: node.base + fidPath(2, 9), to: node.base + fidPath(1, fid), length: 5 });
    const place = { devid: 1, readBase: node.base, writeBase: node.base };
    return { node, directories, copied, place };
  }

  test.each([403, 404, 409])('what went away behind the server is made anew on %i', async (no) => {
    const { node, directories, copied, place } = await startDavNode((url) =>
      directories.has(url.slice(0, url.lastIndexOf('/') + 1)) ? undefined : no,
    );
    const client = newClient();
    await client.makeDirectories(node.base + path);
    expect(await client.findWriteFault(place)).toBeUndefined();
    directories.clear();
    const copies = await Promise.all([7, 8].map((fid) => copied(client, fid)));
    expect(copies).toMatchObject([{ state: 'copied' }, { state: 'copied' }]);
    expect(await client.findWriteFault(place)).toBeUndefined();
  });

  test('a PUT that is refused for another reason is not sent twice', async () => {
    const { node, copied, place } = await startDavNode(() => 403);
    const client = newClient();
    await client.makeDirectories(node.base + path);
    const refused = { state: 'target_failed', reason: 'answered 403' };
    expect(await copied(client, 7)).toMatchObject(refused);
    expect(await client.findWriteFault(place)).toBe('write test answered 403');
    expect(node.seen.filter((line) => line.startsWith('PUT'))).toHaveLength(2);
  });

  test('none is made where the cluster does without (skip_mkcol)', async () => {
    const { node, copied, place } = await startDavNode();
    const client = newClient({ skipMkcol: () => true });
    await client.makeDirectories(node.base + path);
    expect(await copied(client, 7)).toMatchObject({ state: 'target_failed' });
    expect(await client.findWriteFault(place)).toBe('write test answered 409');
    expect(node.seen.filter((line) => line.startsWith('MKCOL'))).toEqual([]);
  });
});

describe('digest', () => {
  test('is that of the bytes', async () => {
    const node = await startTestNode();
    node.files.set(path, Buffer.from('abc'));
    const client = newClient();
    expect(await client.digest(node.base + path, 'MD5')).toEqual({
      state: 'present',
      hex: '900150983cd24fb0d6963f7d28e17f72',
      bytes: 3,
    });
    expect(await client.digest(node.base + path, 'SHA-1')).toMatchObject({
      hex: 'a9993e364706816aba3e25717850c26c9cd0d89d',
    });
    expect(await client.digest(node.base + fidPath(1, 9), 'MD5')).toEqual({ state: 'missing' });
  });

  test('half a file has none', async () => {
    const cut = await startTestNode((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('abc', () => response.destroy());
      return true;
    });
    const stalled = await startTestNode((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      return response.write('abc');
    });
    expect(await newClient().digest(cut.base + path, 'MD5')).toMatchObject({
      state: 'unreachable',
    });
    expect(await newClient({ stallMs: 200 }).digest(stalled.base + path, 'MD5')).toEqual({
      state: 'unreachable',
      reason: 'no progress for 200 ms',
    });
  });
});
