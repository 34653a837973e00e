/**
 * Goal: `omgfs nginx-config` writes a configuration with which a real nginx fetches from the hosts
 * of a real cluster, over connections that stay open, and from nowhere else.
 * Method: a real tracker knows a storage node and three servers that record every request and
 * answer as each test says; the built command writes the files, nginx runs them.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createAdmin, createClient, sendReproxy } from '@omgfs/client';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runOmgfs } from '../helpers/command-line.ts';
import { freePort } from '../helpers/ports.ts';
import { type FrontProxy, startNginxIn } from '../helpers/proxies.ts';
import { bytes, cut, type Recorder, record, serve, status } from '../helpers/recorder.ts';

const deployDir = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));
const domain = 'generated';

let cluster: LocalCluster;
let application: Recorder;
const nodes: Recorder[] = [];
let stranger: Recorder;
let dir: string;
let proxy: FrontProxy;
/** What the application names. */
let paths: string[];

const omgfs = (...args: string[]) =>
  runOmgfs(['--tracker', cluster.trackers.join(','), ...args], { cwd: tmpdir() });
const pathOn = ({ url }: Recorder) => `${url}/dev9/0/000/000/0000000007.fid`;
const portOf = ({ url }: Recorder) => Number(new URL(url).port);
const answer: RequestListener = ({ url }, response) => {
  if (url === '/files/none') response.writeHead(404).end();
  else sendReproxy(response, paths, { shape: 'nginx', contentType: 'image/png' });
};

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain });
  application = await record(answer);
  // The tables allow one host for each address.
  for (const at of [1, 2, 3]) nodes.push(await record(serve, `127.0.9.${at}`));
  stranger = await record(serve, '127.0.9.9');
  const admin = createAdmin({ trackers: cluster.trackers });
  for (const [at, node] of nodes.entries()) {
    const name = `recorder${at}`;
    const port = portOf(node);
    // Trackers name the port for reads where there is one.
    const ports = at === 0 ? { port: 1, getport: port } : { port };
    await admin.createHost({ name, ip: `127.0.9.${at + 1}`, ...ports, status: 'alive' });
  }
  const dead = { name: 'gone', ip: '127.0.9.9', port: portOf(stranger) } as const;
  await admin.createHost({ ...dead, status: 'alive' });
  await admin.updateHost({ name: 'gone', status: 'dead' });
  await admin.close();

  dir = await mkdtemp(join(tmpdir(), 'omgfs-nginx-config-'));
  const port = await freePort();
  const target = application.url.replace('http://', '');
  const listen = `127.0.0.1:${port}`;
  const flags = ['--out', dir, '--application', target, '--listen', listen];
  const ran = await omgfs('nginx-config', ...flags);
  expect(ran).toMatchObject({ code: 0, err: '' });
  proxy = await startNginxIn(dir, port);
});
afterAll(async () => {
  await proxy?.stop();
  for (const one of [application, stranger, ...nodes]) one?.stop();
  await cluster?.stop();
});
beforeEach(() => {
  paths = nodes.map(pathOn);
  for (const node of [...nodes, stranger]) {
    node.seen.length = 0;
    node.answer = serve;
  }
});

async function fetchFile() {
  const response = await request(`${proxy.url}/files/a.png`);
  const body = Buffer.from(await response.body.arrayBuffer());
  return { status: response.statusCode, type: response.headers['content-type'], body };
}

const whole = { status: 200, type: 'image/png', body: bytes };

describe('the first replica', () => {
  test.each([
    ['answers 404', status(404)],
    ['answers 500', status(500)],
    ['cuts the connection', cut],
    ['hangs', () => {}],
  ] as [string, RequestListener][])('%s: the second serves', async (_, bad) => {
    const [first, second] = nodes;
    if (first) first.answer = bad;
    expect(await fetchFile()).toEqual(whole);
    expect(second?.seen.length).toBe(1);
  });

  test('is refused: the second serves, bytes of a real storage node', async () => {
    const client = createClient({ trackers: cluster.trackers, domain });
    const picture = randomBytes(100_000);
    await client.put('a.png', picture);
    const own = await client.paths('a.png');
    await client.close();
    const stopped = nodes[2];
    stopped?.stop();
    paths = [...nodes.slice(2).map(pathOn), ...own];
    expect(await fetchFile()).toEqual({ ...whole, body: picture });
  });
});

