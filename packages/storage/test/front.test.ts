/** Goal: a client cannot tell whether a request was read by the front or by node:http. Method: the
 *  same requests both ways, bytes compared; requests cut and joined at will on raw sockets; a
 *  header with `_` in its name keeps a request from being plain without changing its meaning. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { Buffers } from '../src/device/buffers.ts';
import { Front } from '../src/http/front.ts';
import type { WholeExchange } from '../src/http/reply.ts';
import { ask, createDocroot, filesOf, openFilesBelow, put, startNode, Wire } from './helpers.ts';

const md5 = 'Content-MD5: mgNkuembtIDdJeH1jhZSEg==';
const odd = 'X_odd: 1\r\n';
const masked = (text: string) =>
  text.replaceAll(/^Date: .*$/gm, 'Date: now').replaceAll(/[0-9a-f]{36}/g, 'boundary');

/** Sends requests one after the other on one connection and returns what came for each. */
async function converse(port: number, requests: readonly string[], extra: string) {
  const wire = new Wire(port);
  const answers: string[] = [];
  for (const [at, request] of requests.entries()) {
    wire.received = '';
    const [line = '', ...rest] = request.split('\r\n');
    // A miss of its own behind each, so that the end of an answer is known.
    const next = `GET /dev1/behind-${at} HTTP/1.1\r\n${extra}\r\n`;
    wire.send(`${line}\r\n${extra}${rest.join('\r\n')}${next}`);
    await until(`an answer to ${line}`, () => wire.received.endsWith(`no file behind-${at}.\n`), {
      everyMs: 1,
    });
    answers.push(masked(wire.received.slice(0, wire.received.lastIndexOf('HTTP/1.1 404'))));
  }
  wire.socket.destroy();
  return answers;
}

test('the same requests get the same bytes from the front and from node:http', async () => {
  const { docroot, port, url } = await startNode();
  for (const [name, bytes] of [
    ['small', 10],
    ['empty', 0],
    ['limit', 65_536],
    ['large', 700_000],
  ] as const) {
    await put(`${url}/dev1/${name}`, Buffer.alloc(bytes, name));
  }
  await put(`${url}/dev1/0/000/000/0000000123.fid`, 'content', {
    'content-md5': 'mgNkuembtIDdJeH1jhZSEg==',
  });
  const plain = (target: string, headers = '') =>
    ['GET', 'HEAD'].map((method) => `${method} ${target} HTTP/1.1\r\n${headers}\r\n`);
  const requests = [
    ...plain('/dev1/small'),
    ...plain('/dev1/small', 'Host: a\r\nConnection: keep-alive\r\n'),
    ...['empty', 'limit', 'large', 'none', 'small/x', '%73mall', 'small?a=b', '/small', ''].flatMap(
      (name) => plain(`/dev1/${name}`),
    ),
    ...['/', '/dev1', '/dev1/usage', '/dev9/x', '/x', '/fid/123', '/fid/124'].flatMap((target) =>
      plain(target),
    ),
    ...['/dev1/../x', '/dev1/%2e%2e/x', '/dev1/%', '/dev1/%00', `/dev1/${'a'.repeat(300)}`].flatMap(
      (target) => plain(target),
    ),
    ...[
      'Range: bytes=2-4',
      'Range: bytes=2-4,6-7',
      'Range: bytes=99-',
      'Range: bytes=x',
      'If-None-Match: *',
      'If-None-Match: "123-7"',
      'If-Match: "no"',
      'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT',
      'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT',
      'If-Range: "123-7"\r\nRange: bytes=1-2',
      'Want-Content-Digest: sha-256=1',
      'Want-Repr-Digest: md5=1',
    ].flatMap((header) => plain('/dev1/0/000/000/0000000123.fid', `${header}\r\n`)),
    'PUT /dev1/new HTTP/1.1\r\nContent-Length: 3\r\n\r\nnew',
    'PUT /dev1/new HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
    `PUT /dev1/new HTTP/1.1\r\nContent-Length: 7\r\n${md5}\r\n\r\ncontent`,
    'PUT /dev1/new HTTP/1.1\r\nContent-Length: 7\r\nWant-Repr-Digest: md5=1\r\n\r\ncontent',
    `PUT /dev1/bad HTTP/1.1\r\nContent-Length: 3\r\n${md5}\r\n\r\nbad`,
    'DELETE /dev1/none HTTP/1.1\r\n\r\n',
    'DELETE /dev1/ HTTP/1.1\r\n\r\n',
    'DELETE /dev1/.omgfs-device.json HTTP/1.1\r\n\r\n',
    'PUT /dev1/gone HTTP/1.1\r\nContent-Length: 3\r\n\r\nnew',
    'DELETE /dev1/gone HTTP/1.1\r\n\r\n',
    'HEAD /dev1/gone HTTP/1.1\r\n\r\n',
    // Once more, now from memory.
    ...plain('/dev1/small'),
    ...plain('/dev1/limit'),
  ];
  const strict = await converse(port, requests, odd);
  const front = await converse(port, requests, '');
  expect(strict.filter((answer) => !answer.startsWith('HTTP/1.1 '))).toEqual([]);
  for (const [at, request] of requests.entries()) {
    expect([request, front[at]]).toEqual([request, strict[at]]);
  }
  expect(await readFile(join(docroot, 'dev1', 'new'), 'utf8')).toBe('content');
});

