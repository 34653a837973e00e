/** Goal: what is answered with success is stored, and nothing else is (I3). Method: uploads whole,
 *  cut, wrong and concurrent, against a node on a temporary directory. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, askRaw, filesOf, openFilesBelow, put, startNode, Wire } from './helpers.ts';

const md5 = (body: string | Buffer) => createHash('md5').update(body).digest('base64');
const sha256 = (body: string | Buffer) => createHash('sha256').update(body).digest('base64');

test('PUT makes directories, answers 200, and 201 when a digest was checked', async () => {
  const { url, docroot } = await startNode();
  const plain = await put(url + fidPath(1, 5), 'hello');
  expect([plain.status, plain.headers['content-length']]).toEqual([200, '0']);
  const checked = await put(url + fidPath(1, 6), 'hello', { 'content-md5': md5('hello') });
  expect(checked.status).toBe(201);
  const large = randomBytes(1_000_000);
  const digest = `sha-256=:${sha256(large)}:`;
  expect((await put(url + fidPath(1, 7), large, { 'content-digest': digest })).status).toBe(201);
  expect((await readFile(join(docroot, fidPath(1, 7)))).equals(large)).toBe(true);
  const mode = (await stat(join(docroot, fidPath(1, 5)))).mode & 0o777;
  expect(mode & 0o600).toBe(0o600);
});

test('a chunked body and a body of unknown type are stored as they are', async () => {
  const { url, port } = await startNode();
  const pieces = Array.from({ length: 50 }, () => randomBytes(10_000));
  const sent = await ask(`${url}/dev1/chunked`, {
    method: 'PUT',
    body: Readable.from(pieces),
    headers: { 'content-type': 'no type at all' },
  });
  expect(sent.status).toBe(200);
  expect((await ask(`${url}/dev1/chunked`)).body.equals(Buffer.concat(pieces))).toBe(true);
  const raw = 'PUT /dev1/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n';
  expect((await askRaw(port, `${raw}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)).status).toBe(200);
  expect((await ask(`${url}/dev1/c`)).text).toBe('abcde');
});

test('a wrong digest is refused with 400 and leaves nothing, small or large', async () => {
  const { url, docroot } = await startNode();
  for (const bytes of [1, 1_000_000]) {
    const body = Buffer.alloc(bytes, 'a');
    for (const headers of [
      { 'content-md5': md5('other') },
      { 'content-digest': `sha-256=:${sha256('other')}:` },
      { 'content-md5': 'malformed' },
    ]) {
      expect((await put(`${url}/dev1/test-write/test-md5`, body, headers)).status).toBe(400);
    }
  }
  expect(await filesOf(docroot, 1)).toEqual([]);
});

test('I3: a wrong digest keeps the file that was there', async () => {
  const { url } = await startNode();
  await put(`${url}/dev1/f`, 'before');
  expect((await put(`${url}/dev1/f`, 'after', { 'content-md5': md5('x') })).status).toBe(400);
  expect((await ask(`${url}/dev1/f`)).text).toBe('before');
});

test('I3: an upload that is cut leaves nothing, and no descriptor', async () => {
  const { url, docroot, port } = await startNode();
  await put(`${url}/dev1/f`, 'before');
  const heads = [
    'PUT /dev1/f HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc',
    `PUT /dev1/f HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(500_000)}`,
    `PUT /dev1/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n`,
    'PUT /dev1/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk',
  ];
  for (const head of [...heads, ...heads, ...heads]) {
    const wire = new Wire(port).send(head);
    await until('the node has seen it', () => wire.socket.bytesWritten === head.length);
    wire.socket.end();
    await wire.untilClosed();
    expect(wire.status).not.toBe(200);
  }
  await until('nothing is left', async () => {
    return openFilesBelow(docroot) === 0 && (await filesOf(docroot, 1)).join() === 'f';
  });
  expect((await ask(`${url}/dev1/f`)).text).toBe('before');
});

test('I3: an upload that stalls is given up and leaves nothing', async () => {
  const { docroot, port } = await startNode({ stallMs: 300 });
  const large = new Wire(port).send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc');
  const small = new Wire(port).send('PUT /dev1/g HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc');
  await Promise.all([large.untilClosed(), small.untilClosed()]);
  await until('nothing is left', async () => (await filesOf(docroot, 1)).length === 0);
});

test('I3: readers of a file that is overwritten never see half of one', async () => {
  const { url } = await startNode();
  const bodies = ['a', 'b', 'c', 'd'].map((letter, index) =>
    Buffer.alloc(index % 2 === 0 ? 400_000 : 90_000, letter),
  );
  await put(`${url}/dev1/f`, bodies[0]!);
  let writing = true;
  const write = async (body: Buffer) => {
    for (let round = 0; round < 25; round += 1) {
      expect((await put(`${url}/dev1/f`, body)).status).toBe(200);
    }
  };
  let reads = 0;
  const read = async () => {
    while (writing) {
      const { status, body } = await ask(`${url}/dev1/f`);
      const whole = bodies.some((one) => one.equals(body));
      if (status !== 200 || !whole) throw new Error(`saw ${status} with ${body.length} bytes`);
      reads += 1;
    }
  };
  const readers = Promise.all([read(), read(), read()]);
  await Promise.all(bodies.map(write)).finally(() => {
    writing = false;
  });
  await readers;
  expect(reads).toBeGreaterThan(10);
});

test('many new directories at once: every file is there', async () => {
  const { url } = await startNode();
  const paths = Array.from({ length: 200 }, (_, index) => fidPath(1, index * 997));
  const statuses = await Promise.all(paths.map((path) => put(url + path, path)));
  expect(statuses.every(({ status }) => status === 200)).toBe(true);
  for (const path of paths) expect((await ask(url + path)).text).toBe(path);
});

test('directories that someone removes behind the back of the node are made again', async () => {
  const { url, docroot } = await startNode();
  await put(url + fidPath(1, 5), 'one');
  await rm(join(docroot, 'dev1', '0'), { recursive: true });
  await rm(join(docroot, 'dev1', '.tmp'), { recursive: true });
  expect((await put(url + fidPath(1, 6), 'two')).status).toBe(200);
  expect((await ask(url + fidPath(1, 6))).text).toBe('two');
  await rm(join(docroot, 'dev1', '.tmp'), { recursive: true });
  expect((await put(url + fidPath(1, 7), Buffer.alloc(500_000))).status).toBe(200);
  // Those above a directory that is new.
  await rm(join(docroot, 'dev1', '0'), { recursive: true });
  expect((await put(url + fidPath(1, 9_000), 'new')).status).toBe(200);
  await rm(join(docroot, 'dev1', '0'), { recursive: true });
  expect((await ask(`${url}/dev1/0/000/010/`, { method: 'MKCOL' })).status).toBe(201);
});

test('what cannot be a file is refused before the body is read', async () => {
  const { url, docroot } = await startNode();
  await mkdir(join(docroot, 'dev1', 'dir'));
  await writeFile(join(docroot, 'dev1', 'file'), 'x');
  const status = async (path: string) => (await put(url + path, 'x')).status;
  expect(await status('/dev9/a')).toBe(404);
  expect(await status('/other/a')).toBe(404);
  expect(await status('/dev1')).toBe(400);
  expect(await status('/dev1/a/')).toBe(400);
  expect(await status('/dev1/dir')).toBe(409);
  expect(await status('/dev1/file/below')).toBe(409);
  expect(await status('/dev1/usage')).toBe(403);
  expect(await status('/dev1/.tmp/x')).toBe(403);
  expect(await status('/dev1/.omgfs-device.json')).toBe(403);
  expect(await filesOf(docroot, 1)).toEqual(['file']);
});

test('Expect: 100-continue is answered only when the upload can succeed', async () => {
  const { port } = await startNode();
  const head = 'Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n';
  const good = new Wire(port).send(`PUT /dev1/f HTTP/1.1\r\n${head}`);
  await until('it may go on', () => good.received.startsWith('HTTP/1.1 100 Continue\r\n'));
  good.send('abc');
  expect(await good.untilClosed()).toContain('HTTP/1.1 200 OK');
  const bad = await askRaw(port, `PUT /dev9/f HTTP/1.1\r\n${head}`);
  expect(bad.status).toBe(404);
});

test('a refused upload gets its answer although most of the body is unread', async () => {
  const { url } = await startNode();
  const refused = await put(`${url}/dev9/f`, Buffer.alloc(3_000_000));
  expect(refused.status).toBe(404);
  expect(refused.headers.connection).toBe('close');
  expect(refused.text).toContain('dev9');
});

test('sync=batch: uploads at once share a sync, a single one has its own', async () => {
  const { url } = await startNode({ sync: 'batch' });
  expect((await put(url + fidPath(1, 5), 'alone')).status).toBe(200);
  const fids = Array.from({ length: 60 }, (_, index) => 100 + index);
  for (let round = 0; round < 3; round += 1) {
    const body = (fid: number) => `round ${round} of ${fid}`;
    const answers = await Promise.all(fids.map((fid) => put(url + fidPath(1, fid), body(fid))));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    for (const fid of fids) expect((await ask(url + fidPath(1, fid))).text).toBe(body(fid));
  }
});

test('without sync files are stored all the same', async () => {
  const { url } = await startNode({ sync: 'never' });
  expect((await put(url + fidPath(1, 5), 'hello')).status).toBe(200);
  expect((await ask(url + fidPath(1, 5))).text).toBe('hello');
});

test('DELETE: 204, 404, and 400 for what is no path', async () => {
  const { url, docroot } = await startNode();
  await put(url + fidPath(1, 5), 'x');
  const remove = async (path: string) => (await ask(url + path, { method: 'DELETE' })).status;
  expect(await remove(fidPath(1, 5))).toBe(204);
  expect(await remove(fidPath(1, 5))).toBe(404);
  expect(await remove('/dev9/x')).toBe(404);
  expect(await remove('/dev1/a%20b')).toBe(400);
  expect(await remove('/dev1')).toBe(400);
  expect(await remove('/dev1/0/')).toBe(400);
  expect(await remove('/dev1/0')).toBe(409);
  expect(await remove('/dev1/usage')).toBe(403);
  expect(await remove('/dev1/.omgfs-device.json')).toBe(403);
  expect((await stat(join(docroot, 'dev1/0/000/000'))).isDirectory()).toBe(true);
});

test('MKCOL: 201, 405, 404; other methods: 405 with what is offered', async () => {
  const { url, docroot } = await startNode();
  const make = async (path: string) => {
    const headers = { 'content-length': '0' };
    return (await ask(url + path, { method: 'MKCOL', headers })).status;
  };
  expect(await make('/dev1/test-write/')).toBe(201);
  expect(await make('/dev1/test-write/')).toBe(405);
  expect(await make('/dev1/a/b/c')).toBe(201);
  expect((await stat(join(docroot, 'dev1/a/b/c'))).isDirectory()).toBe(true);
  expect(await make('/dev9/a/')).toBe(404);
  expect(await make('/dev1/.x/')).toBe(403);
  for (const method of ['POST', 'OPTIONS', 'MOVE', 'PROPFIND', 'PATCH']) {
    const got = await ask(`${url}/dev1/f`, { method });
    expect([method, got.status]).toEqual([method, 405]);
    expect(got.headers.allow).toBe('GET, HEAD, PUT, DELETE, MKCOL');
  }
});
