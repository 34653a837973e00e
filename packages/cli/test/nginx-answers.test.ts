/**
 * Goal: with `--answer-cache` nginx asks the application once for what it may keep, gives it to
 * nobody else, forgets it in time, and asks anew when the kept addresses do not serve.
 * Method: a real nginx with the written files; the application and two storage nodes are servers
 * that record every request and answer as each test says.
 */
import { chmod, mkdtemp } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ReproxyAnswerOptions, sendReproxy } from '@omgfs/client';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../test/helpers/ports.ts';
import { type FrontProxy, startNginxIn } from '../../../test/helpers/proxies.ts';
import { cut, type Recorder, record, serve, status } from '../../../test/helpers/recorder.ts';
import { until } from '../../../test/helpers/wait.ts';
import type { AnswersFor } from '../src/nginx/answers.ts';
import { writeNginxConfig } from '../src/nginx/write.ts';

let application: Recorder;
const nodes: Recorder[] = [];
/** Whose kept answers only ever serve the same user, and whose serve everyone. */
let personal: FrontProxy;
let common: FrontProxy;
/** What the application says of a file. */
let options: ReproxyAnswerOptions;
let paths: string[];
let names = 0;

const answer: RequestListener = ({ url }, response) => {
  if (url === '/files/none') response.writeHead(404).end('no such file');
  else sendReproxy(response, paths, options);
};

async function start(keptFor: AnswersFor): Promise<FrontProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-nginx-answers-'));
  // The workers of an nginx that root started are somebody else.
  await chmod(dir, 0o755);
  const hosts = nodes.map(({ url }, at) => ({
    ...{ hostid: at + 1, name: `node${at}`, status: 'alive' as const, ip: new URL(url).hostname },
    ...{ port: Number(new URL(url).port), getport: null, altip: null, altmask: null },
  }));
  const port = await freePort();
  await writeNginxConfig({ hosts: async () => hosts }, dir, {
    application: application.url.replace('http://', ''),
    listen: `127.0.0.1:${port}`,
    keepalive: 4,
    answers: { dir: 'answers', path: '/files/', keptFor },
  });
  return startNginxIn(dir, port);
}

beforeAll(async () => {
  application = await record(answer);
  nodes.push(await record(serve), await record(serve, '127.0.0.2'));
  [personal, common] = await Promise.all([start('user'), start('everyone')]);
});
afterAll(async () => {
  await Promise.all([personal?.stop(), common?.stop()]);
  for (const one of [application, ...nodes]) one?.stop();
});
beforeEach(() => {
  application.answer = answer;
  for (const node of nodes) node.answer = serve;
  for (const one of [application, ...nodes]) one.seen.length = 0;
  paths = nodes.map(({ url }) => `${url}/dev9/0/000/000/0000000007.fid`);
  options = { shape: 'nginx', contentType: 'image/png', cacheSeconds: 3600 };
  // No test is to find the answer of another.
  names += 1;
});

interface Ask {
  method?: 'GET' | 'HEAD' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  /** Below /files/. */
  name?: string;
}

async function ask(proxy: FrontProxy, { name = `${names}.png`, ...asked }: Ask = {}) {
  const response = await request(`${proxy.url}/files/${name}`, { method: 'GET', ...asked });
  const { statusCode, headers } = response;
  return { status: statusCode, headers, text: await response.body.text() };
}

const as = (user: string) => ({ headers: { cookie: `session=${user}` } });
const asked = () => application.seen.length;

describe('a kept answer', () => {
  test('serves the same user without another question, headers and all', async () => {
    options = {
      ...options,
      ...{ filename: 'cat.png', disposition: 'inline', cacheControl: 'private, max-age=60' },
    };
    application.answer = (incoming, response) => {
      response.setHeader('X-Content-Type-Options', 'nosniff');
      answer(incoming, response);
    };
    const [first, second] = [await ask(personal, as('ann')), await ask(personal, as('ann'))];
    expect(asked()).toBe(1);
    expect(application.seen[0]?.headers.cookie).toBe('session=ann');
    for (const { status: code, headers, text } of [first, second]) {
      expect({ code, text }).toEqual({ code: 200, text: '0123456789' });
      expect(headers).toMatchObject({
        'content-type': 'image/png',
        'content-disposition': 'inline; filename="cat.png"',
        'cache-control': 'private, max-age=60',
        'x-content-type-options': 'nosniff',
        etag: '"7-10"',
      });
      expect(headers).not.toHaveProperty('x-reproxy-url');
    }
    expect(nodes[0]?.seen.map(({ headers }) => headers.cookie)).toEqual([undefined, undefined]);
  });

  test('serves HEAD and parts, and lets the storage node see conditions', async () => {
    await ask(personal);
    const head = await ask(personal, { method: 'HEAD' });
    expect([head.status, head.text, head.headers['content-length']]).toEqual([200, '', '10']);
    const part = await ask(personal, { headers: { range: 'bytes=2-4' } });
    expect([part.status, part.text]).toEqual([206, '234']);
    await ask(personal, { headers: { 'if-none-match': '"7-10"' } });
    const seen = nodes[0]?.seen.at(-1)?.headers;
    expect(seen).toMatchObject({ 'if-none-match': '"7-10"' });
    expect(asked()).toBe(1);
  });

  test('never goes to another user', async () => {
    application.answer = (incoming, response) => {
      if (incoming.headers.cookie === 'session=ann') answer(incoming, response);
      else response.writeHead(403).end('not yours');
    };
    expect((await ask(personal, as('ann'))).status).toBe(200);
    for (const other of [as('bob'), {}, { headers: { authorization: 'session=ann' } }]) {
      expect(await ask(personal, other)).toMatchObject({ status: 403, text: 'not yours' });
    }
    expect((await ask(personal, as('ann'))).status).toBe(200);
    const users = application.seen.map(({ headers }) => headers.cookie);
    expect(users.filter((user) => user === 'session=ann').length).toBe(1);
  });

  test('goes to everyone only where the application and the operator say so', async () => {
    options = { ...options, cacheFor: 'everyone' };
    for (const user of ['ann', 'bob']) expect((await ask(common, as(user))).status).toBe(200);
    expect(asked()).toBe(1);
    for (const user of ['ann', 'bob']) expect((await ask(personal, as(user))).status).toBe(200);
    expect(asked()).toBe(3);
    options = { ...options, cacheFor: 'user' };
    const name = `${names}-private.png`;
    for (const user of ['ann', 'ann', 'bob']) {
      expect((await ask(common, { name, ...as(user) })).status).toBe(200);
    }
    const users = application.seen.slice(3).map(({ headers }) => headers.cookie);
    expect(new Set(users)).toEqual(new Set(['session=ann', 'session=bob']));
    expect(users.filter((user) => user === 'session=bob').length).toBeGreaterThan(0);
  });

  test('ends in time: who lost the right is refused', async () => {
    options = { ...options, cacheSeconds: 1 };
    expect((await ask(personal)).status).toBe(200);
    application.answer = status(403);
    await until('the answer to be forgotten', async () => (await ask(personal)).status === 403);
  });
});

