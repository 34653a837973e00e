/** Goal: reading files over HTTP as the trackers and clients need it. Method: undici and curl-like
 *  raw sockets against a node on a temporary directory. */
import { randomBytes } from 'node:crypto';
import { mkdir, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, askRaw, openFilesBelow, put, startNode, Wire } from './helpers.ts';

test('a file comes back whole, small or large, and HEAD tells its length', async () => {
  const { url } = await startNode();
  for (const bytes of [0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_000]) {
    const body = randomBytes(bytes);
    const path = fidPath(1, 1000 + bytes);
    expect((await put(url + path, body)).status).toBe(200);
    const got = await ask(url + path);
    expect(got.status).toBe(200);
    expect(got.body.equals(body)).toBe(true);
    const head = await ask(url + path, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers['content-length']).toBe(String(bytes));
    expect(head.headers).toMatchObject({
      server: 'omgfs',
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
      etag: `"${1000 + bytes}-${bytes}"`,
    });
    expect(Date.parse(head.headers['last-modified'] ?? '')).toBeGreaterThan(0);
  }
});

test('the ETag of a fid is the same on every replica, whatever its file time', async () => {
  const { url, docroot } = await startNode();
  for (const devid of [1, 2]) await put(url + fidPath(devid, 7), 'same bytes');
  await utimes(join(docroot, fidPath(2, 7)), 1_000_000, 1_000_000);
  const [one, two] = await Promise.all([ask(url + fidPath(1, 7)), ask(url + fidPath(2, 7))]);
  expect(one.headers.etag).toBe(two.headers.etag);
  expect(two.headers['last-modified']).toBe('Mon, 12 Jan 1970 13:46:40 GMT');
});

test('single ranges of small and large files', async () => {
  const { url } = await startNode();
  for (const bytes of [1000, 1_000_000]) {
    const body = randomBytes(bytes);
    await put(`${url}/dev1/f`, body);
    for (const [range, start, end] of [
      ['bytes=0-9', 0, 9],
      ['bytes=10-', 10, bytes - 1],
      ['bytes=-10', bytes - 10, bytes - 1],
      ['bytes=999-99999999', 999, bytes - 1],
    ] as const) {
      const got = await ask(`${url}/dev1/f`, { headers: { range } });
      expect(got.status).toBe(206);
      expect(got.headers['content-range']).toBe(`bytes ${start}-${end}/${bytes}`);
      expect(got.body.equals(body.subarray(start, end + 1))).toBe(true);
    }
    const outside = await ask(`${url}/dev1/f`, { headers: { range: `bytes=${bytes}-` } });
    expect(outside.status).toBe(416);
    expect(outside.headers['content-range']).toBe(`bytes */${bytes}`);
  }
});

test('several ranges come as multipart, with an exact length', async () => {
  const { url } = await startNode();
  const body = randomBytes(1_000_000);
  await put(`${url}/dev1/f`, body);
  const wanted = [
    [0, 4],
    [300_000, 899_999],
    [999_999, 999_999],
  ] as const;
  const range = `bytes=${wanted.map(([start, end]) => `${start}-${end}`).join()}`;
  const got = await ask(`${url}/dev1/f`, { headers: { range } });
  expect(got.status).toBe(206);
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(
    got.headers['content-type'] ?? '',
  )?.[1];
  expect(got.headers['content-length']).toBe(String(got.body.length));
  const expected = wanted.map(([start, end]) => {
    const bytes = body.subarray(start, end + 1).toString('latin1');
    const head = `Content-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end}`;
    return `--${boundary}\r\n${head}/1000000\r\n\r\n${bytes}\r\n`;
  });
  expect(got.text === `${expected.join('')}--${boundary}--\r\n`).toBe(true);
});

test('conditions: 304, 412, and a range only of the same file', async () => {
  const { url } = await startNode();
  const path = `${url}${fidPath(1, 5)}`;
  await put(path, 'hello');
  const { headers } = await ask(path);
  const etag = headers.etag ?? '';
  const modified = headers['last-modified'] ?? '';
  const status = async (given: Record<string, string>) =>
    (await ask(path, { headers: given })).status;
  expect(await status({ 'if-none-match': etag })).toBe(304);
  expect(await status({ 'if-modified-since': modified })).toBe(304);
  expect(await status({ 'if-match': '"other"' })).toBe(412);
  expect(await status({ 'if-unmodified-since': 'Mon, 12 Jan 1970 13:46:40 GMT' })).toBe(412);
  expect(await status({ range: 'bytes=0-1', 'if-range': etag })).toBe(206);
  expect(await status({ range: 'bytes=0-1', 'if-range': modified })).toBe(206);
  expect(await status({ range: 'bytes=0-1', 'if-range': '"other"' })).toBe(200);
});

