/**
 * Goal: an answer that is not plainly a file of known length is never taken for one; connections
 * are used again exactly when nothing of an answer is left on them; what is dropped leaves nothing.
 * Method: servers on plain sockets that answer byte for byte what each test says.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { encodeOk } from '@omgfs/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { type Client, type ClientOptions, createClient } from '../src/index.ts';
import { codeOf, LineServer } from './line-server.ts';

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

class RawNode {
  connections = 0;
  readonly requests: string[] = [];
  readonly sockets = new Set<Socket>();
  path = '';

  /** @param answer called for each request. */
  static async start(answer: (socket: Socket, request: number) => void): Promise<RawNode> {
    const node = new RawNode();
    const server = createServer((socket) => {
      node.connections += 1;
      node.sockets.add(socket);
      socket.on('close', () => node.sockets.delete(socket));
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        node.requests.push(chunk.toString('latin1'));
        answer(socket, node.requests.length);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push(() => {
      server.close();
      for (const socket of node.sockets) socket.destroy();
    });
    const bound = server.address();
    const port = typeof bound === 'object' && bound ? bound.port : 0;
    node.path = `http://127.0.0.1:${port}/dev1/0/000/000/0000000007.fid`;
    return node;
  }
}

async function clientOf(paths: string[], options: Partial<ClientOptions> = {}): Promise<Client> {
  const fields = paths.map((path, at) => [`path${at + 1}`, path]);
  const answer = encodeOk({ paths: paths.length, ...Object.fromEntries(fields) });
  const tracker = await LineServer.start(() => answer);
  const client = createClient({ trackers: [tracker.address], domain: 'd', ...options });
  opened.push(
    () => tracker[Symbol.asyncDispose](),
    () => client.close(),
  );
  return client;
}

const bytesOf = async (client: Client) => (await buffer((await client.get('k')).stream)).toString();
const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright';
const good = () => RawNode.start((socket) => socket.write(plain));

describe('an answer is passed over that', () => {
  test.each([
    ['is no HTTP', 'SSH-2.0-server\r\n\r\n'],
    ['is of another version', 'HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nwrong'],
    ['ends lines by line feeds alone', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nwrong\r\n\r\n'],
    [
      'comes in chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n',
    ],
    [
      'has a length and comes in chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nwrong',
    ],
    ['has two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwrong'],
    ['has no number as length', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nwrong'],
    ['folds a header', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nEtag: "a"\r\n b\r\n\r\nwrong'],
    ['has a blank before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nwrong'],
    ['has an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}`],
    ['is preliminary', 'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nwrong'],
    [
      'contradicts itself about its range',
      'HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 5\r\n\r\nwrong',
    ],
  ])('%s', async (_, answer) => {
    const bad = await RawNode.start((socket) => socket.write(answer, 'latin1'));
    const other = await good();
    expect(await bytesOf(await clientOf([bad.path, other.path]))).toBe('right');
    expect(bad.requests.length).toBe(1);
    await until('it to be hung up on', () => bad.sockets.size === 0);
  });
});

test('a head that comes byte by byte is understood', async () => {
  const slow = await RawNode.start((socket) => {
    let at = 0;
    const more = () => {
      if (at < plain.length) socket.write(plain.charAt(at++), () => setImmediate(more));
    };
    more();
  });
  expect(await bytesOf(await clientOf([slow.path]))).toBe('right');
});

describe('a connection', () => {
  test('serves one file after the other', async () => {
    const node = await good();
    const client = await clientOf([node.path]);
    for (let at = 0; at < 5; at += 1) expect(await bytesOf(client)).toBe('right');
    expect([node.requests.length, node.connections]).toEqual([5, 1]);
  });

  test.each([
    ['the node says so', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nright'],
    ['the node speaks HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nright'],
    ['something stands behind the body', `${plain}HTTP/1.1 200 OK\r\n`],
  ])('is not used again when %s', async (_, answer) => {
    const node = await RawNode.start((socket) => socket.write(answer));
    const client = await clientOf([node.path]);
    for (let at = 0; at < 3; at += 1) expect(await bytesOf(client)).toBe('right');
    expect(node.connections).toBe(3);
  });

  test('is not used again when the reader goes away, and no other replica is asked', async () => {
    const node = await RawNode.start((socket, request) => {
      socket.write(request > 1 ? plain : 'HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\nsome');
    });
    const other = await good();
    const client = await clientOf([node.path, other.path]);
    const { stream } = await client.get('k');
    for await (const chunk of stream) {
      expect(String(chunk)).toBe('some');
      break;
    }
    await until('it to be hung up on', () => node.sockets.size === 0);
    expect(await bytesOf(client)).toBe('right');
    expect([node.connections, other.connections]).toEqual([2, 0]);
  });

  test('forgets an answer that nobody read', async () => {
    const refusal = 'HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nwrong';
    const node = await RawNode.start((socket, request) => {
      if (request === 1) {
        socket.write(refusal);
        return;
      }
      socket.write(plain.slice(0, -5));
      // In a packet of its own.
      setTimeout(() => socket.write('right'), 50);
    });
    const client = await clientOf([node.path, node.path]);
    expect(await bytesOf(client)).toBe('right');
    expect(node.connections).toBe(1);
  });

  test('that the node closed at the same moment is replaced by a fresh one', async () => {
    const node = await RawNode.start((socket, request) => {
      if (request === 2) socket.destroy();
      else socket.write(plain);
    });
    const client = await clientOf([node.path]);
    for (let at = 0; at < 3; at += 1) expect(await bytesOf(client)).toBe('right');
    expect([node.requests.length, node.connections]).toEqual([4, 2]);
  });

  test('frees its place when it is done, broken or given up', async () => {
    const node = await RawNode.start((socket, request) => {
      if (request % 2 === 0) socket.destroy();
      else socket.write(plain);
    });
    const other = await good();
    const client = await clientOf([node.path, other.path], { storageConnectionsMax: 1 });
    const all = Array.from({ length: 6 }, () => bytesOf(client));
    expect(await Promise.all(all)).toEqual(all.map(() => 'right'));
  });

  test('ends with the client, and with it what is read from it', async () => {
    const node = await RawNode.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\nsome');
    });
    const client = await clientOf([node.path]);
    const { stream } = await client.get('k');
    const failed = codeOf(buffer(stream));
    await client.close();
    expect(await failed).toBe('NO_REPLICA_UP');
  });
});
