/**
 * Goal: a client that sends or takes too little is cut off, and one that waits for us never.
 * Method: a real server and sockets, with a window of a moment.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { Pace } from '../../src/http/pace.ts';

/** @returns what tells how many clients were cut off, and opens connections. */
async function serve(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  { rateMin = 10_000 } = {},
) {
  const cut: IncomingMessage[] = [];
  const pace = new Pace({ rateMin, windowMs: 300, onSlow: (request) => cut.push(request) });
  const server: Server = createServer((request, response) => {
    pace.begin(request);
    request.on('error', () => {});
    response.on('close', () => pace.end(request));
    handle(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const open = (text: string): Socket => {
    const { port } = server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    return socket;
  };
  return { cut, open };
}

const put = 'PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n';
const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const zeros = Buffer.alloc(65_536);

test('who sends drop by drop is cut off, who sends enough is not', async () => {
  const { cut, open } = await serve((request) => request.resume());
  const [slow, fast] = [open(put), open(put)];
  const drops = setInterval(() => slow.write('x'), 10);
  const bytes = setInterval(() => fast.write(zeros), 10);
  onTestFinished(() => [drops, bytes].forEach(clearInterval));
  await until('it to be cut off', () => slow.closed);
  expect(cut).toHaveLength(1);
  expect(fast.destroyed).toBe(false);
});

test('who does not read is cut off', async () => {
  const { cut, open } = await serve((_, response) => {
    Readable.from(endless())
      .on('error', () => {})
      .pipe(response);
  });
  const socket = open(get).pause();
  await until('it to be cut off', () => cut.length === 1);
  socket.destroy();
});

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield zeros;
}

test('who waits for us is not, in an upload or a download', async () => {
  // Reads nothing of the body, and sends nothing.
  const idle = await serve(() => {});
  idle.open(put + zeros.toString('latin1'));
  idle.open(get);
  const { cut, open } = await serve((request) => request.resume());
  open(put);
  // Several windows long.
  await until('another to be cut off', () => cut.length === 1);
  open(put);
  await until('another to be cut off', () => cut.length === 2);
  expect(idle.cut).toHaveLength(0);
});

test('without a rate nobody is', async () => {
  const none = await serve((request) => request.resume(), { rateMin: 0 });
  none.open(put);
  const { cut, open } = await serve((request) => request.resume());
  open(put);
  await until('another to be cut off', () => cut.length === 1);
  expect(none.cut).toHaveLength(0);
});