describe('when replicas fail', () => {
  test('the next kept one serves, without a question', async () => {
    await ask(personal);
    for (const bad of [status(404), status(500), cut]) {
      if (nodes[0]) nodes[0].answer = bad;
      expect(await ask(personal)).toMatchObject({ status: 200, text: '0123456789' });
    }
    expect(asked()).toBe(1);
  });

  test('all that are kept, the application is asked anew', async () => {
    const [gone, there] = paths;
    paths = [String(gone)];
    options = { ...options, cacheControl: 'max-age=1' };
    await ask(personal);
    if (nodes[0]) nodes[0].answer = status(404);
    paths = [String(there)];
    options = { ...options, cacheControl: 'max-age=2' };
    const { status: code, text, headers } = await ask(personal);
    expect({ code, text }).toEqual({ code: 200, text: '0123456789' });
    expect(headers['cache-control']).toBe('max-age=2');
    expect(asked()).toBe(2);
    application.answer = status(410);
    expect((await ask(personal)).status).toBe(410);
  });

  test('and all that it names then, the client gets an error', async () => {
    paths = [...paths, ...paths.slice(0, 1)];
    await ask(personal);
    for (const node of nodes) node.answer = cut;
    expect((await ask(personal)).status).toBe(503);
    expect(asked()).toBe(2);
  });
});

describe('asked for each time, and passed on as it is, is', () => {
  const redirect: RequestListener = (_, response) =>
    response.writeHead(302, { location: '/login', 'x-accel-expires': '60' }).end();
  const page: RequestListener = (_, response) =>
    response.writeHead(200, { 'x-accel-expires': '60', 'x-reproxy-for': 'user' }).end('a page');
  const withCookie: RequestListener = (incoming, response) => {
    response.setHeader('Set-Cookie', 'a=b');
    answer(incoming, response);
  };
  const teapot: RequestListener = (_, response) => response.writeHead(418).end('short and stout');
  test.each<[string, RequestListener, object]>([
    ['a redirect', redirect, { status: 302, headers: { location: '/login' } }],
    ['a page', page, { status: 200, text: 'a page' }],
    ['an error', status(404), { status: 404, text: 'no' }],
    ['an unusual error', teapot, { status: 418, text: 'short and stout' }],
    ['a refusal', status(401), { status: 401, text: 'no' }],
    ['what sets a cookie', withCookie, { status: 200, headers: { 'set-cookie': 'a=b' } }],
  ])('%s', async (_, given, expected) => {
    application.answer = given;
    for (const _round of [1, 2]) {
      const before = asked();
      expect(await ask(personal)).toMatchObject(expected);
      expect(asked()).toBeGreaterThan(before);
    }
  });

  const withoutTime = () => ({ shape: 'nginx' as const, contentType: 'image/png' });
  test.each<[string, () => FrontProxy, () => ReproxyAnswerOptions]>([
    ['without a time', () => personal, withoutTime],
    ['that is not for everyone', () => common, () => ({ ...options, cacheFor: 'user' })],
  ])('a file %s, by one question', async (_, proxy, given) => {
    options = { ...given(), etag: '"v1"', cacheControl: 'no-cache' };
    for (const user of ['ann', 'bob', 'bob']) {
      application.seen.length = 0;
      expect(await ask(proxy(), as(user))).toMatchObject({
        ...{ status: 200, text: '0123456789' },
        headers: { 'content-type': 'image/png', 'cache-control': 'no-cache' },
      });
      expect(application.seen.map(({ headers }) => headers.cookie)).toEqual([`session=${user}`]);
    }
    // Which the application alone can judge, by a tag of its own.
    const known = { headers: { 'if-none-match': '"v1"' } };
    expect((await ask(proxy(), known)).status).toBe(304);
  });

  test('what is sent there', async () => {
    const bodyOf = ({ method, body }: { method: string; body: string }) => [method, body];
    await ask(personal);
    const sent: Ask = { method: 'POST', body: 'a comment' };
    expect((await ask(personal, sent)).status).toBe(200);
    expect(application.seen.map(bodyOf)).toEqual([
      ['GET', ''],
      ['POST', 'a comment'],
    ]);
  });

  test('and no client can ask in the place of nginx', async () => {
    const response = await request(`${personal.url}/omgfs-answer`);
    await response.body.dump();
    expect(response.statusCode).toBe(403);
    expect(asked()).toBe(0);
  });
});