test('an upload that is refused gets the same status and reason from both', async () => {
  const { docroot, port, url } = await startNode();
  await put(`${url}/dev1/f`, 'content');
  for (const head of [
    'PUT /dev1/x HTTP/1.1\r\nContent-MD5: x',
    'PUT /dev1/f/x HTTP/1.1',
    'PUT /dev9/x HTTP/1.1',
    'PUT /x HTTP/1.1',
    'PUT /dev1/../x HTTP/1.1',
    'PUT /dev1/.tmp/x HTTP/1.1',
    'PUT /dev1/x/ HTTP/1.1',
    'PUT /dev1/%zz HTTP/1.1',
  ]) {
    const told = [];
    for (const extra of ['', odd]) {
      const wire = new Wire(port).send(`${head}\r\nContent-Length: 3\r\n${extra}\r\nbad`);
      const answer = /^HTTP\/1\.1 (\d+) .*\r\n\r\n([^\r]+\n)$/s;
      const known = () => answer.exec(wire.received) ?? undefined;
      const [, status, reason] = await until(`an answer to ${head}`, known, { everyMs: 1 });
      told.push([head, status, reason]);
      wire.socket.destroy();
    }
    expect(told[0]).toEqual(told[1]);
  }
  expect(await filesOf(docroot, 1)).toEqual(['f']);
});

test('requests may come cut at any byte and joined with others', async () => {
  const { port, url } = await startNode();
  await put(`${url}/dev1/f`, 'content');
  const text = [
    'PUT /dev1/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /',
    'GET /dev1/f HTTP/1.1\r\nHost: a\r\n\r\n',
    'HEAD /dev1/f HTTP/1.1\r\n\r\n',
    `GET /dev1/none HTTP/1.1\r\n${odd}\r\n`,
    'GET /dev1/a HTTP/1.1\r\n\r\n',
  ].join('');
  const whole = new Wire(port).send(text);
  await until('the whole is answered', () => whole.received.endsWith('GET /'));
  const expected = masked(whole.received).replace(/ETag: "\d+-5"|Last-Modified.*/g, '');
  expect(expected.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(9))).toEqual([
    '200',
    '200',
    '200',
    '404',
    '200',
  ]);
  const wires = Array.from(text, (_, at) => {
    const wire = new Wire(port).send(text.slice(0, at));
    // The rest goes when the node has most likely seen the first part; either way is right.
    wire.socket.once('connect', () =>
      setImmediate(() => setImmediate(() => wire.send(text.slice(at)))),
    );
    return wire;
  });
  await until('all are answered', () => wires.every(({ received }) => received.endsWith('GET /')));
  // Statuses and lengths in order; times of `a` differ, because all of them store it.
  const skeleton = (all: string) => all.match(/HTTP\/1\.1 \d+|Content-Length: \d+|content|GET \//g);
  for (const wire of wires) expect(skeleton(wire.received)).toEqual(skeleton(whole.received));
});

