/**
 * Goal: of an upload in parts, what was acknowledged survives the loss of a node, and an upload
 * that became a file never becomes one again. Method: two file stores on a real tracker, as two
 * trackers that run its commands; one ends, for the test, between any two commands.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { RawClient } from '../../../../test/helpers/raw-client.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { createFileStore, type FileStore } from '../../src/files/file-store.ts';
import { openSqlite } from '../../src/store/sqlite/driver.ts';

let cluster: LocalCluster;
let raw: RawClient;
let ends: FileStore;
let lives: FileStore;
/** The command with which the first of the stores is dead. */
let deadFrom: string | undefined;
let isDead: boolean;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  raw = new RawClient(cluster.trackers[0] ?? '');
  const storeOf = (check: (command: string) => void) =>
    createFileStore({
      ...{ connTimeoutMs: 2_000, nodeTimeoutMs: 5_000 },
      call: async ({ command, args }) => {
        check(command);
        return raw.call(command, args);
      },
    });
  lives = storeOf(() => {});
  ends = storeOf((command) => {
    isDead ||= command === deadFrom;
    if (isDead) throw new Error('dead');
  });
  await raw.call('create_class', { domain: 'main', class: 'one', mindevcount: 1 });
});
afterAll(async () => {
  await Promise.all([lives?.close(), ends?.close()]);
  await raw?.close();
  await cluster?.stop();
});
beforeEach(() => {
  deadFrom = undefined;
  isDead = false;
});

async function* bytesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function place(key: string) {
  return { domain: 'main', key };
}

async function begin(key: string, length: number, className?: string) {
  const id = await lives.uploads.create(place(key), { length, class: className });
  return { domain: 'main', id };
}

async function contentOf(key: string): Promise<string> {
  const stream = await lives.withFile(place(key), (facts) => lives.open(facts));
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('hex');
}

test.each([1, 2])('of %i parts: dead before it is noted, it does not come back', async (count) => {
  const key = `back${count}`;
  const body = randomBytes(1_000);
  const upload = await begin(key, body.length);
  const half = count === 1 ? 0 : 500;
  const first = bytesOf(body.subarray(0, half));
  if (half > 0) await lives.uploads.append(upload, { offset: 0, body: first });
  deadFrom = 'upload_finish';
  const last = { offset: half, body: bytesOf(body.subarray(half)) };
  await expect(ends.uploads.append(upload, last)).rejects.toThrow('dead');
  expect(await contentOf(key)).toBe(body.toString('hex'));
  const newer = randomBytes(10);
  await lives.put(place(key), bytesOf(newer));
  expect(await lives.uploads.state(upload)).toMatchObject({ offset: 1_000, length: 1_000 });
  expect(await contentOf(key)).toBe(newer.toString('hex'));
  await lives.remove(place(key));
  await lives.uploads.state(upload);
  await expect(lives.stat(place(key))).rejects.toThrow();
});

test('dead before the file is stored: another stores it', async () => {
  const body = randomBytes(1_000);
  const upload = await begin('again', body.length);
  await lives.uploads.append(upload, { offset: 0, body: bytesOf(body.subarray(0, 500)) });
  deadFrom = 'create_close';
  const last = { offset: 500, body: bytesOf(body.subarray(500)) };
  await expect(ends.uploads.append(upload, last)).rejects.toThrow('dead');
  // As if half a minute had passed.
  await raw.call('upload_renew', { ...upload, release: 1 });
  expect(await lives.uploads.state(upload)).toMatchObject({ offset: 1_000 });
  expect(await contentOf('again')).toBe(body.toString('hex'));
});

/** Closes an upload whose two copies differ. @returns what is at both places afterwards. */
async function closeTwo(key: string, { size }: { size: number | undefined }) {
  const opened = await raw.call('create_open', { ...place(key), class: 'one', multi_dest: 1 });
  const { fid, devid_1, devid_2, path_1 = '', path_2 = '' } = opened;
  await request(path_1, { method: 'PUT', body: 'the file' });
  await request(path_2, { method: 'PUT', body: 'not it' });
  const close = { ...place(key), fid, devid: devid_1, path: path_1, replicas: 2, wait: 0 };
  const others = { devid_2, path_2, ...(size === undefined ? {} : { size }) };
  expect(await raw.call('create_close', { ...close, ...others })).toMatchObject({ devcount: '1' });
  const answers = await Promise.all([path_1, path_2].map((path) => request(path)));
  return answers.map(({ statusCode }) => statusCode);
}

