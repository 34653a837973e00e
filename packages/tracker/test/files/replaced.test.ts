/**
 * Goal: while a file is replaced, a download is one version: the one that its conditions were
 * judged by. Method: a file store on a real tracker, whose commands let the test replace the file
 * at the moment it chooses.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { fastify } from 'fastify';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { RawClient } from '../../../../test/helpers/raw-client.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { createFileStore, type FileStore } from '../../src/files/file-store.ts';
import { addFileRoutes } from '../../src/http/files/routes.ts';
import { Transfers } from '../../src/http/patience.ts';

let cluster: LocalCluster;
let raw: RawClient;
let files: FileStore;
/** Runs just before a command, and just after `get_paths`. */
let before: (command: string) => Promise<void>;
let afterPaths: (paths: readonly string[]) => Promise<void>;
let base: string;
const app = fastify({ forceCloseConnections: true });
const place = { domain: 'main', key: 'key' };

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain: 'main' });
  raw = new RawClient(cluster.trackers[0] ?? '');
  files = createFileStore({
    connTimeoutMs: 2_000,
    nodeTimeoutMs: 5_000,
    call: async ({ command, args }) => {
      await before(command);
      const reply = await raw.call(command, args);
      if (command === 'get_paths') await afterPaths([reply.path1 ?? '']);
      return reply;
    },
  });
  const transfers = new Transfers({ max: 10, rateMin: 0, windowMs: 1, onSlow: () => {} });
  await addFileRoutes(app, { files, shape: 'stream', uploadBytesMax: undefined, transfers });
  base = await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  await files?.close();
  await raw?.close();
  await cluster?.stop();
});
beforeEach(async () => {
  before = async () => {};
  afterPaths = async () => {};
  await put('old version');
});

async function* bytesOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

/** All versions have the same length, or the length alone would tell them apart. */
function put(text: string): Promise<{ etag: string }> {
  return files.put(place, bytesOf(text));
}

/** Replaces the file between the looks at what it is and at where it is. */
function replaceInBetween(times: number): void {
  let left = times;
  before = async (command) => {
    if (command !== 'get_paths' || left === 0) return;
    left -= 1;
    const again = before;
    before = async () => {};
    await put('new version');
    before = again;
  };
}

async function get(headers: Record<string, string> = {}) {
  const answer = await request(`${base}/files/main/key`, { headers });
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
}

test('a range of the old version is not cut from the new one', async () => {
  const { etag } = await put('old version');
  const conditions = { 'if-range': etag, range: 'bytes=4-6' };
  expect(await get(conditions)).toMatchObject({ status: 206, text: 'ver' });
  replaceInBetween(1);
  const read = await get(conditions);
  expect(read).toMatchObject({ status: 200, text: 'new version' });
  expect(read.headers.etag).not.toBe(etag);
});

test('conditions hold for what is sent', async () => {
  const { etag } = await put('old version');
  replaceInBetween(1);
  expect((await get({ 'if-match': etag })).status).toBe(412);
  replaceInBetween(1);
  const read = await get({ 'x-reproxy': 'perlbal' });
  const { fid } = await raw.call('file_info', place);
  expect(read.headers['x-fid']).toBe(fid);
  expect(read.headers['x-reproxy-url']).toContain(`/${String(fid).padStart(10, '0')}.fid`);
});

test('a file that is replaced time and again is answered in words', async () => {
  replaceInBetween(100);
  expect(await get()).toMatchObject({ status: 503, text: expect.stringContaining('replaced') });
});

test('a version that is deleted before it is opened gives way to the new one', async () => {
  afterPaths = async ([path = '']) => {
    afterPaths = async () => {};
    await put('new version');
    await until('the old version to go', async () => {
      const { statusCode, body } = await request(path);
      await body.dump();
      return statusCode === 404;
    });
  };
  expect(await get()).toMatchObject({ status: 200, text: 'new version' });
});
