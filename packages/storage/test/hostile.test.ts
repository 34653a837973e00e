/** Goal: whatever comes over the wire, the node answers in order or closes, and lives. Method: a
 *  table of bytes on raw sockets; after each row an honest request must work. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import {
  ask,
  askRaw,
  createDocroot,
  filesOf,
  openFilesBelow,
  put,
  startNode,
  Wire,
} from './helpers.ts';

const end = 'Connection: close\r\n\r\n';
/** Name, bytes to send, status to expect; 0 means a connection that is closed without an answer. */
const rows: [string, string, number][] = [
  ['malformed escape', `GET /% HTTP/1.1\r\n${end}`, 400],
  ['NUL', `GET /dev1/%00 HTTP/1.1\r\n${end}`, 400],
  ['overlong UTF-8 slash', `GET /dev1/%c0%af HTTP/1.1\r\n${end}`, 400],
  ['overlong UTF-8 dots', `GET /dev1/%c0%ae%c0%ae/x HTTP/1.1\r\n${end}`, 400],
  ['dots', `GET /../../etc/passwd HTTP/1.1\r\n${end}`, 403],
  ['dots behind a device', `GET /dev1/../../../etc/passwd HTTP/1.1\r\n${end}`, 403],
  ['escaped dots', `GET /dev1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n${end}`, 403],
  ['escaped slashes', `GET /dev1/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n${end}`, 403],
  ['twice escaped', `GET /dev1/%252e%252e/x HTTP/1.1\r\n${end}`, 404],
  ['absolute form', `GET http://evil/../etc/passwd HTTP/1.1\r\n${end}`, 403],
  ['temporary files', `GET /dev1/.tmp/ HTTP/1.1\r\n${end}`, 403],
  ['identity', `GET /dev1/.omgfs-device.json HTTP/1.1\r\n${end}`, 403],
  ['memory of the node', `GET /.omgfs-node.json HTTP/1.1\r\n${end}`, 403],
  ['a file of the docroot', `GET /private HTTP/1.1\r\n${end}`, 404],
  ['long path', `GET /dev1/${'a/'.repeat(3000)} HTTP/1.1\r\n${end}`, 400],
  ['long name', `GET /dev1/${'a'.repeat(300)} HTTP/1.1\r\n${end}`, 400],
  ['long headers', `GET / HTTP/1.1\r\nX: ${'a'.repeat(100_000)}\r\n${end}`, 431],
  ['long target', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n${end}`, 431],
  ['no HTTP', 'hello there\r\n\r\n', 400],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['unknown method', `BREW / HTTP/1.1\r\n${end}`, 400],
  ['TRACE', `TRACE / HTTP/1.1\r\n${end}`, 405],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${end}`, 405],
  ['CONNECT', 'CONNECT evil:80 HTTP/1.1\r\nHost: evil\r\n\r\n', 0],
  ['bad length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: 1x\r\n${end}`, 400],
  ['negative length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: -1\r\n${end}`, 400],
  [
    'two lengths',
    `PUT /dev1/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n${end}ab`,
    400,
  ],
  [
    'length and chunks',
    `PUT /dev1/x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n${end}0\r\n\r\n`,
    400,
  ],
  ['no length', `PUT /dev1/x HTTP/1.0\r\n${end}abc`, 400],
  ['huge length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: ${'9'.repeat(15)}\r\n${end}`, 507],
  ['impossible length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: ${'9'.repeat(30)}\r\n${end}`, 400],
  ['bad chunk', `PUT /dev1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${end}zz\r\n`, 0],
  ['bad encoding', `PUT /dev1/x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n${end}abc`, 0],
  ['bad digest', `PUT /dev1/x HTTP/1.1\r\nContent-MD5: x\r\nContent-Length: 1\r\n${end}a`, 400],
  [
    'strange expectation',
    `PUT /dev1/x HTTP/1.1\r\nExpect: tea\r\nContent-Length: 1\r\n${end}a`,
    417,
  ],
  ['PUT with dots', `PUT /dev1/../x HTTP/1.1\r\nContent-Length: 1\r\n${end}a`, 400],
  ['PUT beside devices', `PUT /x HTTP/1.1\r\nContent-Length: 1\r\n${end}a`, 404],
  ['DELETE of a directory', `DELETE /dev1/.tmp HTTP/1.1\r\n${end}`, 403],
  ['MKCOL with a body', `MKCOL /dev1/x HTTP/1.1\r\nContent-Length: 3\r\n${end}abc`, 400],
  ['silly ranges', `GET /dev1/f HTTP/1.1\r\nRange: bytes=${'0-,'.repeat(500)}\r\n${end}`, 200],
  ['backwards range', `GET /dev1/f HTTP/1.1\r\nRange: bytes=9-0\r\n${end}`, 200],
  ['lone line feeds', `GET /dev1/x HTTP/1.1\nConnection: close\n\n`, 400],
  ['NUL in a header', `GET / HTTP/1.1\r\nX: a\0b\r\n${end}`, 400],
  ['space before a colon', `PUT /dev1/x HTTP/1.1\r\nContent-Length : 1\r\n${end}a`, 400],
  ['folded header', `GET / HTTP/1.1\r\nX: a\r\n b\r\n${end}`, 400],
  [
    'chunked twice',
    `PUT /dev1/x HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n${end}0\r\n\r\n`,
    400,
  ],
  [
    'compressed chunks',
    `PUT /dev1/x HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n${end}0\r\n\r\n`,
    400,
  ],
  [
    'compressed piece',
    `PUT /dev1/x HTTP/1.1\r\nContent-Range: bytes 0-0/1\r\n` +
      `Transfer-Encoding: gzip, chunked\r\n${end}1\r\na\r\n0\r\n\r\n`,
    400,
  ],
  [
    'hidden encoding',
    `PUT /dev1/x HTTP/1.1\r\nTransfer-Encoding: xchunked\r\nContent-Length: 1\r\n${end}a`,
    400,
  ],
  ['plus in a length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: +1\r\n${end}a`, 400],
  ['hex length', `PUT /dev1/x HTTP/1.1\r\nContent-Length: 0x1\r\n${end}a`, 400],
  ['many headers', `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(10_000)}${end}`, 431],
  ['HTTP/0.9', 'GET /dev1/x\r\n\r\n', 404],
  ['two hosts', `GET /dev1/f HTTP/1.1\r\nHost: a\r\nhost: b\r\n${end}`, 400],
  ['HTTP/2.0', `GET /dev1/f HTTP/2.0\r\n${end}`, 400],
  ['HTTP/3.0', `GET / HTTP/3.0\r\n${end}`, 400],
  ['lower-case method', `get /dev1/x HTTP/1.1\r\n${end}`, 400],
  ['backslashes', `GET /dev1/..\\..\\etc\\passwd HTTP/1.1\r\n${end}`, 403],
  ['absolute form without a path', `GET http://evil HTTP/1.1\r\n${end}`, 400],
  ['another scheme', `GET file:///etc/passwd HTTP/1.1\r\n${end}`, 400],
  ['dot segments', `PUT /dev1/./x HTTP/1.1\r\nContent-Length: 1\r\n${end}a`, 403],
  ['digest file', `GET /dev1/.omgfs-digests HTTP/1.1\r\n${end}`, 403],
  ['report below a file', `GET /dev1/f/.omgfs/scrub HTTP/1.1\r\n${end}`, 403],
  ['escaped report', `DELETE /dev1/%2eomgfs/scrub HTTP/1.1\r\n${end}`, 403],
  [
    'digest of a wrong length',
    `PUT /dev1/x HTTP/1.1\r\nRepr-Digest: sha-256=:YQ==:\r\nContent-Length: 1\r\n${end}a`,
    400,
  ],
  ['fid of zero', `GET /fid/0 HTTP/1.1\r\n${end}`, 404],
  ['fid beyond numbers', `GET /fid/9999999999999999 HTTP/1.1\r\n${end}`, 404],
  ['nothing at all', '\r\n\r\n\r\n', 0],
];

test.each(rows)('%s', async (_name, bytes, status) => {
  const docroot = await createDocroot(1);
  await writeFile(join(docroot, 'private'), 'private');
  const { url, port } = await startNode({ docroot });
  await put(`${url}/dev1/f`, 'content');
  const wire = new Wire(port).send(bytes);
  if (status === 0) wire.socket.end();
  const all = await wire.untilClosed();
  expect([all.slice(0, 300), wire.status]).toEqual([expect.anything(), status]);
  if (status !== 0) expect(all).toMatch(/^Server: omgfs\r$/im);
  if (status >= 400) expect(all).toMatch(/^omgfs-error: [A-Z_]+\r$/im);
  expect((await ask(`${url}/dev1/f`)).text).toBe('content');
  expect(await filesOf(docroot, 1)).toEqual(['f']);
});

test('pipelined requests are answered in order, one at a time', async () => {
  const { url, port } = await startNode();
  await put(`${url}/dev1/big`, Buffer.alloc(1_000_000, 'b'));
  const wire = new Wire(port).send(
    [
      'GET /dev1/big HTTP/1.1\r\n\r\n',
      'PUT /dev1/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc',
      'GET /dev1/a HTTP/1.1\r\n\r\n',
      'GET /dev1/none HTTP/1.1\r\n\r\n',
      'DELETE /dev1/a HTTP/1.1\r\n\r\n',
      `GET /dev1/a HTTP/1.1\r\n${end}`,
    ].join(''),
  );
  const all = await wire.untilClosed();
  const statuses = [...all.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));
  expect(statuses).toEqual([200, 200, 200, 404, 204, 404]);
});

test('a flood of pipelined requests is served one by one and opens no flood of files', async () => {
  const { url, docroot, port } = await startNode();
  await put(`${url}/dev1/f`, 'content');
  const wire = new Wire(port).send('GET /dev1/f HTTP/1.1\r\n\r\n'.repeat(5000));
  let openMost = 0;
  await until('all are answered, or the connection is closed', () => {
    openMost = Math.max(openMost, openFilesBelow(docroot));
    return wire.socket.closed || wire.received.split('\r\n\r\ncontent').length === 5001;
  });
  expect(openMost).toBeLessThan(5);
  expect((await ask(`${url}/dev1/f`)).text).toBe('content');
});

test('a flood of pipelined requests that node:http has read ends the connection', async () => {
  const { url, docroot, port } = await startNode();
  await put(`${url}/dev1/f`, 'content');
  const wire = new Wire(port).send('GET /dev1/f HTTP/1.1\r\nX_y: 1\r\n\r\n'.repeat(5000));
  await wire.untilClosed();
  expect(openFilesBelow(docroot)).toBeLessThan(5);
  expect((await ask(`${url}/dev1/f`)).text).toBe('content');
});

test('garbage behind a request does not end up in its answer', async () => {
  const { url, port } = await startNode();
  const bytes = Buffer.alloc(5_000_000, 'b');
  await put(`${url}/dev1/big`, bytes);
  const wire = new Wire(port).send('GET /dev1/big HTTP/1.1\r\n\r\n\x00\x01garbage\r\n\r\n');
  const all = await wire.untilClosed();
  const body = all.indexOf('\r\n\r\n') + 4;
  expect(all.slice(body, body + bytes.length) === bytes.toString()).toBe(true);
  expect(all.slice(body + bytes.length)).toMatch(/^(?:HTTP\/1\.1 400 |$)/);
});

test('connections above the limit are closed and the others served', async () => {
  const { url, port } = await startNode({ connectionsMax: 5 });
  const wires = Array.from({ length: 5 }, () => new Wire(port).send('GET / HTTP/1.1\r\n\r\n'));
  await until('all five are served', () => wires.every(({ status }) => status === 200));
  const sixth = await askRaw(port, `GET / HTTP/1.1\r\n${end}`);
  expect(sixth.all).toBe('');
  for (const { socket } of wires) socket.destroy();
  await until('there is room again', async () => (await ask(url)).status === 200);
});

test('closing lets a request in flight finish and refuses new connections', async () => {
  const { node, docroot, port } = await startNode();
  const wire = new Wire(port).send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 300000\r\n\r\nabc');
  await until('the upload has begun', () => openFilesBelow(docroot) === 1);
  const idle = new Wire(port).send('GET / HTTP/1.1\r\n\r\n');
  await until('an idle connection', () => idle.status === 200);
  const closing = node.close();
  await idle.untilClosed();
  expect((await askRaw(port, 'GET / HTTP/1.1\r\n\r\n')).all).toBe('');
  wire.send(Buffer.alloc(299_997));
  expect(await wire.untilClosed()).toContain('HTTP/1.1 200 OK');
  await closing;
});

test('closing does not wait for ever', async () => {
  const { node, docroot, port } = await startNode({ closeGraceMs: 300 });
  const wire = new Wire(port).send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 300000\r\n\r\nabc');
  await until('the upload has begun', () => openFilesBelow(docroot) === 1);
  await node.close();
  expect(await wire.untilClosed()).toBe('');
  await until('nothing is left', async () => (await filesOf(docroot, 1)).length === 0);
});
