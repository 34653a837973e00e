/** Goal: what WebDAV moves and copies keeps its digests, and what it removes is gone, also where it
 *  was read a short while ago. Method: real nodes, with files read often enough to be hot. */
import { createHash } from 'node:crypto';
import { link, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { rotFile } from '../../../test/helpers/rot.ts';
import { until } from '../../../test/helpers/wait.ts';
import { DeviceFiles } from '../src/dav/device-files.ts';
import { ask, put, startNode, Wire } from './helpers.ts';

const md5 = (body: string | Buffer) => createHash('md5').update(body).digest('base64');
const sha = (body: string) => createHash('sha256').update(body).digest('base64');

async function startDav() {
  const started = await startNode({ dav: 'full' });
  const dav = (method: string, path: string, to?: string, more: Record<string, string> = {}) =>
    ask(started.url + path, { method, headers: { ...(to ? { destination: to } : {}), ...more } });
  return { ...started, dav };
}

/** Stores a file with a digest. */
async function store(url: string, body: string): Promise<void> {
  expect((await put(url, body, { 'content-digest': `sha-256=:${sha(body)}:` })).status).toBe(201);
}

/** What the node says the digest of the whole file is, without reading it for that. */
async function digestOf(url: string): Promise<string | undefined> {
  const headers = { 'want-repr-digest': 'sha-256=1' };
  return (await ask(url, { method: 'HEAD', headers })).headers['repr-digest'];
}

test('digests go with a file that is moved or copied, also to another device', async () => {
  const { url, dav } = await startDav();
  expect((await dav('MKCOL', '/dev1/a')).status).toBe(201);
  await store(`${url}/dev1/a/f`, 'body');
  expect((await dav('COPY', '/dev1/a/f', '/dev2/copy')).status).toBe(201);
  expect((await dav('COPY', '/dev1/a', '/dev1/tree')).status).toBe(201);
  expect((await dav('MOVE', '/dev1/a/f', '/dev1/moved')).status).toBe(201);
  expect((await dav('MOVE', '/dev1/tree', '/dev1/other')).status).toBe(201);
  for (const path of ['/dev2/copy', '/dev1/moved', '/dev1/other/f']) {
    expect(await digestOf(url + path)).toBe(`sha-256=:${sha('body')}:`);
    expect((await ask(url + path)).text).toBe('body');
  }
});

test('a file that rots is not copied as if it were good', async () => {
  const { url, dav, docroot } = await startDav();
  await store(`${url}/dev1/f`, 'body');
  rotFile(join(docroot, 'dev1/f'));
  expect((await dav('COPY', '/dev1/f', '/dev1/copy')).status).toBe(400);
  expect((await ask(`${url}/dev1/copy`)).status).toBe(404);
});

test('a collection goes although digests of its files were kept in it', async () => {
  const { url, dav, docroot } = await startDav();
  await dav('MKCOL', '/dev1/a');
  await dav('MKCOL', '/dev1/a/b');
  for (const name of ['a/f', 'a/b/f']) {
    await put(`${url}/dev1/${name}`, 'x', { 'content-md5': md5('x') });
  }
  expect((await dav('DELETE', '/dev1/a')).status).toBe(204);
  expect(await readdir(join(docroot, 'dev1'))).not.toContain('a');
  await dav('MKCOL', '/dev1/a');
  await put(`${url}/dev1/a/f`, 'y', { 'content-md5': md5('y') });
  expect((await ask(`${url}/dev1/a/f`)).text).toBe('y');
});

test('a collection replaces another; a copy that fails leaves what was there', async () => {
  const { url, dav, docroot } = await startDav();
  for (const name of ['new', 'old', 'mixed']) await dav('MKCOL', `/dev1/${name}`);
  await store(`${url}/dev1/new/f`, 'new');
  await put(`${url}/dev1/old/f`, 'old');
  await put(`${url}/dev1/old/g`, 'old');
  await store(`${url}/dev1/mixed/f`, 'mixed');
  // A file that cannot be copied, because it rotted.
  rotFile(join(docroot, 'dev1/mixed/f'));
  expect((await dav('COPY', '/dev1/mixed', '/dev1/old')).status).toBe(400);
  expect((await ask(`${url}/dev1/old/g`)).text).toBe('old');
  expect((await dav('COPY', '/dev1/new', '/dev1/old')).status).toBe(204);
  expect((await ask(`${url}/dev1/old/f`)).text).toBe('new');
  expect((await ask(`${url}/dev1/old/g`)).status).toBe(404);
  await put(`${url}/dev1/old/g`, 'old');
  expect((await dav('MOVE', '/dev1/new', '/dev1/old')).status).toBe(204);
  expect((await ask(`${url}/dev1/old/f`)).text).toBe('new');
  expect((await ask(`${url}/dev1/old/g`)).status).toBe(404);
  const left = (await readdir(join(docroot, 'dev1'))).filter((name) => !name.startsWith('.'));
  expect(left.filter((name) => name !== 'usage').sort()).toEqual(['mixed', 'old']);
});

test('files in memory are not served after WebDAV moved, replaced or removed them', async () => {
  const { url, dav } = await startDav();
  for (const name of ['one', 'two', 'gone']) await put(`${url}/dev1/${name}`, name);
  for (let read = 0; read < 3; read += 1) {
    for (const name of ['one', 'two', 'gone']) {
      expect((await ask(`${url}/dev1/${name}`)).text).toBe(name);
    }
  }
  expect((await dav('MOVE', '/dev1/one', '/dev1/two')).status).toBe(204);
  expect((await dav('DELETE', '/dev1/gone')).status).toBe(204);
  expect((await ask(`${url}/dev1/two`)).text).toBe('one');
  expect((await ask(`${url}/dev1/one`)).status).toBe(404);
  expect((await ask(`${url}/dev1/gone`)).status).toBe(404);
  await put(`${url}/dev1/gone`, 'back');
  expect((await dav('COPY', '/dev1/gone', '/dev1/two')).status).toBe(204);
  expect((await ask(`${url}/dev1/two`)).text).toBe('back');
});

test('a MOVE that was cut off between its two steps is completed when it is repeated', async () => {
  const { url, dav, docroot } = await startDav();
  await put(`${url}/dev1/from`, 'moved');
  // A file that moves has two names for a moment, in which a node may die.
  await link(join(docroot, 'dev1/from'), join(docroot, 'dev1/to'));
  expect((await dav('MOVE', '/dev1/from', '/dev1/to')).status).toBe(204);
  expect((await ask(`${url}/dev1/from`)).status).toBe(404);
  expect((await ask(`${url}/dev1/to`)).text).toBe('moved');
});

test('a copy may last longer than a connection may be idle', async () => {
  const stallMs = 200;
  const { url, docroot } = await startNode({ dav: 'full', stallMs });
  await writeFile(join(docroot, 'dev1', 'f'), 'body');
  const real = DeviceFiles.prototype.copyFile;
  onTestFinished(() => {
    DeviceFiles.prototype.copyFile = real;
  });
  const began = performance.now();
  // Node looks at idle connections now and then, so one stall is not enough.
  const isOver = () => performance.now() - began > 4 * stallMs;
  DeviceFiles.prototype.copyFile = async function copyFile(...request) {
    await until('an idle connection to be closed', isOver);
    return real.apply(this, request);
  };
  const headers = { destination: '/dev1/g' };
  expect((await ask(`${url}/dev1/f`, { method: 'COPY', headers })).status).toBe(201);
  expect((await readdir(join(docroot, 'dev1'))).includes('g')).toBe(true);
  // One whose body does not come is idle.
  const wire = new Wire(Number(new URL(url).port));
  wire.send(
    'COPY /dev1/f HTTP/1.1\r\nHost: x\r\nDestination: /dev1/h\r\nContent-Length: 9\r\n\r\n',
  );
  expect(await wire.untilClosed()).not.toMatch(/ 20\d /);
});

test('a PUT or DELETE with conditions leaves what others wrote', async () => {
  const { url } = await startDav();
  const file = `${url}/dev1/f`;
  const write = async (headers: Record<string, string>, method = 'PUT') => {
    return (await ask(file, { method, headers, ...(method === 'PUT' && { body: 'new' }) })).status;
  };
  expect(await write({ 'if-match': '*' })).toBe(412);
  expect(await write({ 'if-none-match': '*' })).toBe(200);
  expect(await write({ 'if-none-match': '*' })).toBe(412);
  expect(await write({ 'if-match': '"other"' })).toBe(412);
  expect(await write({ 'if-unmodified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' })).toBe(412);
  expect(await write({ 'if-match': '"other"' }, 'DELETE')).toBe(412);
  const { headers } = await ask(file, { method: 'HEAD' });
  expect(await write({ 'if-match': headers.etag ?? '' })).toBe(200);
  expect(await write({ 'if-match': '*' }, 'DELETE')).toBe(204);
  // Of several at once one makes the file.
  const racers = Array.from({ length: 8 }, () => write({ 'if-none-match': '*' }));
  expect((await Promise.all(racers)).sort()).toEqual([200, ...Array(7).fill(412)]);
});

test('I3: of two that want a free name one gets it, and the other keeps what it has', async () => {
  const { url, dav } = await startDav();
  const no = { overwrite: 'F' };
  for (const method of ['MOVE', 'COPY']) {
    for (let round = 0; round < 4; round += 1) {
      const sources = [0, 1, 2, 3].map((one) => `/dev1/${method}-${round}-${one}`);
      for (const path of sources) await put(url + path, path);
      const to = `/dev1/${method}-${round}`;
      const answers = await Promise.all(sources.map((path) => dav(method, path, to, no)));
      const winners = sources.filter((_, one) => answers[one]?.status === 201);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 412, 412, 412]);
      expect([(await ask(url + to)).text]).toEqual(winners);
      for (const path of sources) {
        const isGone = method === 'MOVE' && winners.includes(path);
        expect((await ask(url + path)).status).toBe(isGone ? 404 : 200);
      }
    }
  }
  for (const name of ['one', 'two']) {
    await dav('MKCOL', `/dev1/${name}`);
    await put(`${url}/dev1/${name}/f`, name);
  }
  const moves = ['one', 'two'].map((name) => dav('MOVE', `/dev1/${name}`, '/dev1/free', no));
  expect((await Promise.all(moves)).map(({ status }) => status).sort()).toEqual([201, 412]);
});