test('the same path on every node: /fid/N finds the file on whichever device has it', async () => {
  const { url } = await startNode();
  await put(url + fidPath(2, 12_345_678_901), 'here');
  const got = await ask(`${url}/fid/12345678901`);
  expect(got.text).toBe('here');
  expect(got.headers.etag).toBe('"12345678901-4"');
  expect((await ask(`${url}/fid/12345678901`, { method: 'HEAD' })).headers['content-length']).toBe(
    '4',
  );
  expect((await ask(`${url}/fid/6`)).status).toBe(404);
});

test('directories and the root answer 200 without a listing', async () => {
  const { url } = await startNode();
  await put(`${url}/dev1/a/secret`, 'x');
  for (const path of ['/', '/dev1', '/dev1/', '/dev1/a', '/dev1/a/']) {
    const got = await ask(url + path);
    expect([path, got.status]).toEqual([path, 200]);
    expect(got.text).not.toContain('secret');
    expect((await ask(url + path, { method: 'HEAD' })).status).toBe(200);
  }
});

test('symbolic links are not followed, neither to files nor over directories', async () => {
  const { url, docroot } = await startNode();
  await mkdir(join(docroot, 'outside'));
  await writeFile(join(docroot, 'outside', 'secret'), 'secret');
  await symlink(join(docroot, 'outside', 'secret'), join(docroot, 'dev1', 'link'));
  await symlink(join(docroot, 'outside'), join(docroot, 'dev1', 'dir'));
  expect((await ask(`${url}/dev1/link`)).status).toBe(403);
  expect((await ask(`${url}/dev1/dir/secret`)).status).toBe(403);
  expect((await ask(`${url}/dev1/dir/secret`, { method: 'DELETE' })).status).toBe(403);
  expect((await put(`${url}/dev1/dir/new`, 'x')).status).toBe(409);
  // Replacing the link itself is fine: rename does not follow it.
  expect((await put(`${url}/dev1/link`, 'mine')).status).toBe(200);
  expect((await ask(`${url}/dev1/link`)).text).toBe('mine');
});

test('HTTP/1.0 with and without keep-alive, as old trackers ask', async () => {
  const { url, port } = await startNode();
  await put(`${url}/dev1/f`, 'hello');
  const closed = await askRaw(port, 'GET /dev1/f HTTP/1.0\r\n\r\n');
  expect(closed.all).toMatch(/\r\n\r\nhello$/);
  const kept = new Wire(port);
  for (const count of [1, 2]) {
    kept.send('GET /dev1/f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    await until('the answer', () => kept.received.split('hello').length === count + 1);
  }
  expect(kept.received).toMatch(/connection: keep-alive/i);
});

test('no descriptor stays open when readers go away in the middle', async () => {
  const { url, docroot, port } = await startNode();
  await put(`${url}/dev1/big`, Buffer.alloc(20_000_000));
  await put(`${url}/dev1/small`, 'x');
  const before = openFilesBelow(docroot);
  for (let round = 0; round < 5; round += 1) {
    const wires = Array.from({ length: 20 }, (_, index) => {
      const range = index % 2 === 0 ? 'Range: bytes=0-9000000,9500000-19000000\r\n' : '';
      return new Wire(port).send(`GET /dev1/big HTTP/1.1\r\n${range}\r\n`);
    });
    for (const wire of wires) {
      await until('bytes arrive', () => wire.received.length > 1000);
      wire.socket.destroy();
    }
  }
  await ask(`${url}/dev1/small`);
  await until('all files are closed', () => openFilesBelow(docroot) === before);
});

test('a reader that stops reading is disconnected, and a stalled request too', async () => {
  const { docroot, port } = await startNode({ stallMs: 300 });
  await writeFile(join(docroot, 'dev1', 'big'), Buffer.alloc(50_000_000));
  const reader = new Wire(port);
  reader.socket.pause();
  reader.send('GET /dev1/big HTTP/1.1\r\n\r\n');
  await until('the file is open', () => openFilesBelow(docroot) === 1);
  await until('the file is closed', () => openFilesBelow(docroot) === 0);
  const silent = new Wire(port).send('GET /dev1/big HT');
  expect(await silent.untilClosed()).toMatch(/^$|^HTTP\/1\.1 408/);
});

test('a small file that is read again and again is always the one on the disk', async () => {
  const { url, docroot } = await startNode();
  const path = fidPath(1, 5);
  const file = join(docroot, path);
  const read = async () => (await ask(url + path)).text;
  await put(url + path, 'first');
  for (let round = 0; round < 3; round += 1) expect(await read()).toBe('first');
  // In place, replaced, cut and removed, all behind the back of the node.
  await writeFile(file, 'FIRST');
  expect(await read()).toBe('FIRST');
  await rm(file);
  await writeFile(file, 'another');
  expect(await read()).toBe('another');
  expect(await read()).toBe('another');
  await truncate(file, 2);
  expect(await read()).toBe('an');
  await put(url + path, 'second');
  expect(await read()).toBe('second');
  expect((await ask(url + path)).headers.etag).toBe('"5-6"');
  const range = await ask(url + path, { headers: { range: 'bytes=0-2' } });
  expect([range.status, range.text]).toEqual([206, 'sec']);
  await rm(file);
  expect((await ask(url + path)).status).toBe(404);
});
