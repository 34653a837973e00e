/** Goal: a disk that hangs stops neither the other devices nor the process. Method: the built
 *  mogstored with calls that block its threads, as those to a frozen file system do. */
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { bundle, type FrameHead, FrameReader, fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { hasEnded, launchMogstored } from '../../../test/helpers/mogstored.ts';
import { until } from '../../../test/helpers/wait.ts';
import { Lane } from '../src/device/io/lane.ts';
import { type Answer, ask, createDocroot, put, startNode } from './helpers.ts';

const threads = { 'the thread pool': 0, 'a thread of its own': 100 };

test.each(Object.entries(threads))('a disk that hangs stops only %s', async (_, files) => {
  const docroot = await createDocroot(1, 2);
  // Many more than the process has threads: files that are there, and new ones in new directories.
  const stored = Array.from({ length: 100 }, (_, index) => fidPath(1, 100 + index));
  const fresh = Array.from({ length: 100 }, (_, index) => fidPath(1, 1000 * (1 + index)));
  await mkdir(dirname(docroot + stored[0]), { recursive: true });
  for (const path of stored) await writeFile(docroot + path, 'x');
  const paths = [...stored, ...fresh.map((path) => dirname(path))].map((path) => docroot + path);
  const { url, output, mend } = await launchMogstored({
    docroot,
    args: ['--free-reserve-mb', '0', '--log-level', 'debug', '--sync', 'never'],
    bad: { calls: ['openat', 'mkdir'], paths },
  });
  expect((await put(url + fidPath(1, 1), 'x')).status).toBe(200);
  // So many at once that the device gets a thread for them, if need be at a second attempt.
  const many = () =>
    Promise.all(Array.from({ length: files }, (_, fid) => put(url + fidPath(1, 500 + fid), 'x')));
  const started = async () => (await many()) && output().includes('thread.started');
  if (files > 0) await until('it has one', started);
  let answered = 0;
  const wait = async (answer: Promise<Answer>) => {
    const { status } = await answer;
    answered += 1;
    return status;
  };
  const stuck = [
    ...stored.map((path) => wait(ask(url + path))),
    ...fresh.map((path) => wait(put(url + path, 'x'))),
  ];
  for (let fid = 1; fid <= 50; fid += 1) {
    expect((await put(url + fidPath(2, fid), 'y')).status).toBe(200);
    expect((await ask(url + fidPath(2, fid))).text).toBe('y');
  }
  expect(answered).toBe(0);
  await mend();
  expect(new Set(await Promise.all(stuck))).toEqual(new Set([200]));
});

test('files of a bundle come while the disk of another hangs, and that one later', async () => {
  const docroot = await createDocroot(1, 2);
  const [stuck = '', ...others] = [fidPath(1, 1), fidPath(2, 2), fidPath(2, 3), fidPath(2, 4)];
  for (const path of [stuck, ...others]) {
    await mkdir(dirname(docroot + path), { recursive: true });
    await writeFile(docroot + path, path);
  }
  const { url, mend } = await launchMogstored({
    docroot,
    bad: { calls: ['openat'], paths: [docroot + stuck] },
  });
  const frames = new FrameReader(4, { begin: () => undefined, end: (head) => came.push(head) });
  const came: FrameHead[] = [];
  const asking = request(url, { method: 'POST', headers: { [bundle.header]: '1' } });
  asking.end(JSON.stringify([stuck, ...others]));
  const [answer] = await once(asking, 'response');
  const ended = once(answer, 'end');
  answer.on('data', (chunk: Buffer) => frames.push(chunk));
  await until('those of the other disk', () => came.length === others.length);
  expect(came.map(({ index }) => index).sort()).toEqual([1, 2, 3]);
  await mend();
  await ended;
  expect(came.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
});

test('a stop does not wait for a disk that hangs', async () => {
  const docroot = await createDocroot(1, 2);
  const path = fidPath(1, 10);
  await mkdir(dirname(docroot + path), { recursive: true });
  await writeFile(docroot + path, 'x');
  const { url, pid, output } = await launchMogstored({
    docroot,
    args: ['--free-reserve-mb', '0', '--stop-seconds', '1', '--metrics-listen', '127.0.0.1:0'],
    bad: { calls: ['openat'], paths: [docroot + path] },
  });
  expect((await put(url + fidPath(2, 1), 'y')).status).toBe(200);
  const answer = ask(url + path).catch((error: unknown) => error);
  const metrics = `http://127.0.0.1:${/"metricsPort":(\d+)/.exec(output())?.[1]}/metrics`;
  const hangs = 'omgfs_node_device_calls{devid="1",state="running"} 1\n';
  await until('the call to hang', async () => (await ask(metrics)).text.includes(hangs));
  process.kill(pid, 'SIGTERM');
  await until('it to end', () => hasEnded(pid));
  expect(await answer).toBeInstanceOf(Error);
  expect(output()).toMatch(/"devids":\[1\],"event":"storage.abandoned"[\s\S]*storage\.closed/);
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
