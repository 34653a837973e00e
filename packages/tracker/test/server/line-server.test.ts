/**
 * Goal: I4 (one request, one reply, in order) and I7 (bounded memory) of the line server alone.
 * Method: a real listener with a small handler, raw sockets that misbehave.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { limits } from '@omgfs/protocol';
import { afterEach, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { Budget } from '../../src/server/budget.ts';
import { LineServer } from '../../src/server/line-server.ts';

const open: LineServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close(0);
});

/** Echoes lines; `wait` answers in a later turn, `big` with 64 KiB. */
async function serve(seen: string[] = []): Promise<number> {
  const server = new LineServer({
    connectionsMax: 100,
    handle: (line) => {
      seen.push(line);
      if (line.startsWith('wait')) return delay(1).then(() => `${line}\r\n`);
      if (line === 'throw') throw new Error('a defect');
      if (line === 'reject') return Promise.reject(new Error('a defect'));
      if (line === 'big') return `${'x'.repeat(65_536)}\r\n`;
      return `${line}\r\n`;
    },
  });
  open.push(server);
  return (await server.listen({ host: '127.0.0.1', port: 0 })).port;
}

function dial(port: number): Socket {
  return connect({ host: '127.0.0.1', port });
}

test('I4: pipelined requests are answered one by one, in order, slow ones included', async () => {
  const socket = dial(await serve());
  const lines = Array.from({ length: 1000 }, (_, i) => (i % 7 === 0 ? `wait ${i}` : `line ${i}`));
  socket.end(lines.map((line) => `${line}\r\n`).join(''));
  expect((await text(socket)).split('\r\n').slice(0, -1)).toEqual(lines);
});

test('I4: a request in pieces, bare LF, blank lines and a second CR', async () => {
  const socket = dial(await serve());
  const replies = text(socket);
  for (const piece of ['li', 'ne 1\r', '\n\r\n\n', 'line 2\nline 3\r\r\n', 'unfinished']) {
    socket.write(piece);
    await delay(1);
  }
  socket.end();
  expect(await replies).toBe('line 1\r\nline 2\r\nline 3\r\r\n');
});

test('every byte value arrives as it was sent', async () => {
  const socket = dial(await serve());
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter((b) => b !== 10));
  socket.end(Buffer.concat([Buffer.from('a'), bytes, Buffer.from('b\n')]));
  const chunks = await socket.toArray();
  expect(Buffer.concat(chunks).subarray(1, -3)).toEqual(bytes);
});

test('I7: a line without end is refused at the limit, with an answer', async () => {
  const socket = dial(await serve());
  const replies = text(socket);
  socket.write('first\r\n');
  socket.on('error', () => {});
  const megabyte = 'A'.repeat(limits.requestLineBytesMax);
  socket.write(megabyte);
  socket.write(megabyte);
  expect(await replies).toBe('first\r\nERR failure Request+line+is+too+long\r\n');
});

test('I7: a client that does not read is not read from', async () => {
  const seen: string[] = [];
  const socket = dial(await serve(seen));
  await once(socket, 'connect');
  socket.pause();
  const requests = 2000;
  socket.write('big\r\n'.repeat(requests));
  let before = -1;
  // The server has stopped when its count stands still over several looks.
  await until(
    'the server to stop reading',
    () => {
      const still = seen.length > 0 && seen.length === before;
      before = seen.length;
      return still;
    },
    { everyMs: 200 },
  );
  expect(seen.length).toBeLessThan(requests);
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
  });
  socket.resume();
  await until('all answers', () => bytes === requests * 65_538);
  socket.destroy();
});

test('a client that vanishes does not disturb others', async () => {
  const port = await serve();
  for (let i = 0; i < 20; i += 1) {
    const socket = dial(port);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('wait 1\r\nwait 2\r\n');
    socket.resetAndDestroy();
  }
  const socket = dial(port);
  socket.end('still here\r\n');
  expect(await text(socket)).toBe('still here\r\n');
});

test('closing answers the request in flight and ends the connection', async () => {
  const seen: string[] = [];
  const socket = dial(await serve(seen));
  const replies = text(socket);
  socket.write('wait 1\r\n');
  await until('the request to arrive', () => seen.length === 1);
  await open[0]?.close(5_000);
  expect(await replies).toBe('wait 1\r\n');
});

test('I4: a handler that fails is an answer like any other', async () => {
  const socket = dial(await serve());
  socket.end('throw\r\nreject\r\nnext\r\n');
  const failure = 'ERR failure Operation+failed\r\n';
  expect(await text(socket)).toBe(`${failure}${failure}next\r\n`);
});

test('closing does not wait for idle clients that keep their side open', async () => {
  const port = await serve();
  const idle = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const replies: string[] = [];
  idle.on('data', (chunk) => replies.push(String(chunk)));
  idle.on('error', () => {});
  idle.write('line\r\n');
  await until('the answer', () => replies.length === 1);
  // A grace beyond the limit of the test: only an end without it can pass.
  await open.splice(0)[0]?.close(3_600_000);
  idle.destroy();
});

test('I7: the budget of all clients together drops those who hold most', () => {
  const dropped: string[] = [];
  const budget = new Budget(100);
  const holder = (name: string, heldBytes: number) => {
    return { name, heldBytes, drop: () => dropped.push(name) };
  };
  const small = holder('small', 10);
  budget.update(small);
  budget.update(holder('large', 60));
  budget.update(holder('middle', 40));
  expect(dropped).toEqual(['large']);
  budget.update(holder('another', 55));
  expect(dropped).toEqual(['large', 'another']);
  small.heldBytes = 0;
  budget.update(small);
  budget.update(holder('fits', 60));
  expect(dropped).toEqual(['large', 'another']);
});
