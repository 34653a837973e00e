/**
 * Goal: what deploy/nginx promises of each hop: which answers lead to the next replica, what of the
 * client's request reaches a storage node, and what of the two answers reaches the client.
 * Method: a real nginx between servers that record every request and answer as each test says.
 */
import type { RequestListener } from 'node:http';
import { reproxyHeaders } from '@omgfs/client';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type FrontProxy, startNginx } from '../helpers/proxies.ts';
import { bytes, cut, type Recorder, record, serve, status } from '../helpers/recorder.ts';

let proxy: FrontProxy;
let application: Recorder;
let nodes: Recorder[];
/** Replicas that the application names. */
let paths: string[];

const redirect: RequestListener = ({ url }, response) => {
  if (url === '/files/none') return response.writeHead(404).end();
  const headers = reproxyHeaders(paths, { shape: 'nginx' });
  return response
    .writeHead(200, {
      ...headers,
      'content-type': 'image/png',
      'content-disposition': 'inline; filename="a.png"',
      'cache-control': 'max-age=77',
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
      etag: '"of-the-application"',
    })
    .end('not the file');
};

beforeAll(async () => {
  application = await record(redirect);
  nodes = [await record(serve), await record(serve), await record(serve), await record(serve)];
  proxy = await startNginx(application.url);
});
afterAll(async () => {
  await proxy?.stop();
  for (const recorder of [application, ...(nodes ?? [])]) recorder?.stop();
});
beforeEach(() => {
  paths = nodes.map(({ url }, at) => `${url}/dev${at + 1}/0/000/000/0000000007.fid`);
  application.answer = redirect;
  for (const node of nodes) {
    node.seen.length = 0;
    node.answer = serve;
  }
});

async function fetchFile(options: { method?: 'GET' | 'HEAD' | 'POST'; headers?: object } = {}) {
  const { method = 'GET', headers = {} } = options;
  const response = await request(`${proxy.url}/files/a.png`, {
    method,
    headers: { ...headers },
    ...(method === 'POST' ? { body: 'form=data' } : {}),
  });
  const body = Buffer.from(await response.body.arrayBuffer());
  return { status: response.statusCode, headers: response.headers, body: String(body) };
}

const asked = () => nodes.map(({ seen }) => seen.length);

describe('a hop leads to the next one', () => {
  test.each([
    ['404', status(404)],
    ['500', status(500)],
    ['502', status(502)],
    ['503', status(503)],
    ['504', status(504)],
    ['a cut connection', cut],
  ])('at %s', async (_, answer) => {
    const [first, second] = nodes;
    if (first) first.answer = answer;
    expect(await fetchFile()).toMatchObject({ status: 200, body: String(bytes) });
    if (second) second.answer = answer;
    expect(await fetchFile()).toMatchObject({ status: 200, body: String(bytes) });
    expect(asked()).toEqual([2, 2, 1, 0]);
  });

  test('but not at an answer that the client asked for', async () => {
    for (const code of [304, 412, 416]) {
      const [first] = nodes;
      if (first) first.answer = status(code);
      expect((await fetchFile()).status).toBe(code);
    }
    expect(asked()).toEqual([3, 0, 0, 0]);
  });

  test('three at most', async () => {
    for (const node of nodes) node.answer = status(404);
    expect((await fetchFile()).status).toBe(404);
    expect(asked()).toEqual([1, 1, 1, 0]);
  });

  test('and past the last is 503', async () => {
    paths = paths.slice(0, 2);
    for (const node of nodes) node.answer = status(404);
    expect((await fetchFile()).status).toBe(503);
  });
});

test('nothing of the client but what selects bytes reaches a storage node', async () => {
  const [first] = nodes;
  if (first) first.answer = status(404);
  const secrets = { cookie: 'sid=1', authorization: 'Bearer x', 'x-api-key': 'k', referer: 'r' };
  await fetchFile({ headers: { ...secrets, range: 'bytes=2-4', 'if-none-match': '"1"' } });
  for (const { seen } of nodes.slice(0, 2)) {
    const { connection: _, ...headers } = seen[0]?.headers ?? {};
    expect(headers).toEqual({
      host: expect.stringMatching(/^127\.0\.0\.1:/),
      range: 'bytes=2-4',
      'if-none-match': '"1"',
    });
  }
  expect(application.seen.at(-1)?.headers).toMatchObject(secrets);
});

test('a range and a HEAD stay what they are, also at the second hop', async () => {
  const [first, second] = nodes;
  if (first) first.answer = status(500);
  const part = await fetchFile({ headers: { range: 'bytes=2-4' } });
  expect(part).toMatchObject({ status: 206, body: '234' });
  expect(part.headers['content-range']).toBe('bytes 2-4/10');
  const head = await fetchFile({ method: 'HEAD' });
  expect(head).toMatchObject({ status: 200, body: '' });
  expect(head.headers['content-length']).toBe('10');
  expect(second?.seen.map(({ method }) => method)).toEqual(['GET', 'HEAD']);
});

test('several ranges are answered with the whole file', async () => {
  const file = await fetchFile({ headers: { range: 'bytes=0-1,4-5' } });
  expect(file).toMatchObject({ status: 200, body: String(bytes) });
  expect(nodes[0]?.seen[0]?.headers.range).toBeUndefined();
});

test('a POST becomes a GET without a body', async () => {
  expect(await fetchFile({ method: 'POST' })).toMatchObject({ status: 200, body: String(bytes) });
  expect(nodes[0]?.seen[0]).toMatchObject({ method: 'GET', body: '' });
  expect(nodes[0]?.seen[0]?.headers['content-length']).toBeUndefined();
});

test('the client sees the application’s type, the node’s tag and no address', async () => {
  const [first] = nodes;
  if (first) first.answer = status(404);
  const { headers } = await fetchFile();
  expect(headers).toMatchObject({
    'content-type': 'image/png',
    'content-disposition': 'inline; filename="a.png"',
    'cache-control': 'max-age=77',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
    etag: '"7-10"',
  });
  expect(Object.keys(headers).filter((name) => /reproxy|accel/.test(name))).toEqual([]);
});

test('an application that names no replica gets its client a 503', async () => {
  application.answer = ({ url }, response) => {
    if (url === '/files/none') return response.writeHead(404).end();
    return response.writeHead(200, { 'x-accel-redirect': '/reproxy' }).end();
  };
  expect((await fetchFile()).status).toBe(503);
});

test('an answer of the application itself passes unchanged', async () => {
  application.answer = (_, response) => response.writeHead(403).end('not yours');
  expect(await fetchFile()).toMatchObject({ status: 403, body: 'not yours' });
  expect(asked()).toEqual([0, 0, 0, 0]);
});
