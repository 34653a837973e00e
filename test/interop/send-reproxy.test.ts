/**
 * Goal: `sendReproxy` answers the same way through node:http, Express and Fastify, and a client
 * behind nginx gets the bytes of a storage node with the headers of the application.
 * Method: one real cluster, the three frameworks as applications, each behind a real nginx.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient, type ReproxyAnswerOptions, sendReproxy } from '@omgfs/client';
import Fastify from 'fastify';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FrontProxy, startNginx, startPerlbal } from '../helpers/proxies.ts';

const domain = 'adapters';
const picture = randomBytes(50_000);
const options: ReproxyAnswerOptions = {
  shape: 'nginx',
  contentType: 'image/png',
  disposition: 'inline',
  filename: 'Kätzchen.png',
  cacheControl: 'max-age=60',
  etag: 'of-the-application',
};

let cluster: LocalCluster;
let client: Client;
beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain });
  client = createClient({ trackers: cluster.trackers, domain });
  await client.put('a.png', picture);
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

interface Application {
  url: string;
  stop(): Promise<void>;
}

async function listening(server: Server): Promise<Application> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const stop = async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${typeof bound === 'object' && bound ? bound.port : 0}`, stop };
}

const pathsOf = (url = '') => client.paths(url.replace('/files/', ''), { count: 3 });

async function answer(url: string | undefined, response: ServerResponse): Promise<void> {
  try {
    const paths = await pathsOf(url);
    response.setHeader('X-Own', 'kept');
    sendReproxy(response, paths, options);
  } catch {
    response.writeHead(404).end();
  }
}

const startNode = () => listening(createServer(({ url }, response) => answer(url, response)));

type Handler = (incoming: { url: string }, response: ServerResponse) => Promise<void>;

/** Express has no types of its own. */
async function startExpress(): Promise<Application> {
  const express: () => RequestListener & { get(path: string, handler: Handler): void } =
    createRequire(import.meta.url)('express');
  const application = express();
  application.get('/files/:key', ({ url }, response) => answer(url, response));
  return listening(createServer(application));
}

async function startFastify(): Promise<Application> {
  const application = Fastify();
  application.get('/files/:key', async ({ url }, reply) => {
    const paths = await pathsOf(url).catch(() => undefined);
    if (paths === undefined) return reply.code(404).send();
    reply.header('X-Own', 'kept');
    return sendReproxy(reply, paths, options);
  });
  const url = await application.listen({ host: '127.0.0.1', port: 0 });
  return { url, stop: () => application.close() };
}

test('Perlbal keeps the tag of the application and refuses a replica of another size', async () => {
  let sizeBytes = picture.length;
  const own: ReproxyAnswerOptions = { ...options, shape: 'perlbal' };
  const application = await listening(
    createServer(async ({ url }, response) => {
      const paths = await pathsOf(url).catch(() => undefined);
      if (paths === undefined) response.writeHead(404).end();
      else sendReproxy(response, paths, { ...own, sizeBytes });
    }),
  );
  const proxy = await startPerlbal(application.url);
  try {
    const { statusCode, headers, body } = await request(`${proxy.url}/files/a.png`);
    expect(Buffer.from(await body.arrayBuffer()).equals(picture)).toBe(true);
    expect(statusCode).toBe(200);
    expect(headers).toMatchObject({ etag: '"of-the-application"', 'content-type': 'image/png' });
    sizeBytes += 1;
    const refused = await request(`${proxy.url}/files/a.png`);
    await refused.body.dump();
    expect(refused.statusCode).toBe(503);
  } finally {
    await proxy.stop();
    await application.stop();
  }
});

describe.each([
  ['node:http', startNode],
  ['Express', startExpress],
  ['Fastify', startFastify],
])('%s', (_, start) => {
  let application: Application;
  let proxy: FrontProxy;
  beforeAll(async () => {
    application = await start();
    proxy = await startNginx(application.url);
  });
  afterAll(async () => {
    await proxy?.stop();
    await application?.stop();
  });

  async function fetchFile(
    from: { url: string },
    extra: { method?: 'HEAD'; headers?: object } = {},
  ) {
    const { method = 'GET', headers = {} } = extra;
    const response = await request(`${from.url}/files/a.png`, { method, headers: { ...headers } });
    const body = Buffer.from(await response.body.arrayBuffer());
    return { status: response.statusCode, headers: response.headers, body };
  }

  test('the application sends headers and no bytes', async () => {
    const { status, headers, body } = await fetchFile(application);
    expect({ status, bytes: body.length }).toEqual({ status: 200, bytes: 0 });
    expect(headers).toMatchObject({
      'x-accel-redirect': '/reproxy',
      'x-reproxy-url': (await pathsOf('a.png')).join(' '),
      'content-type': 'image/png',
      etag: '"of-the-application"',
      'x-own': 'kept',
    });
  });

  test('a client gets the bytes with the headers of the application', async () => {
    const { status, headers, body } = await fetchFile(proxy);
    expect(status).toBe(200);
    expect(body.equals(picture)).toBe(true);
    expect(headers).toMatchObject({
      'content-type': 'image/png',
      'content-disposition': `inline; filename="Katzchen.png"; filename*=UTF-8''K%C3%A4tzchen.png`,
      'content-length': String(picture.length),
      'cache-control': 'max-age=60',
    });
  });

  test('HEAD and a range are what they are', async () => {
    const head = await fetchFile(proxy, { method: 'HEAD' });
    expect({ status: head.status, bytes: head.body.length }).toEqual({ status: 200, bytes: 0 });
    expect(head.headers['content-length']).toBe(String(picture.length));
    const part = await fetchFile(proxy, { headers: { range: 'bytes=10-19' } });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes 10-19/${picture.length}`);
    expect(part.body.equals(picture.subarray(10, 20))).toBe(true);
  });

  test('a condition is met by the tag of the application and by that of the node', async () => {
    const { headers } = await fetchFile(proxy);
    for (const tag of ['"of-the-application"', String(headers.etag)]) {
      const { status, body } = await fetchFile(proxy, { headers: { 'if-none-match': tag } });
      expect({ tag, status, bytes: body.length }).toEqual({ tag, status: 304, bytes: 0 });
    }
    const other = await fetchFile(proxy, { headers: { 'if-none-match': '"other"' } });
    expect(other.status).toBe(200);
  });
});