test('a further copy that is not the file goes when the upload is closed', async () => {
  expect(await closeTwo('wrong', { size: 8 })).toEqual([200, 404]);
});

test('of two copies that differ both stay when nobody said which is right (I2)', async () => {
  expect(await closeTwo('unknown', { size: undefined })).toEqual([200, 200]);
});

test('a further copy whose node is silent when the upload is closed is noted', async () => {
  const open = { ...place('silent'), class: 'one', multi_dest: 1 };
  const { fid, devid_1, devid_2, path_1 = '', path_2 = '' } = await raw.call('create_open', open);
  for (const path of [path_1, path_2]) await request(path, { method: 'PUT', body: 'the file' });
  const silent = cluster.hosts.find(({ devids }) => String(devids[0]) === devid_2);
  await silent?.kill('SIGKILL');
  const first = { fid, devid: devid_1, path: path_1, size: 8 };
  await raw.call('create_close', { ...place('silent'), ...first, devid_2, path_2 });
  const database = await openSqlite(join(cluster.dir, 'omgfs.sqlite'));
  const noted = database.prepare(`SELECT devid FROM omg_stray WHERE fid = ${fid}`).all();
  database.close();
  expect(noted).toMatchObject([{ devid: Number(devid_2) }]);
  await silent?.start();
  await until('both take files again', async () => {
    return (await raw.call('create_open', open)).dev_count === '2';
  });
});

test('what was acknowledged survives the loss of a node (I1)', async () => {
  const body = randomBytes(3_000);
  const upload = await begin('node', body.length);
  const parts = [body.subarray(0, 1_000), body.subarray(1_000, 2_000), body.subarray(2_000)];
  const append = (at: number, part: Buffer) =>
    lives.uploads.append(upload, { offset: at * 1_000, body: bytesOf(part) });
  for (const [at, part] of parts.slice(0, 2).entries()) await append(at, part);
  const both = expect.stringMatching(/^[12] [12]$/);
  const kept = { part_1_devids: both, part_2_devids: both };
  expect(await raw.call('upload_info', { ...upload, parts: 1 })).toMatchObject(kept);
  // Of a class of one copy, a part has no more than the file.
  const thumb = await begin('thumb', 5, 'one');
  await lives.uploads.append(thumb, { offset: 0, body: bytesOf(Buffer.from('12')) });
  expect(await raw.call('upload_info', { ...thumb, parts: 1 })).toMatchObject({
    part_1_devids: expect.stringMatching(/^\d+$/),
  });
  await cluster.hosts[0]?.kill('SIGKILL');
  await append(2, parts[2] as Buffer);
  expect(await contentOf('node')).toBe(body.toString('hex'));
  await cluster.hosts[0]?.start();
});

test('the one part of an upload is the file also when its first node is lost (I1)', async () => {
  const open = () => raw.call('create_open', { ...place('probe'), multi_dest: 1 });
  await until('both take files', async () => (await open()).dev_count === '2');
  const body = randomBytes(1_000);
  const upload = await begin('only', body.length);
  deadFrom = 'create_close';
  const whole = { offset: 0, body: bytesOf(body) };
  await expect(ends.uploads.append(upload, whole)).rejects.toThrow('dead');
  const { part_1_devids = '' } = await raw.call('upload_info', { ...upload, parts: 1 });
  expect(part_1_devids).toMatch(/^[12] [12]$/);
  await raw.call('upload_renew', { ...upload, release: 1 });
  const first = cluster.hosts.find(({ devids }) => part_1_devids.startsWith(String(devids[0])));
  await first?.kill('SIGKILL');
  expect(await lives.uploads.state(upload)).toMatchObject({ offset: 1_000 });
  expect(await contentOf('only')).toBe(body.toString('hex'));
  await first?.start();
});
