/**
 * Goal: an upload that is interrupted goes on where it stopped, whatever died in between, and is an
 * ordinary file in the end, seen only then. Method: the tus protocol by raw requests to two
 * trackers on one database, with cut connections, SIGKILL and garbage.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';
import { type Answer, FilesSite, storedFids } from './site.ts';

let cluster: LocalCluster;
/** The same domain at both trackers. */
let sites: FilesSite[];
let raw: RawClient;

const version = { 'tus-resumable': '1.0.0' };

beforeAll(async () => {
  const server = sharedServer();
  const database = await createDatabaseOn(server);
  cluster = await startLocalCluster({
    ...{ hosts: 2, devicesPerHost: 1, trackers: 2, domain: 'main' },
    ...{ dsn: dsnOf(server, database), dbUser: server.user, dbPass: server.password },
  });
  sites = cluster.apis.map((api) => new FilesSite(api, version));
  raw = new RawClient(cluster.trackers[1] ?? '');
  const sums = { domain: 'main', class: 'sums', mindevcount: 1, hashtype: 'MD5' };
  await raw.call('create_class', sums);
  const other = new RawClient(cluster.trackers[0] ?? '');
  await other.call('clear_cache');
  await other.close();
});
afterAll(async () => {
  await raw?.close();
  await cluster?.stop();
});

const [first, second] = [() => sites[0] as FilesSite, () => sites[1] as FilesSite];

function metadata(pairs: Record<string, string>): Record<string, string> {
  const items = Object.entries(pairs).map(([name, value]) => {
    return `${name} ${Buffer.from(value).toString('base64')}`;
  });
  return { 'upload-metadata': items.join(',') };
}

async function create(key: string, length: number, more = {}, site = first()): Promise<string> {
  const headers = { 'upload-length': String(length), ...metadata({ key }), ...more };
  const answer = await site.ask('POST', '/tus/main', { headers });
  expect([answer.status, answer.body.toString()]).toEqual([201, '']);
  return String(answer.headers.location);
}

function patch(upload: string, offset: number, body: Buffer, site = first()): Promise<Answer> {
  const type = 'application/offset+octet-stream';
  const headers = { 'content-type': type, 'upload-offset': String(offset) };
  return site.ask('PATCH', upload, { body, headers });
}

/** Bytes that the server has. */
async function offsetOf(upload: string, site = first()): Promise<number> {
  const { status, headers } = await site.ask('HEAD', upload);
  return status === 200 ? Number(headers['upload-offset']) : -status;
}

/** The digest of a file, or why there is none; large buffers are slow to compare by vitest. */
async function contentOf(key: string, site = first()): Promise<string | number> {
  const { status, body } = await site.ask('GET', `/files/main/${key}`);
  return status === 200 ? digestOf(body) : status;
}

function digestOf(body: Buffer | string): string {
  return createHash('md5').update(body).digest('base64');
}

test('the server says what it offers, and speaks one version', async () => {
  const { status, headers } = await first().ask('OPTIONS', '/tus/main');
  expect([status, headers['tus-version']]).toEqual([204, '1.0.0']);
  for (const extension of ['creation', 'termination', 'expiration']) {
    expect(headers['tus-extension']).toContain(extension);
  }
  const old = { 'tus-resumable': '0.2.2', 'upload-length': '1', ...metadata({ key: 'x' }) };
  expect((await first().ask('POST', '/tus/main', { headers: old })).status).toBe(412);
});

test('in one part: a file with all that was said of it', async () => {
  const body = randomBytes(300_000);
  const said = { key: 'one', class: 'sums', filename: 'Öne.png', filetype: 'image/png', by: 'me' };
  const upload = await create('one', body.length, metadata(said));
  expect(await contentOf('one')).toBe(404);
  const sent = await patch(upload, 0, body);
  expect([sent.status, sent.headers['upload-offset']]).toEqual([204, '300000']);
  const read = await second().ask('GET', '/files/main/one');
  expect(read.body.equals(body)).toBe(true);
  expect(read.headers).toMatchObject({
    'content-type': 'image/png',
    'x-meta-by': 'me',
    'x-class': 'sums',
    'repr-digest': `md5=:${digestOf(body)}:`,
  });
  expect(await offsetOf(upload)).toBe(300_000);
});

