/** Goal: a disk that hangs stops neither the other devices nor the process. Method: a real file
 *  system that is frozen under the built mogstored, so that every write to it blocks a thread; the
 *  share of threads also where mounting is not allowed. */
import { execFileSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { Lane } from '../src/device/io/lane.ts';
import { ask, createDocroot, launch, put, startNode } from './helpers.ts';

function tool(name: string, ...args: string[]): boolean {
  try {
    execFileSync(name, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Mounts a small ext4 that can be frozen; false where this is not allowed. */
async function mountFreezable(image: string, directory: string): Promise<boolean> {
  await writeFile(image, '');
  await truncate(image, 16 * 1024 * 1024);
  if (!tool('mkfs.ext4', '-q', image) || !tool('mount', '-o', 'loop', image, directory)) {
    return false;
  }
  onTestFinished(() => {
    tool('fsfreeze', '-u', directory);
    tool('umount', '-l', directory);
  });
  return true;
}

const threads = { 'the thread pool': 0, 'a thread of its own': 100 };

test.each(Object.entries(threads))('a disk that hangs stops only %s', async (_, files) => {
  const docroot = await createDocroot(1, 2);
  const slot = join(docroot, 'dev1');
  if (!(await mountFreezable(join(docroot, 'image'), slot))) return;
  const options = ['--free-reserve-mb', '0', '--log-level', 'debug', '--sync', 'never'];
  const { url, output } = await launch(docroot, ...options);
  expect((await put(url + fidPath(1, 1), 'x')).status).toBe(200);
  // So many at once that the device gets a thread for them, if need be at a second attempt.
  const many = () =>
    Promise.all(Array.from({ length: files }, (_, fid) => put(url + fidPath(1, 1000 + fid), 'x')));
  const started = async () => (await many()) && output().includes('thread.started');
  if (files > 0) await until('it has one', started);
  expect(tool('fsfreeze', '-f', slot)).toBe(true);
  let answered = 0;
  // Many more than the process has threads.
  const stuck = Array.from({ length: 200 }, async (_, index) => {
    const { status } = await put(url + fidPath(1, 10 + index), 'x');
    answered += 1;
    return status;
  });
  for (let fid = 1; fid <= 50; fid += 1) {
    expect((await put(url + fidPath(2, fid), 'y')).status).toBe(200);
    expect((await ask(url + fidPath(2, fid))).text).toBe('y');
  }
  expect(answered).toBe(0);
  expect(tool('fsfreeze', '-u', slot)).toBe(true);
  expect(new Set(await Promise.all(stuck))).toEqual(new Set([200]));
});

test('calls beyond the share of a device wait, and fail when its disk is given up', async () => {
  const lane = new Lane(2);
  const ends: (() => void)[] = [];
  const call = () => new Promise<string>((resolve) => ends.push(() => resolve('done')));
  const calls = Array.from({ length: 5 }, () => lane.run(call));
  expect(ends).toHaveLength(2);
  ends[0]?.();
  expect(await calls[0]).toBe('done');
  await until('the next one has begun', () => ends.length === 3);
  const gone = Object.assign(new Error('gone'), { code: 'X' });
  const rest = Promise.allSettled(calls.slice(3));
  lane.failWaiting(gone as never);
  expect(await rest).toEqual([
    { status: 'rejected', reason: gone },
    { status: 'rejected', reason: gone },
  ]);
  for (const end of ends) end();
  expect(await calls[2]).toBe('done');
  expect(lane.stalledMs).toBeGreaterThanOrEqual(0);
});

test('a device for which too many calls wait says so', async () => {
  const lane = new Lane(1);
  let end = () => {};
  const first = lane.run(() => new Promise<void>((resolve) => (end = resolve)));
  const waiting = Array.from({ length: 4096 }, () => lane.run(async () => {}));
  await expect(lane.run(async () => {})).rejects.toMatchObject({ code: 'DEVICE_BUSY' });
  end();
  await Promise.all([first, ...waiting]);
});

test('a refused device tells clients when to come back', async () => {
  const { url, docroot } = await startNode();
  await writeFile(join(docroot, 'dev1', '.omgfs-device.json'), 'damaged');
  await until('it is refused', async () => (await ask(`${url}/dev1/f`)).status === 503);
  expect((await ask(`${url}/dev1/f`)).headers['retry-after']).toBe('2');
});
