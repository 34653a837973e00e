/** Goal: a file that is read over and over is always the one under its name, and no descriptor
 *  stays. Method: real files of a device, changed in each way there is while they are kept open. */
import { lstatSync, openSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { Device } from '../../src/device/device.ts';
import { KeptFiles } from '../../src/device/io/kept-files.ts';
import { NodeMemory } from '../../src/device/node-memory.ts';
import { ask, createDocroot, openFilesBelow, put, quiet, startNode } from '../helpers.ts';

const body = 'what is in it';
/** More files than a process of a test ever opens. */
const neverOpened = 1_000_000;

/** A device with a file, which `keep` reads until it is kept open. */
async function createDevice({ free = 10 }: { free?: number } = {}) {
  const docroot = await createDocroot(1);
  const device = new Device(1, {
    ...{ docroot, tempPrefix: 'test-', log: quiet, memory: await NodeMemory.load(docroot) },
    ...{ sync: 'never', laneWidth: 4, fileThreads: { free: 0 }, reserveBytes: 0 },
    keptFiles: { free },
  });
  onTestFinished(() => device.close());
  await device.look();
  await mkdir(join(docroot, 'dev1/a'));
  const pathOf = (name: string) => join(device.root, name);
  const read = (name: string) => {
    const file = device.hotFiles.find(name);
    const buffer = Buffer.alloc(100);
    if (file === undefined || !device.hotFiles.read(pathOf(name), file, { buffer, at: 0 })) return;
    return buffer.toString('utf8', 0, file.size);
  };
  const open = () => openFilesBelow(docroot);
  const keep = (...names: string[]) =>
    until('they are kept open', () => {
      for (const name of names) {
        device.hotFiles.add(name, lstatSync(pathOf(name)), []);
        expect(read(name)).toBe(body);
      }
      return open() === names.length;
    });
  await writeFile(pathOf('a/f'), body);
  return { device, pathOf, read, open, keep };
}

const changes: Record<string, (path: string) => void> = {
  replaced: (path) => {
    writeFileSync(`${path}.new`, body);
    renameSync(`${path}.new`, path);
  },
  deleted: (path) => rmSync(path),
  'moved away': (path) => renameSync(path, `${path}.old`),
  'cut in place': (path) => truncateSync(path, 1),
};

test.each(Object.entries(changes))('a kept file that is %s is not read', async (_, change) => {
  const { pathOf, read, open, keep } = await createDevice();
  await keep('a/f');
  change(pathOf('a/f'));
  expect([open(), read('a/f')]).toEqual([1, undefined]);
  await until('it is closed', () => open() === 0);
});

test('what is written into a kept file is seen', async () => {
  const { pathOf, read, keep } = await createDevice();
  await keep('a/f');
  writeFileSync(pathOf('a/f'), body.toUpperCase());
  expect(read('a/f') ?? '').not.toBe(body);
});

test('files below a directory that moves are closed', async () => {
  const { device, pathOf, read, open, keep } = await createDevice();
  await keep('a/f');
  renameSync(pathOf('a'), pathOf('b'));
  device.forgetPlaces();
  expect(open()).toBe(0);
  expect(read('a/f')).toBeUndefined();
});

test('another disk in the slot, and the end of a device, close what is open', async () => {
  const { device, pathOf, open, keep } = await createDevice();
  await keep('a/f');
  await rm(pathOf('.omgfs-device.json'));
  await device.look();
  expect([device.state, open()]).toEqual(['refused', 0]);
  const other = await createDevice();
  await other.keep('a/f');
  await other.device.close();
  expect(other.open()).toBe(0);
});

test('only so many files are kept open', async () => {
  const { device, pathOf, read, open, keep } = await createDevice({ free: 2 });
  for (const name of ['a/g', 'a/h']) await writeFile(pathOf(name), body);
  await keep('a/f', 'a/g');
  device.hotFiles.add('a/h', lstatSync(pathOf('a/h')), []);
  for (let round = 0; round < 3; round += 1) expect(read('a/h')).toBe(body);
  expect(open()).toBeLessThanOrEqual(2);
  await until('all are closed', () => open() === 0);
});

test('the last close of a deleted file is the business of its disk', async () => {
  const docroot = await createDocroot(1);
  const paths = ['deleted', 'there'].map((name) => join(docroot, name));
  const calls: (() => Promise<unknown>)[] = [];
  const files = new KeptFiles({ free: 2 }, (call) => {
    calls.push(call);
    return call();
  });
  for (const path of paths) {
    writeFileSync(path, body);
    files.keep(openSync(path, 'r'), lstatSync(path).ctimeMs);
  }
  rmSync(join(docroot, 'deleted'));
  files.closeAll();
  expect(calls).toHaveLength(1);
  await until('both are closed', () => openFilesBelow(docroot) === 0);
});

test('a file system that has failed does not keep the others from being closed', async () => {
  const docroot = await createDocroot(1);
  const path = join(docroot, 'there');
  writeFileSync(path, body);
  const share = { free: 2 };
  const files = new KeptFiles(share, (call) => call());
  // Asked what is open, XFS that has shut down says EIO; a number that is not open says EBADF.
  files.keep(neverOpened, 0);
  files.keep(openSync(path, 'r'), lstatSync(path).ctimeMs);
  files.closeAll();
  expect(openFilesBelow(docroot)).toBe(0);
  expect(share.free).toBe(2);
});

test('what is removed by WebDAV or moved with its folder is gone for the next reader', async () => {
  const { url, docroot } = await startNode({ dav: 'full' });
  const status = async (path: string) => (await ask(url + path)).status;
  const store = async () => {
    expect((await ask(`${url}/dev1/a`, { method: 'MKCOL' })).status).toBe(201);
    expect((await put(`${url}/dev1/a/f`, body)).status).toBe(200);
  };
  await store();
  const kept = () =>
    until('it is kept', async () => {
      await ask(`${url}/dev1/a/f`);
      return openFilesBelow(join(docroot, 'dev1/a/f')) === 1;
    });
  await kept();
  const headers = { destination: '/dev1/b' };
  expect((await ask(`${url}/dev1/a`, { method: 'MOVE', headers })).status).toBe(201);
  expect([await status('/dev1/a/f'), await status('/dev1/b/f')]).toEqual([404, 200]);
  await store();
  await kept();
  expect((await ask(`${url}/dev1/a/f`, { method: 'DELETE' })).status).toBe(204);
  expect(await status('/dev1/a/f')).toBe(404);
  await until('all are closed', () => openFilesBelow(docroot) === 0);
});
