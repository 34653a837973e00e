/** Goal: a full disk is said with 507 and leaves nothing, and what is on it stays usable. Method:
 *  small file systems in memory, and the reserve. */
import { readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, createDocroot, filesOf, put, putSmallDisk, startNode, Wire } from './helpers.ts';

/** A reserve that leaves about `bytes` of the file system below the docroot to uploads. */
async function reserveBut(docroot: string, mib: number): Promise<number> {
  const { bavail, bsize } = await statfs(docroot);
  return Math.floor((bavail * bsize) / 1024 / 1024) - mib;
}

test('the reserve is checked against the announced length, before the body', async () => {
  const docroot = await createDocroot(1);
  const freeReserveMb = await reserveBut(docroot, 1000);
  const { url, port } = await startNode({ docroot, freeReserveMb });
  expect((await put(`${url}/dev1/small`, 'x')).status).toBe(200);
  const huge = `PUT /dev1/huge HTTP/1.1\r\nContent-Length: ${5000 * 1024 * 1024}\r\n\r\n`;
  const wire = new Wire(port).send(huge);
  expect(await wire.untilClosed()).toMatch(/^HTTP\/1\.1 507 [\s\S]*reserve/);
  expect(await filesOf(docroot, 1)).toEqual(['small']);
});

test('uploads in flight count, and give back what they did not use', async () => {
  const docroot = await createDocroot(1);
  await putSmallDisk(join(docroot, 'dev1'), 10);
  const { url, port } = await startNode({ docroot, freeReserveMb: 1 });
  const large = 6 * 1024 * 1024;
  const begin = () => {
    return new Wire(port).send(`PUT /dev1/large HTTP/1.1\r\nContent-Length: ${large}\r\n\r\nabc`);
  };
  const first = begin();
  const temps = () => readdir(join(docroot, 'dev1/.tmp'));
  await until('the first has begun', async () => (await temps()).length === 1);
  expect(await begin().untilClosed()).toMatch(/^HTTP\/1\.1 507 /);
  first.socket.destroy();
  const stored = async () => (await put(`${url}/dev1/large`, Buffer.alloc(large))).status === 200;
  await until('there is room again', stored);
});

test('below the reserve: reads, deletions and the write test of trackers, no uploads', async () => {
  const docroot = await createDocroot(1);
  await writeFile(join(docroot, 'dev1', 'old'), 'still here');
  const { url } = await startNode({ docroot, freeReserveMb: 10 ** 11 });
  expect((await put(`${url}/dev1/f`, 'x')).status).toBe(507);
  const chunked = { method: 'PUT', body: Readable.from([Buffer.from('x')]) };
  expect((await ask(`${url}/dev1/f`, chunked)).status).toBe(507);
  // A tracker deletes only from devices that pass its write test.
  expect((await put(`${url}/dev1/test-write/test-write-7`, 'time=1')).status).toBe(200);
  expect((await put(`${url}/dev1/test-write/large`, Buffer.alloc(10_000))).status).toBe(507);
  expect((await ask(`${url}/dev1/old`)).text).toBe('still here');
  expect((await ask(`${url}/dev1/old`, { method: 'DELETE' })).status).toBe(204);
});

test('a disk that fills up in the middle of an upload: 507 and nothing left', async () => {
  const docroot = await createDocroot(1);
  await putSmallDisk(join(docroot, 'dev1'), 2);
  const { url } = await startNode({ docroot });
  await put(`${url}/dev1/old`, 'old');
  const pieces = () => Readable.from(Array.from({ length: 80 }, () => Buffer.alloc(65_536, 'a')));
  const chunked = await ask(`${url}/dev1/f`, { method: 'PUT', body: pieces() });
  expect(chunked.status).toBe(507);
  // Filled by somebody else behind the back of the node, so that the system says ENOSPC.
  const filler = join(docroot, 'dev1', 'filler');
  await writeFile(filler, Buffer.alloc(4_000_000)).catch(() => {});
  for (const bytes of [100_000, 1_000_000]) {
    expect((await put(url + fidPath(1, bytes), Buffer.alloc(bytes, 'b'))).status).toBe(507);
  }
  expect((await put(`${url}/dev1/old`, Buffer.alloc(200_000))).status).toBe(507);
  expect((await ask(`${url}/dev1/old`)).text).toBe('old');
  expect(await filesOf(docroot, 1)).toEqual(['filler', 'old']);
  expect((await ask(`${url}/dev1/filler`, { method: 'DELETE' })).status).toBe(204);
  expect((await put(url + fidPath(1, 5), Buffer.alloc(100_000))).status).toBe(200);
});

test('a disk that is full when it is first seen can be read and deleted from', async () => {
  const docroot = await createDocroot(1);
  const device = join(docroot, 'dev1');
  await putSmallDisk(device, 1);
  await writeFile(join(device, 'old'), 'old');
  await writeFile(join(device, 'filler'), Buffer.alloc(2_000_000)).catch(() => {});
  const { url } = await startNode({ docroot });
  const { status, text } = await ask(`${url}/dev1/usage`);
  expect(status).toBe(200);
  expect(text).toMatch(/^use: 100%$/m);
  await expect(readFile(join(device, 'usage'))).rejects.toThrow(/ENOENT/);
  expect((await ask(`${url}/dev1/old`)).text).toBe('old');
  const refused = await put(`${url}/dev1/f`, 'x');
  expect(refused.status).toBe(503);
  expect(refused.text).toContain('identity file');
  expect((await ask(`${url}/dev1/filler`, { method: 'DELETE' })).status).toBe(204);
  const stored = async () => (await put(`${url}/dev1/f`, 'x')).status === 200;
  await until('it is taken', stored);
});