test('in many parts at two trackers: put together in the end, and the parts go', async () => {
  const body = randomBytes(900_000);
  const upload = await create('many', body.length, metadata({ key: 'many', class: 'sums' }));
  for (let at = 0; at < 9; at += 1) {
    const site = at % 2 === 0 ? first() : second();
    const part = body.subarray(at * 100_000, (at + 1) * 100_000);
    expect(await contentOf('many', site)).toBe(404);
    expect((await patch(upload, at * 100_000, part, site)).status).toBe(204);
  }
  const read = await first().ask('GET', '/files/main/many');
  expect(read.body.equals(body)).toBe(true);
  expect(read.headers['repr-digest']).toBe(`md5=:${digestOf(body)}:`);
  await until('the parts to go from the disks', async () => {
    const sizes = new Set((await storedFids(cluster)).map((name) => name.replace(/.*\//s, '')));
    const { fid = '' } = await raw.call('file_info', { domain: 'main', key: 'many' });
    // What was stored before, and this file, are all there is.
    return sizes.size <= 2 && [...sizes].some((name) => name.startsWith(fid.padStart(10, '0')));
  });
});

test('a connection that is cut: what came is kept, at the other tracker too', async () => {
  const body = randomBytes(1_000_000);
  const upload = await create('cut', body.length);
  const head =
    `PATCH ${upload} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
    `Content-Type: application/offset+octet-stream\r\nContent-Length: ${body.length}\r\n\r\n`;
  const wire = await first().wire(head);
  wire.socket.write(body.subarray(0, 400_000));
  wire.socket.end();
  const offset = await until('what came to be kept', async () => {
    const kept = await offsetOf(upload, second());
    return kept > 0 ? kept : undefined;
  });
  // What was on its way through the tracker when the end came may be lost.
  expect(offset).toBeLessThanOrEqual(400_000);
  expect(await contentOf('cut')).toBe(404);
  expect((await patch(upload, 0, body)).status).toBe(409);
  expect((await patch(upload, offset, body.subarray(offset), second())).status).toBe(204);
  expect(await contentOf('cut')).toBe(digestOf(body));
});

test('a tracker killed in the middle: the other goes on with what was acknowledged', async () => {
  const body = randomBytes(600_000);
  const upload = await create('killed', body.length);
  expect((await patch(upload, 0, body.subarray(0, 200_000))).status).toBe(204);
  const head =
    `PATCH ${upload} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 200000\r\n` +
    'Content-Type: application/offset+octet-stream\r\nContent-Length: 400000\r\n\r\n';
  const wire = await first().wire(head);
  wire.socket.write(body.subarray(200_000, 500_000));
  const [tracker] = cluster.trackerDaemons;
  await tracker?.kill('SIGKILL');
  wire.socket.destroy();
  expect(await offsetOf(upload, second())).toBe(200_000);
  expect((await patch(upload, 200_000, body.subarray(200_000), second())).status).toBe(204);
  expect(await contentOf('killed', second())).toBe(digestOf(body));
  await tracker?.start();
});

test('two that send the same part: one is told that the offset moved on', async () => {
  const body = randomBytes(200_000);
  const upload = await create('twice', body.length);
  const half = body.subarray(0, 100_000);
  const both = await Promise.all([patch(upload, 0, half), patch(upload, 0, half, second())]);
  expect(both.map(({ status }) => status).sort()).toEqual([204, 409]);
  const last = body.subarray(100_000);
  await Promise.all([patch(upload, 100_000, last), patch(upload, 100_000, last, second())]);
  expect(await contentOf('twice')).toBe(digestOf(body));
});

test('begun with bytes, of unknown length, of none, and given up', async () => {
  const type = { 'content-type': 'application/offset+octet-stream' };
  const headers = { 'upload-length': '5', ...metadata({ filename: 'begun' }), ...type };
  const begun = await first().ask('POST', '/tus/main/', { headers, body: 'hello' });
  expect([begun.status, begun.headers['upload-offset']]).toEqual([201, '5']);
  expect(await contentOf('begun')).toBe(digestOf('hello'));
  const deferred = { 'upload-defer-length': '1', ...metadata({ key: 'later' }) };
  const { headers: told } = await first().ask('POST', '/tus/main', { headers: deferred });
  const upload = String(told.location);
  expect((await patch(upload, 0, Buffer.from('hel'))).status).toBe(204);
  expect((await first().ask('HEAD', upload)).headers['upload-defer-length']).toBe('1');
  const short = { ...type, 'upload-offset': '3', 'upload-length': '2' };
  expect((await first().ask('PATCH', upload, { headers: short, body: '' })).status).toBe(400);
  const end = { ...type, 'upload-offset': '3', 'upload-length': '5' };
  await first().ask('PATCH', upload, { headers: end, body: 'lo' });
  expect(await contentOf('later')).toBe(digestOf('hello'));
  await create('nothing', 0);
  expect(await contentOf('nothing')).toBe(digestOf(''));
  const given = await create('given', 10);
  await patch(given, 0, Buffer.from('half'));
  expect((await first().ask('DELETE', given)).status).toBe(204);
  expect([await offsetOf(given), (await patch(given, 4, Buffer.from('x'))).status]).toEqual([
    -404, 404,
  ]);
});

test('garbage is refused in words', async () => {
  const post = async (headers: Record<string, string>, path = '/tus/main') => {
    const { status } = await first().ask('POST', path, { headers });
    return status;
  };
  const key = metadata({ key: 'garbage' });
  expect(await post(key)).toBe(400);
  expect(await post({ 'upload-length': '-1', ...key })).toBe(400);
  expect(await post({ 'upload-length': '1', 'upload-defer-length': '1', ...key })).toBe(400);
  expect(await post({ 'upload-length': '1' })).toBe(400);
  expect(await post({ 'upload-length': '1', 'upload-concat': 'partial', ...key })).toBe(400);
  expect(await post({ 'upload-length': '1', 'upload-metadata': 'key %%%' })).toBe(400);
  expect(await post({ 'upload-length': '1', 'upload-metadata': 'key eA==,key eA==' })).toBe(400);
  const long = metadata({ key: 'k', ...{ much: 'x'.repeat(9_000) } });
  expect(await post({ 'upload-length': '1', ...long })).toBe(400);
  expect(await post({ 'upload-length': '1', ...metadata({ key: 'k'.repeat(256) }) })).toBe(400);
  expect(await post({ 'upload-length': '1', ...metadata({ key: 'k', class: 'no' }) })).toBe(404);
  expect(await post({ 'upload-length': '1', ...key }, '/tus/none')).toBe(404);
  const upload = await create('garbage', 3, metadata({ key: 'garbage', filetype: 'a/b\r\nX: y' }));
  expect((await patch(upload, 0, Buffer.from('long'))).status).toBe(413);
  const plain = { headers: { 'upload-offset': '0' }, body: 'abc' };
  expect((await first().ask('PATCH', upload, plain)).status).toBe(415);
  expect((await first().ask('HEAD', '/tus/main/%00')).status).toBe(404);
  expect((await first().ask('HEAD', `${upload}0`)).status).toBe(404);
  expect((await patch(upload, 0, Buffer.from('abc'))).status).toBe(204);
  const { headers } = await first().ask('GET', '/files/main/garbage');
  expect([headers['content-type'], headers.x]).toEqual(['a/bX: y', undefined]);
});