test('connections to a storage node are used again', async () => {
  for (let count = 0; count < 12; count += 1) expect(await fetchFile()).toEqual(whole);
  const seen = nodes[0]?.seen ?? [];
  expect(seen.length).toBe(12);
  // Without upstream blocks every request has its own. A worker of nginx has connections of its
  // own, and the client may reach several.
  expect(new Set(seen.map(({ from }) => from)).size).toBeLessThan(6);
});

describe('an application leads nowhere else', () => {
  test.each([
    ['to a stranger, which was a host until it died', () => pathOn(stranger)],
    [
      'with a password that looks like a host',
      () => `${nodes[1]?.url}@127.0.9.9:${portOf(stranger)}/`,
    ],
    ['to a host that begins like one', () => `${nodes[1]?.url}0/`],
    ['by https', () => pathOn(stranger).replace('http', 'https')],
    ['to a file', () => 'unix:/tmp/x:/'],
    ['to the name of a block', () => 'http://omgfs-1/dev9/x.fid'],
  ])('%s', async (_, foreign) => {
    application.answer = ({ url }, response) => {
      if (url === '/files/none') return response.writeHead(404).end();
      const urls = paths.join(' ');
      return response
        .writeHead(200, { 'x-accel-redirect': '/reproxy', 'x-reproxy-url': urls })
        .end();
    };
    try {
      paths = [foreign()];
      expect((await fetchFile()).status).toBe(503);
      paths = [foreign(), ...nodes.slice(0, 1).map(pathOn)];
      expect((await fetchFile()).status).toBe(200);
      expect(stranger.seen).toEqual([]);
    } finally {
      application.answer = answer;
    }
  });

  test('and a client nowhere at all', async () => {
    const headers = { 'x-reproxy-url': pathOn(stranger) };
    const { statusCode, body } = await request(`${proxy.url}/reproxy`, { headers });
    await body.dump();
    expect(statusCode).toBe(404);
  });
});

describe('a cache', () => {
  let cached: FrontProxy;
  let onSocket: Server | undefined;
  beforeAll(async () => {
    const own = await mkdtemp(join(tmpdir(), 'omgfs-nginx-cache-'));
    // The workers of an nginx that root started are somebody else.
    await chmod(own, 0o755);
    const port = await freePort();
    const socket = join(own, 'application.sock');
    onSocket = createServer((incoming, response) => application.answer(incoming, response));
    await new Promise<void>((resolve) => onSocket?.listen(socket, resolve));
    await chmod(socket, 0o777);
    const target = `unix:${socket}`;
    const flags = ['--application', target, '--listen', `127.0.0.1:${port}`, '--cache', 'cache'];
    expect(await omgfs('nginx-config', '--out', own, ...flags)).toMatchObject({ code: 0, err: '' });
    cached = await startNginxIn(own, port);
  });
  afterAll(async () => {
    await cached?.stop();
    onSocket?.close();
    onSocket?.closeAllConnections();
  });

  const fidPath = (node: Recorder | undefined, fid: number, device = 9) =>
    `${node?.url}/dev${device}/0/000/000/000000000${fid}.fid`;
  const read = async (options: { method?: 'GET' | 'HEAD'; headers?: object } = {}) => {
    const { method = 'GET', headers = {} } = options;
    const response = await request(`${cached.url}/files/a.png`, {
      method,
      headers: { ...headers },
    });
    const body = await response.body.text();
    return { status: response.statusCode, type: response.headers['content-type'], body };
  };
  const good = { status: 200, type: 'image/png', body: String(bytes) };

  test('answers for the storage nodes, by fid, whatever the replica', async () => {
    const [first, second] = nodes;
    paths = [fidPath(first, 1)];
    expect(await read()).toEqual(good);
    expect(first?.seen.length).toBe(1);
    paths = [`${fidPath(second, 1, 3)}?sig=other`, fidPath(first, 1)];
    expect(await read()).toEqual(good);
    for (const node of nodes) node.answer = cut;
    expect(await read()).toEqual(good);
    expect([first?.seen.length, second?.seen.length]).toEqual([1, 0]);
  });

  test('asks the application each time', async () => {
    paths = [fidPath(nodes[0], 2)];
    expect(await read()).toEqual(good);
    application.answer = status(403);
    expect((await read()).status).toBe(403);
    application.answer = answer;
    const etag = '"7-10"';
    expect((await read({ headers: { 'if-none-match': etag } })).status).toBe(304);
    expect(nodes[0]?.seen.length).toBe(1);
  });

  test('keeps what a later replica sent under the fid of that one', async () => {
    const [first, second] = nodes;
    if (first) first.answer = status(404);
    paths = [fidPath(first, 3), fidPath(second, 4)];
    expect(await read()).toEqual(good);
    paths = [fidPath(first, 3)];
    expect((await read()).status).toBe(503);
    paths = [fidPath(first, 4)];
    expect(await read()).toEqual(good);
  });

  test('leaves parts, questions and other addresses to the storage node', async () => {
    const [first] = nodes;
    const part = { headers: { range: 'bytes=2-4' } };
    paths = [fidPath(first, 5)];
    expect(await read(part)).toEqual({ ...good, status: 206, body: '234' });
    expect(await read({ method: 'HEAD' })).toEqual({ ...good, body: '' });
    expect(await read()).toEqual(good);
    expect(await read(part)).toEqual({ ...good, status: 206, body: '234' });
    expect(first?.seen.map(({ method }) => method)).toEqual(['GET', 'HEAD', 'GET', 'GET']);
    paths = [`${first?.url}/dev9/other`];
    for (let count = 0; count < 2; count += 1) expect(await read()).toEqual(good);
    expect(first?.seen.length).toBe(6);
  });

  test('keeps no large files', async () => {
    const [first] = nodes;
    const large = Buffer.alloc(10_000_000, 'x');
    if (first) {
      first.answer = (_, response) => {
        response.writeHead(200, { 'content-length': large.length }).end(large);
      };
    }
    paths = [fidPath(first, 6)];
    for (let count = 0; count < 2; count += 1) {
      expect((await read()).body.length).toBe(large.length);
    }
    expect(first?.seen.length).toBe(2);
  });
});

