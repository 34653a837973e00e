/**
 * Goal: who has no client library stores, reads, lists and deletes files by HTTP alone, and what is
 * half or wrong is never seen. Method: a real cluster, requests as curl sends them.
 */
import { randomBytes } from 'node:crypto';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let cluster: LocalCluster;
let base: string;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  base = `${cluster.apis[0]}/files/main/`;
});
afterAll(() => cluster?.stop());

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

async function ask(
  method: string,
  key: string,
  options: { body?: Buffer | string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { statusCode, headers, body } = await request(base + key, {
    method: method as 'GET',
    ...options,
  });
  return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) };
}

function json({ body }: Answer) {
  return JSON.parse(body.toString());
}

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

  test('of no byte is a file', async () => {
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
    const seen: string[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const page = await list(`prefix=l/&delimiter=/&limit=1&after=${after}`);
      seen.push(...keysOf(page), ...page.folders);
      after = page.after;
    }
    expect(seen).toEqual(['l/1', 'l/2', 'l/x/', 'l/y/', 'l/z']);
  });
});
