/**
 * Goal: the raw clients of the load tool count only what really arrived.
 * Method: real sockets; a server that answers with bytes chosen by the test, cut where it hurts.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { loadBench } from './load-bench.ts';

interface HttpPool {
  put(url: string, body: Buffer): Promise<void>;
  get(url: string, bytes: number): Promise<void>;
  close(): void;
}

interface LineConnection {
  ask(request: string): Promise<string>;
  close(): void;
}

const { HttpPool } = await loadBench<{ HttpPool: new () => HttpPool }>('load/http-connection.ts');
const { LineConnection, field } = await loadBench<{
  LineConnection: { open(address: { host: string; port: number }): Promise<LineConnection> };
  field(reply: string, name: string): string;
}>('load/line-connection.ts');

let server: Server;
let connections = 0;

afterEach(async () => {
  server.close();
  await once(server, 'close');
});

/** Answers each request with pieces that arrive as separate packets. @returns the port. */
async function answering(...pieces: string[]): Promise<number> {
  connections = 0;
  server = createServer({ noDelay: true }, (socket) => {
    connections += 1;
    socket.on('error', () => {});
    socket.on('data', async (request) => {
      // A body that follows its head in another packet is no request.
      if (!/^(GET|PUT|[a-z_]+ )/.test(request.toString('latin1'))) return;
      for (const piece of pieces) {
        if (piece === 'end') socket.end();
        else await new Promise((sent) => socket.write(piece, 'latin1', sent));
        await new Promise((turn) => setImmediate(turn));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function withPool<T>(work: (pool: HttpPool) => Promise<T>): Promise<T> {
  const pool = new HttpPool();
  try {
    return await work(pool);
  } finally {
    pool.close();
  }
}

describe('HTTP', () => {
  test.each([
    ['in one piece', ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello']],
    ['cut inside the head', ['HTTP/1.1 200 OK\r\nConte', 'nt-Length: 5\r\n\r\nhello']],
    ['cut inside the end of the head', ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r', '\nhello']],
    ['cut inside the body', ['HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe', 'llo']],
  ])('a body that comes %s is counted, and the connection kept', async (_, pieces) => {
    const url = `http://127.0.0.1:${await answering(...pieces)}/dev1/x.fid`;
    await withPool(async (pool) => {
      for (let round = 0; round < 3; round += 1) await pool.get(url, 5);
    });
    expect(connections).toBe(1);
  });

  test.each([
    ['another length', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell', '4 bytes instead of 5'],
    ['an error status', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', '404'],
    ['no length', 'HTTP/1.1 200 OK\r\n\r\n', 'Content-Length'],
  ])('%s is an error', async (_, answer, reason) => {
    const url = `http://127.0.0.1:${await answering(answer)}/dev1/x.fid`;
    await withPool((pool) => expect(pool.get(url, 5)).rejects.toThrow(reason));
  });

  test('a body cut off by the end of the connection is an error', async () => {
    const port = await answering('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe', 'end');
    const url = `http://127.0.0.1:${port}/dev1/x.fid`;
    await withPool((pool) => expect(pool.get(url, 5)).rejects.toThrow('closed'));
  });

  test('a PUT answered with 201 or 204 has stored', async () => {
    const port = await answering('HTTP/1.1 204 No Content\r\n\r\n');
    const url = `http://127.0.0.1:${port}/dev1/x.fid`;
    await withPool(async (pool) => {
      for (let round = 0; round < 3; round += 1) await pool.put(url, Buffer.alloc(4096));
    });
    expect(connections).toBe(1);
  });
});

describe('line protocol', () => {
  test('a reply in pieces is one line, an ERR is an error', async () => {
    const port = await answering('OK fid=1&devid=2&pa', 'th=http://h:1/a%20b\r', '\n');
    const line = await LineConnection.open({ host: '127.0.0.1', port });
    const reply = await line.ask('create_open domain=d\r\n');
    expect(['fid', 'devid', 'path'].map((name) => field(reply, name))).toEqual([
      '1',
      '2',
      'http://h:1/a b',
    ]);
    expect(() => field(reply, 'id')).toThrow('no field id');
    line.close();
  });

  test('an error and a lost connection fail the request', async () => {
    const port = await answering('ERR unknown_key unknown_key\r\n', 'end');
    const line = await LineConnection.open({ host: '127.0.0.1', port });
    await expect(line.ask('delete domain=d\r\n')).rejects.toThrow('unknown_key');
    await expect(line.ask('delete domain=d\r\n')).rejects.toThrow(/closed|EPIPE|ECONNRESET/);
    line.close();
  });

  test('a port where nobody listens is an error', async () => {
    const port = await answering();
    server.close();
    await once(server, 'close');
    await expect(LineConnection.open({ host: '127.0.0.1', port })).rejects.toThrow('ECONNREFUSED');
    await answering();
  });
});