test('deploy/nginx has the same files, for any target', async () => {
  const own = await mkdtemp(join(tmpdir(), 'omgfs-nginx-same-'));
  const ran = await omgfs('nginx-config', '--out', own, '--application', '127.0.0.1:8080');
  expect(ran.code).toBe(0);
  const names = await readdir(own);
  expect(names.length).toBe(4);
  expect(await readdir(deployDir)).toEqual(expect.arrayContaining(names));
  for (const name of names.filter((one) => one !== 'omgfs-targets.conf')) {
    const written = await readFile(join(own, name), 'utf8');
    expect(written).toBe(await readFile(join(deployDir, name), 'utf8'));
  }
  await rm(own, { recursive: true });
});

test('without a directory it prints the part with the hosts, for scripts as JSON', async () => {
  const text = String((await omgfs('nginx-config')).out);
  expect(text).toBe(await readFile(join(dir, 'omgfs-targets.conf'), 'utf8'));
  const lines = String((await omgfs('--json', 'nginx-config')).out)
    .trim()
    .split('\n');
  const ports = lines.map((line) => (JSON.parse(line) as { port: number }).port);
  expect(ports).toEqual(expect.arrayContaining(nodes.map(portOf)));
  expect(ports).not.toContain(portOf(stranger));
});

test.each([
  ['--application', '127.0.0.1:8080'],
  ['--out', 'x', '--application', '127.0.0.1:80;evil'],
  ['--out', 'x', '--application', '8080'],
  ['--out', 'x', '--application', 'unix:app.sock'],
  ['--out', 'x', '--listen', '80 default_server'],
  ['--out', 'x', '--cache', '/var/cache; evil'],
  ['--cache', 'x', '--cache-size', 'much'],
  ['--answer-cache', 'a b'],
  ['--answer-cache', 'x', '--answer-path', 'files;'],
  ['--answer-cache', 'x', '--answers-for', 'nobody'],
])('%s %s %s %s is wrong usage', async (...args) => {
  expect((await omgfs('nginx-config', ...args.filter((arg) => arg !== undefined))).code).toBe(2);
});