test('a PUT that is taken at once is answered later, or served like others', async () => {
  const taken: string[] = [];
  const served: string[] = [];
  const answer = Buffer.from('HTTP/1.1 200 OK\r\n\r\n');
  const buffers = new Buffers(1024 * 1024);
  const front = new Front({
    buffers,
    answerNow: () => undefined,
    putNow: ({ head: { target }, body }, done) => {
      if (target === '/no') return false;
      taken.push(`${target} ${body.toString()}`);
      setImmediate(done, target === '/fails' ? undefined : answer);
      return true;
    },
    serve: async ({ res, target, body }: WholeExchange) => {
      served.push(`${target} ${body.toString()}`);
      res.writeHead(204, []);
      res.end();
    },
    strict: (socket: Socket) => socket.destroy(),
    takes: () => true,
    headersMs: 60_000,
    stallMs: 60_000,
    lateAnswer: '',
  });
  const port = await listen(front);
  const requests = ['/a', '/fails', '/no', '/b'].map(
    (target) => `PUT ${target} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc`,
  );
  const joined = new Wire(port).send(requests.join(''));
  const statuses = ({ received }: Wire) => received.match(/(?<=HTTP\/1\.1 )\d+/g) ?? [];
  await until('all are answered', () => statuses(joined).length === 4);
  const cut = new Wire(port);
  for (const [at, request] of requests.entries()) {
    cut.send(request.slice(0, -2));
    await until('a part is there', () => buffers.usedBytes > 0);
    cut.send(request.slice(-2));
    await until('it is answered', () => statuses(cut).length === at + 1);
  }
  for (const wire of [joined, cut]) expect(statuses(wire)).toEqual(['200', '204', '204', '200']);
  const twice = (...all: string[]) => [...all, ...all];
  expect(taken).toEqual(twice('/a abc', '/fails abc', '/b abc'));
  expect(served).toEqual(twice('/fails abc', '/no abc'));
  await until('no memory is held', () => buffers.usedBytes === 0);
});

