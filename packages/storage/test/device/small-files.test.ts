/** Goal: what a device's file thread writes is as whole, durable and tidy as what the node writes
 *  itself, and nothing is lost with the thread. Method: the real thread on a real device, and
 *  threads whose system calls end or hold them up at a place of our choice. */
import { lstatSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OmgfsError } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { Device } from '../../src/device/device.ts';
import { slotBodyBytesMax } from '../../src/device/io/file-slots.ts';
import { FileThread, fileWorker, NotDone } from '../../src/device/io/file-thread.ts';
import { SmallFiles } from '../../src/device/io/small-files.ts';
import { NodeMemory } from '../../src/device/node-memory.ts';
import { storeNow, storeWhole } from '../../src/device/writer.ts';
import type { Log } from '../../src/log.ts';
import { createDocroot, openFilesBelow, quiet } from '../helpers.ts';

type Sync = 'always' | 'batch' | 'never';

/** A file thread that runs `code` first, with `fs` as the thread will see it. */
function threadThat(code: string): URL {
  const source = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    ${code}
    syncBuiltinESMExports();
    await import(${JSON.stringify(fileWorker.href)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

/** A device with its thread running, and what it logs. */
async function createDevice({ sync = 'never', program }: { sync?: Sync; program?: URL } = {}) {
  const docroot = await createDocroot(1);
  const words: string[] = [];
  const note = (_: unknown, word: string) => words.push(word);
  const log: Log = Object.assign(Object.create(quiet), { warn: note, debug: note });
  const device = new Device(1, {
    docroot,
    memory: await NodeMemory.load(docroot),
    log,
    sync,
    laneWidth: 4,
    fileThreads: { free: 1, ...(program && { program }) },
    keptFiles: { free: 0 },
    reserveBytes: 0,
    tempPrefix: 'test-',
  });
  onTestFinished(() => device.close());
  await device.look();
  await startThread(device.smallFiles);
  return { device, words };
}

async function startThread(files: SmallFiles): Promise<void> {
  for (let asked = 0; asked < 64; asked += 1) expect(files.thread(1)).toBeUndefined();
  await until('the thread is ready', () => files.thread(1));
}

const bodyOf = (at: number) => Buffer.alloc(1 + ((at * 977) % 65_536), `file ${at} `);

async function expectStored(device: Device, count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    expect((await readFile(`${device.root}/some/dir/${at}`)).equals(bodyOf(at))).toBe(true);
  }
  expect(await readdir(`${device.root}/.tmp`)).toEqual([]);
  expect(openFilesBelow(device.root)).toBe(0);
}

const count = 100;
const storeAll = (device: Device) =>
  Promise.all(
    Array.from({ length: count }, (_, at) =>
      storeWhole(device, `some/dir/${at}`, bodyOf(at), { stamped: true }),
    ),
  );

test.each<Sync>(['always', 'batch', 'never'])('sync=%s: files are whole', async (sync) => {
  const { device, words } = await createDevice({ sync });
  const stamps = await storeAll(device);
  await expectStored(device, count);
  for (const [at, stamp] of stamps.entries()) {
    const { ino, size, mtimeMs } = lstatSync(`${device.root}/some/dir/${at}`);
    expect(stamp).toMatchObject({ ino, size, mtimeMs });
  }
  await Promise.all([1, 2].map(() => storeWhole(device, 'some/dir/5', bodyOf(5))));
  await storeWhole(device, 'empty', Buffer.alloc(0));
  await storeWhole(device, 'large', Buffer.alloc(200_000, 'l'));
  expect(lstatSync(`${device.root}/empty`).size).toBe(0);
  expect(lstatSync(`${device.root}/large`).size).toBe(200_000);
  await expectStored(device, count);
  expect(words).toEqual(['thread.started']);
});

test('what the thread cannot do is done, or refused, as ever', async () => {
  const { device } = await createDevice();
  await storeAll(device);
  await rm(`${device.root}/some`, { recursive: true });
  await storeAll(device);
  await expectStored(device, count);
  await rm(`${device.root}/.tmp`, { recursive: true });
  await storeAll(device);
  await expectStored(device, count);
  await mkdir(`${device.root}/taken/inside`, { recursive: true });
  await expect(storeWhole(device, 'taken', bodyOf(1))).rejects.toMatchObject({ code: 'EISDIR' });
  await expectStored(device, count);
});

test('what the thread reads is whole, and only of small regular files', async () => {
  const { device } = await createDevice();
  await storeAll(device);
  await writeFile(`${device.root}/large`, Buffer.alloc(slotBodyBytesMax + 1));
  await symlink('some/dir/1', `${device.root}/link`);
  const thread = await until('the thread is ready', () => device.smallFiles.thread(1));
  const read = async (name: string) => {
    const into = Buffer.alloc(slotBodyBytesMax);
    const { bytes } = await thread.order({ temp: `${device.root}/${name}`, into });
    return into.subarray(0, bytes);
  };
  // More than there are slots, so that each is used again.
  for (let at = 0; at < count; at += 10) {
    const names = Array.from({ length: 10 }, (_, next) => at + next);
    const bodies = await Promise.all(names.map((name) => read(`some/dir/${name}`)));
    expect(bodies.map((body, next) => body.equals(bodyOf(at + next)))).not.toContain(false);
  }
  for (const name of ['large', 'link', 'some', 'missing']) {
    await expect(read(name)).rejects.toBeInstanceOf(NotDone);
  }
  expect(openFilesBelow(device.root)).toBe(0);
});

const deaths = {
  'when it opens': 'const f = fs.openSync; fs.openSync = (...a) => (die(), f(...a));',
  'when it writes': 'const f = fs.writeSync; fs.writeSync = (...a) => (die(), f(...a));',
  'before it renames': 'const f = fs.renameSync; fs.renameSync = (...a) => (die(), f(...a));',
  'after it renamed': 'const f = fs.renameSync; fs.renameSync = (...a) => (f(...a), die());',
};

test.each(
  Object.entries(deaths).flatMap(([when, code]) =>
    (['never', 'always'] as const).map((sync) => ({ when, code, sync })),
  ),
)('nothing is lost with a thread that ends $when, sync=$sync', async ({ code, sync }) => {
  const die = 'let left = 10; const die = () => { left -= 1; if (left === 0) process.exit(7); };';
  const { device, words } = await createDevice({ sync, program: threadThat(die + code) });
  await storeAll(device);
  await expectStored(device, count);
  expect(words).toEqual(['thread.started', 'thread.lost']);
  // Not at once again.
  await storeAll(device);
  expect(words).toHaveLength(2);
});

test('a thread that throws is as good as none', async () => {
  const { device } = await createDevice({
    program: threadThat('fs.openSync = () => { throw new Error("no"); };'),
  });
  await storeAll(device);
  await expectStored(device, count);
});

/** Resolves with what became of a file; undefined when it cannot be stored so. */
function storedNow(device: Device, name: string, body: Buffer): Promise<boolean> | undefined {
  let settle: (stored: boolean) => void = () => {};
  const outcome = new Promise<boolean>((resolve) => (settle = resolve));
  return storeNow(device, name, body, settle) ? outcome : undefined;
}

test('a file is stored without a wait where the thread has all it needs', async () => {
  const { device } = await createDevice();
  expect(storedNow(device, 'some/dir/0', bodyOf(0))).toBeUndefined();
  await storeWhole(device, 'some/dir/x', bodyOf(0));
  await rm(`${device.root}/some/dir/x`);
  await device.look();
  const names = Array.from({ length: 50 }, (_, at) => `some/dir/${at}`);
  const all = names.map((name, at) => storedNow(device, name, bodyOf(at)));
  expect(await Promise.all(all)).toEqual(Array(50).fill(true));
  await expectStored(device, 50);
  expect(storedNow(device, 'large', Buffer.alloc(slotBodyBytesMax + 1))).toBeUndefined();
  device.space.refresh(10);
  expect(storedNow(device, 'x', Buffer.alloc(11))).toBeUndefined();
  const syncs = await createDevice({ sync: 'always' });
  expect(storedNow(syncs.device, 'x', bodyOf(1))).toBeUndefined();
});

test('what the thread fails at is to be stored the other way, and leaves nothing', async () => {
  const { device } = await createDevice({
    program: threadThat('fs.renameSync = () => { throw new Error("no"); };'),
  });
  await device.look();
  expect(await storedNow(device, 'f', bodyOf(1))).toBe(false);
  expect(await readdir(`${device.root}/.tmp`)).toEqual([]);
  expect(openFilesBelow(device.root)).toBe(0);
});

test('a thread that cannot be started costs nothing but time', async () => {
  const words: unknown[] = [];
  const warn = (facts: { reason: string }, word: string) => words.push([word, facts.reason]);
  const log: Log = Object.assign(Object.create(quiet), { warn });
  const program = new URL('file:///nowhere/worker.js');
  const share = { free: 1, program };
  const files = new SmallFiles({ devid: 1, log, share });
  for (let asked = 0; asked < 64; asked += 1) expect(files.thread(1)).toBeUndefined();
  await until('it is given up', () => words.length > 0);
  expect(words).toEqual([['thread.lost', expect.stringContaining('nowhere/worker.js')]]);
  for (let asked = 0; asked < 200; asked += 1) expect(files.thread(1)).toBeUndefined();
  expect(share.free).toBe(1);
});

test('a call that hangs keeps nobody but itself waiting', async () => {
  const gate = join(await createDocroot(), 'gate');
  const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)';
  const { device } = await createDevice({
    program: threadThat(`const f = fs.openSync; fs.openSync = (...a) => {
      if (a[0].startsWith('/')) while (!fs.existsSync(${JSON.stringify(gate)})) ${wait};
      return f(...a);
    };`),
  });
  const { smallFiles } = device;
  const stuck = storeWhole(device, 'stuck', Buffer.from('stuck'));
  const waiting = storeWhole(device, 'waiting', Buffer.from('waiting'));
  await until('nothing moves', () => smallFiles.thread(1) === undefined);
  expect(device.brisk).toBe(false);
  expect([device.busy, device.calls]).toMatchObject([true, { running: 1, waiting: 1 }]);
  await storeAll(device);
  const reason = new OmgfsError('DEVICE_REFUSED');
  smallFiles.failWaiting(reason);
  await expect(waiting).rejects.toBe(reason);
  await writeFile(gate, '');
  await stuck;
  await until('it is asked again', () => smallFiles.thread(1));
  // What was refused is never written, also not late.
  await storeWhole(device, 'later', Buffer.from('later'));
  expect((await readdir(device.root)).sort()).toEqual(
    ['.omgfs-device.json', '.tmp', 'later', 'some', 'stuck'].sort(),
  );
  await expectStored(device, count);
  expect(device.calls).toMatchObject({ running: 0, waiting: 0 });
});

/** Another disk is where that of the device was. */
async function replaceDisk({ root }: Device): Promise<void> {
  await rename(root, `${root}-removed`);
  await mkdir(`${root}/.tmp`, { recursive: true });
  const other = { uuid: 'another', devid: 1, created: '' };
  await writeFile(`${root}/.omgfs-device.json`, JSON.stringify(other));
}

async function expectUntouched({ root }: Device): Promise<void> {
  expect((await readdir(root)).sort()).toEqual(['.omgfs-device.json', '.tmp']);
}

test('I6: a file that was long on its way is not stored on the disk that came since', async () => {
  const { device } = await createDevice();
  await replaceDisk(device);
  await until('the last look is some time ago', () => device.stale);
  expect(storedNow(device, 'late', Buffer.from('late'))).toBeUndefined();
  const late = storeWhole(device, 'some/dir/late', Buffer.from('late'));
  await expect(late).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
  await expectUntouched(device);
});

test('I6: what the thread could not do is not done to the disk that came instead', async () => {
  const gate = join(await createDocroot(), 'gate');
  const { device } = await createDevice({
    program: threadThat(`fs.openSync = () => {
      const word = new Int32Array(new SharedArrayBuffer(4));
      while (!fs.existsSync(${JSON.stringify(gate)})) Atomics.wait(word, 0, 0, 2);
      throw new Error('the disk is gone');
    };`),
  });
  const stuck = storeWhole(device, 'stuck', Buffer.from('stuck'));
  const refused = expect(stuck).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
  await replaceDisk(device);
  await writeFile(gate, '');
  await refused;
  await expectUntouched(device);
});

test('a file that nobody waits for any more by the time it is durable leaves nothing', async () => {
  const { device } = await createDevice({ sync: 'always' });
  const late = [100, 100_000].map((bytes) =>
    storeWhole(device, `late${bytes}`, Buffer.alloc(bytes), { isWanted: () => false }),
  );
  const settled = await Promise.allSettled(late);
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect((await readdir(device.root)).sort()).toEqual(['.omgfs-device.json', '.tmp']);
  expect(await readdir(`${device.root}/.tmp`)).toEqual([]);
  expect(openFilesBelow(device.root)).toBe(0);
});

test('a thread ends when it is not needed, and its place is free again', async () => {
  const share = { free: 1 };
  const [one, two] = [1, 2].map((devid) => new SmallFiles({ devid, log: quiet, share }));
  if (one === undefined || two === undefined) throw new Error('there are two');
  await startThread(one);
  for (let asked = 0; asked < 200; asked += 1) expect(two.thread(1)).toBeUndefined();
  one.endIdle();
  expect(one.thread(1)).toBeInstanceOf(FileThread);
  one.endIdle();
  one.endIdle();
  await until('the place is free', () => share.free === 1);
  await startThread(two);
  await two.close();
  expect(share.free).toBe(1);
});
