/**
 * Goal: who has no client library stores, reads, lists and deletes files by HTTP alone, and what is
 * half or wrong is never seen. Method: a real cluster, requests as curl sends them.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { contentDisposition } from '@omgfs/protocol';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { type Answer, type AskOptions, FilesSite, json } from './site.ts';

let cluster: LocalCluster;
let site: FilesSite;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  site = new FilesSite(`${cluster.apis[0]}/files/main/`);
});
afterAll(() => cluster?.stop());

function ask(method: string, key: string, options: AskOptions = {}): Promise<Answer> {
  return site.ask(method, key, options);
}

test('the API document has every address', async () => {
  const { statusCode, body } = await request(`${cluster.apis[0]}/openapi.json`);
  const { paths } = (await body.json()) as { paths: Record<string, object> };
  const methods = (path: string) => Object.keys(paths[path] ?? {}).sort();
  expect(statusCode).toBe(200);
  expect(methods('/files/{domain}/{*}')).toEqual(['delete', 'get', 'head', 'post', 'put']);
  expect(methods('/tus/{domain}')).toEqual(['options', 'post']);
  expect(methods('/tus/{domain}/{id}')).toEqual(['delete', 'head', 'patch']);
});

describe('a file', () => {
  test('is stored, read, and gone after a delete', async () => {
    const body = randomBytes(700_000);
    const stored = await ask('PUT', 'a/b.bin', { body });
    expect(stored.status).toBe(201);
    expect(json(stored)).toMatchObject({ key: 'a/b.bin', length: body.length });
    const read = await ask('GET', 'a/b.bin');
    expect(read.status).toBe(200);
    expect(read.body.equals(body)).toBe(true);
    expect(read.headers.etag).toBe(stored.headers.etag);
    const head = await ask('HEAD', 'a/b.bin');
    expect(head.headers['content-length']).toBe(String(body.length));
    expect((await ask('DELETE', 'a/b.bin')).status).toBe(204);
    expect((await ask('GET', 'a/b.bin')).status).toBe(404);
    expect((await ask('DELETE', 'a/b.bin')).status).toBe(404);
  });

  test('may be of unknown length, or of no byte', async () => {
    const stream = Readable.from([randomBytes(300_000), Buffer.from('end')]);
    expect(json(await ask('PUT', 'chunked', { body: stream })).length).toBe(300_003);
    expect((await ask('GET', 'chunked')).body.subarray(300_000).toString()).toBe('end');
    expect((await ask('PUT', 'empty', { body: '' })).status).toBe(201);
    const read = await ask('GET', 'empty');
    expect([read.status, read.body.length]).toEqual([200, 0]);
  });

  test('is read in parts and by conditions', async () => {
    const { headers } = await ask('PUT', 'parts', { body: '0123456789' });
    const etag = String(headers.etag);
    const part = async (range: string, more = {}) => {
      const { status, body, headers } = await ask('GET', 'parts', { headers: { range, ...more } });
      return [status, status < 300 ? body.toString() : '', headers['content-range']];
    };
    expect(await part('bytes=2-4')).toEqual([206, '234', 'bytes 2-4/10']);
    expect(await part('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
    expect(await part('bytes=10-')).toEqual([416, '', 'bytes */10']);
    expect(await part('bytes=0-1,4-5')).toEqual([200, '0123456789', undefined]);
    expect(await part('bytes=0-1', { 'if-range': etag })).toEqual([206, '01', 'bytes 0-1/10']);
    expect(await part('bytes=0-1', { 'if-range': '"x"' })).toEqual([200, '0123456789', undefined]);
    const when = async (headers: Record<string, string>) =>
      (await ask('GET', 'parts', { headers })).status;
    expect(await when({ 'if-none-match': etag })).toBe(304);
    expect(await when({ 'if-match': '"other"' })).toBe(412);
  });

  test('is listed with its folder', async () => {
    for (const key of ['l/1', 'l/2', 'l/x/1', 'l/x/2', 'l/y/1', 'l/z']) {
      await ask('PUT', key, { body: key });
    }
    const list = async (query: string) => json(await ask('GET', `?${query}`));
    const keysOf = (page: { files: { key: string }[] }) => page.files.map(({ key }) => key);
    const whole = await list('prefix=l/');
    expect(keysOf(whole)).toEqual(['l/1', 'l/2', 'l/x/1', 'l/x/2', 'l/y/1', 'l/z']);
    const folded = await list('prefix=l/&delimiter=/');
    expect(keysOf(folded)).toEqual(['l/1', 'l/2', 'l/z']);
    expect(folded).toMatchObject({ folders: ['l/x/', 'l/y/'], after: null });
    const bare = new FilesSite(`${cluster.apis[0]}/files/main`);
    expect(json(await bare.ask('GET', '?prefix=l/&delimiter=/'))).toEqual(folded);
    const seen: string[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const page = await list(`prefix=l/&delimiter=/&limit=1&after=${after}`);
      seen.push(...keysOf(page), ...page.folders);
      after = page.after;
    }
    expect(seen).toEqual(['l/1', 'l/2', 'l/x/', 'l/y/', 'l/z']);
  });

  test.each([
    ['image/png', 'inline'],
    ['video/mp4; codecs="avc1"', 'inline'],
    ['text/plain; charset=utf-8', 'inline'],
    ['text/html', 'attachment'],
    ['image/svg+xml', 'attachment'],
    ['image/x+xml', 'attachment'],
    ['image/png;,text/html', 'attachment'],
    ['application/octet-stream', 'attachment'],
  ] as const)('%s is answered %s, whatever the upload said', async (type, disposition) => {
    const headers = { 'content-type': type, 'content-disposition': 'inline; filename=f' };
    await ask('PUT', 'shown', { body: 'x', headers });
    const named = (await ask('GET', 'shown')).headers['content-disposition'];
    expect(named).toBe(contentDisposition(disposition, 'f'));
    await ask('PUT', 'shown', { body: 'x', headers: { 'content-type': type } });
    const bare = (await ask('GET', 'shown')).headers['content-disposition'];
    expect(bare).toBe(disposition === 'inline' ? undefined : disposition);
  });

  test('of which much was said is listed with few others, and none is left out', async () => {
    const headers = { 'x-meta-much': 'x'.repeat(8_000) };
    const folder = (at: number) => (at % 10 === 5 ? `much/${10 + at}/f` : undefined);
    const keys = Array.from({ length: 50 }, (_, at) => folder(at) ?? `much/${10 + at}`);
    await Promise.all(keys.map((key) => ask('PUT', key, { body: key, headers })));
    const seen: string[] = [];
    let pages = 0;
    for (let after: string | null = ''; after !== null; pages += 1) {
      const answer = await ask('GET', `?prefix=much/&delimiter=/&after=${after}`);
      expect(answer.body.length).toBeLessThan(400_000);
      const page = json(answer);
      seen.push(...page.files.map(({ key }: { key: string }) => key), ...page.folders);
      after = page.after;
    }
    expect(pages).toBe(2);
    // Folders of a page come behind its files.
    expect(seen.sort()).toEqual(keys.map((key, at) => folder(at)?.replace(/f$/, '') ?? key).sort());
  });

  test('keeps what was said of it, which overwriting by an old client ends', async () => {
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': "attachment; filename*=UTF-8''K%C3%A4tzchen.txt",
      'x-meta-author': Buffer.from('Zoë').toString('latin1'),
      'x-meta-empty': '',
      // As fetch sends it: a character a byte, which is no UTF-8.
      'x-meta-old': 'Zoë',
    };
    await ask('PUT', 'said', { body: 'hello', headers });
    const read = await ask('GET', 'said');
    expect(read.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-meta-author': headers['x-meta-author'],
      'x-meta-empty': '',
      'x-meta-old': headers['x-meta-author'],
      'content-disposition': contentDisposition('inline', 'Kätzchen.txt'),
    });
    const age = Date.now() - Date.parse(String(read.headers['last-modified']));
    expect(Math.abs(age)).toBeLessThan(60_000);
    const [listed] = json(await ask('GET', '?prefix=said')).files;
    expect(listed).toMatchObject({
      content_type: headers['content-type'],
      filename: 'Kätzchen.txt',
      metadata: { author: 'Zoë', empty: '' },
    });
    const raw = new RawClient(cluster.trackers[0] ?? '');
    await storeRaw(raw, { domain: 'main', key: 'said', body: 'other' });
    await raw.close();
    const after = await ask('GET', 'said');
    expect(after.body.toString()).toBe('other');
    expect(after.headers['content-type']).toBe('application/octet-stream');
    expect(after.headers['x-meta-author']).toBeUndefined();
    expect(after.headers['last-modified']).toBeUndefined();
  });

  test('of a class with checksums tells its digest, and a wrong one is refused', async () => {
    const raw = new RawClient(cluster.trackers[0] ?? '');
    const made = { domain: 'main', class: 'sums', mindevcount: 2, hashtype: 'MD5' };
    await raw.call('create_class', made);
    await raw.close();
    const md5 = createHash('md5').update('hello').digest('base64');
    const sha = createHash('sha256').update('hello').digest('base64');
    const headers = { 'content-md5': md5, 'content-digest': `sha-256=:${sha}:` };
    const put = (body: string) => ask('PUT', 'sum?class=sums&replicas=2', { body, headers });
    const stored = await put('hello');
    expect([stored.status, json(stored).devcount]).toEqual([201, 2]);
    const wrong = await put('hellO');
    expect([wrong.status, json(wrong).error.code]).toEqual([400, 'BAD_DIGEST']);
    const read = await ask('GET', 'sum');
    expect(read.body.toString()).toBe('hello');
    expect(read.headers).toMatchObject({ 'repr-digest': `md5=:${md5}:`, 'x-class': 'sums' });
  });

  test('is stored only if it is the one that the client knows', async () => {
    const put = (body: string, headers: Record<string, string>) =>
      ask('PUT', 'cas', { body, headers });
    expect((await put('0', { 'if-match': '*' })).status).toBe(412);
    const created = await Promise.all(
      Array.from({ length: 6 }, (_, at) => put(String(at), { 'if-none-match': '*' })),
    );
    const statuses = created.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(new Set(statuses)).toEqual(new Set([201, 412]));
    const etag = String((await ask('HEAD', 'cas')).headers.etag);
    const changed = await Promise.all([
      put('a', { 'if-match': etag }),
      put('b', { 'if-match': etag }),
    ]);
    expect(changed.map(({ status }) => status).sort()).toEqual([201, 412]);
    expect((await put('c', { 'if-match': etag })).status).toBe(412);
  });
});