/** Lets a front serve on a free port until the test ends. */
async function listen(front: Front): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => front.take(socket));
  onTestFinished(() => {
    front.close();
    front.closeAll();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

test('the first request that is not plain reaches node:http with all that follows', async () => {
  let handed = '';
  const served: string[] = [];
  const front = new Front({
    buffers: new Buffers(1024 * 1024),
    answerNow: () => undefined,
    putNow: () => false,
    serve: async ({ res, target, body }: WholeExchange) => {
      served.push(`${target} ${body.toString()}`);
      res.writeHead(204, []);
      res.end();
    },
    strict: (socket: Socket) => {
      socket.on('data', (bytes: Buffer) => {
        handed += bytes.toString('latin1');
      });
    },
    takes: () => true,
    headersMs: 60_000,
    stallMs: 60_000,
    lateAnswer: '',
  });
  const port = await listen(front);
  const odds = 'GET /c HTTP/1.0\r\n\r\nGET /d HTTP/1.1\r\n\r\n';
  const wire = new Wire(port).send(
    `GET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc${odds}`,
  );
  await until('it is handed over', () => handed === odds);
  wire.send('GET /e HTTP/1.1\r\n\r\n');
  await until('so is what follows', () => handed === `${odds}GET /e HTTP/1.1\r\n\r\n`);
  expect(served).toEqual(['/a ', '/b abc']);
  expect(wire.received.match(/HTTP\/1\.1 204/g)).toHaveLength(2);
});

test('a file that is replaced or removed behind the node is not served from memory', async () => {
  const { docroot, port, url } = await startNode();
  const path = join(docroot, 'dev1', 'f');
  await put(`${url}/dev1/f`, 'first');
  const wire = new Wire(port);
  const get = async (end: string) => {
    wire.received = '';
    wire.send('GET /dev1/f HTTP/1.1\r\n\r\n');
    await until(`an answer with ${end}`, () => wire.received.endsWith(end));
  };
  await get('first');
  await get('first');
  await writeFile(`${path}.new`, 'other');
  await rename(`${path}.new`, path);
  await get('other');
  await get('other');
  await put(`${url}/dev1/f`, 'third');
  await get('third');
  wire.send('DELETE /dev1/f HTTP/1.1\r\n\r\n');
  await get('has no file f.\n');
});

test('a client that stands still is closed, with nothing left behind', async () => {
  const docroot = await createDocroot(1);
  const { port } = await startNode({ docroot, stallMs: 300 });
  const silent = new Wire(port);
  const half = new Wire(port).send('GET /dev1/f HTTP/1.1\r\nHo');
  const upload = new Wire(port).send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc');
  const cut = new Wire(port).send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc');
  cut.socket.end();
  expect(await silent.untilClosed()).toContain('HTTP/1.1 408 ');
  await half.untilClosed();
  expect(await upload.untilClosed()).toBe('');
  expect(await cut.untilClosed()).toBe('');
  expect(await filesOf(docroot, 1)).toEqual([]);
});

test('closing waits for an upload that has begun and ends idle connections', async () => {
  const { node, docroot, port } = await startNode({ closeGraceMs: 60_000 });
  const idle = new Wire(port).send('GET / HTTP/1.1\r\n\r\n');
  await until('one is idle', () => idle.status === 200);
  const upload = new Wire(port).send(
    'GET / HTTP/1.1\r\n\r\nPUT /dev1/f HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc',
  );
  await until('the upload has begun', () => upload.status === 200);
  const closing = node.close();
  await idle.untilClosed();
  upload.received = '';
  upload.send('def');
  expect(await upload.untilClosed()).toContain('HTTP/1.1 200 OK');
  await closing;
  expect(await readFile(join(docroot, 'dev1', 'f'), 'utf8')).toBe('abcdef');
});

test('an upload whose beginning came while another request was served is read on', async () => {
  const { docroot, port, url } = await startNode();
  const big = Buffer.alloc(30_000_000);
  await put(`${url}/dev1/big`, big);
  const wire = new Wire(port);
  wire.socket.pause();
  wire.send('GET /dev1/big HTTP/1.1\r\n\r\n');
  await until('it is being served', () => openFilesBelow(docroot) > 0);
  wire.send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc');
  await ask(`${url}/dev1/none`);
  wire.socket.resume();
  await until('it is served', () => wire.received.length > big.length);
  wire.send('def');
  await until('the upload is answered', () => wire.received.match(/HTTP\/1\.1 200/g)?.length === 2);
  expect(await readFile(join(docroot, 'dev1', 'f'), 'utf8')).toBe('abcdef');
});

test('a client that reads nothing is sent no more than it has room for', async () => {
  const { docroot, port, url } = await startNode();
  await put(`${url}/dev1/f`, Buffer.alloc(60_000));
  const wire = new Wire(port);
  wire.socket.pause();
  wire.send('GET /dev1/f HTTP/1.1\r\n\r\n'.repeat(1000));
  const other = new Wire(port).send('GET /dev1/f HTTP/1.1\r\n\r\n');
  await until('others are served', () => other.received.length > 60_000);
  wire.socket.resume();
  await until('it gets all in the end', () => {
    if (wire.received.length < 1000 * 60_000) return false;
    return wire.received.match(/HTTP\/1\.1 200/g)?.length === 1000;
  });
  expect(await filesOf(docroot, 1)).toEqual(['f']);
});
