/**
 * Goal: what is wrong, cut, too large or not allowed is refused in words, leaves nothing, and harms
 * nobody else. Method: a real cluster with tokens and a limit; raw sockets where no client library
 * would do such a thing.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';
import { type AskOptions, FilesSite, json, storedFids } from './site.ts';

let cluster: LocalCluster;
let site: FilesSite;
let tus: FilesSite;
/** A resumable upload that nobody goes on with, and where its part is stored. */
let abandoned: { url: string; parts: string[] };

beforeAll(async () => {
  cluster = await startLocalCluster({
    ...{ hosts: 2, devicesPerHost: 1, domain: 'main' },
    extraTrackerArgs: [
      ...['--http_token', 'secret', '--http_read_token', 'look'],
      ...['--http_upload_mb', '1', '--http_transfers', '8'],
      // Seven seconds.
      ...['--http_resume_hours', '0.002'],
    ],
  });
  site = new FilesSite(`${cluster.apis[0]}/files/`, { authorization: 'Bearer secret' });
  tus = new FilesSite(cluster.apis[0] ?? '', {
    ...{ authorization: 'Bearer secret', 'tus-resumable': '1.0.0' },
  });
  abandoned = await abandonUpload();
});
afterAll(() => cluster?.stop());

afterEach(async () => {
  const health = new FilesSite(cluster.apis[0] ?? '');
  expect((await health.ask('GET', '/healthz')).status).toBe(200);
  expect(cluster.trackerDaemons[0]?.pid).toBeDefined();
});

async function abandonUpload() {
  const headers = {
    'upload-length': '10',
    'upload-metadata': `key ${Buffer.from('abandoned').toString('base64')}`,
    'content-type': 'application/offset+octet-stream',
  };
  const begun = await tus.ask('POST', '/tus/main', { headers, body: 'half' });
  expect([begun.status, begun.headers['upload-offset']]).toEqual([201, '4']);
  return { url: String(begun.headers.location), parts: await storedFids(cluster) };
}

async function refusal(method: string, path: string, options: AskOptions = {}) {
  const answer = await site.ask(method, path, options);
  return [answer.status, json(answer).error.code];
}

const put = (key: string, rest = '') =>
  `PUT /files/main/${key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n${rest}`;

describe('addresses', () => {
  test('keys are bytes, whatever a file system would make of them', async () => {
    for (const key of [
      '..',
      'a/../../b',
      'nul%00byte',
      '%2e%2e%2fetc',
      '%C3%BC',
      '%25',
      'a%3Fb',
      '/',
    ]) {
      const wire = await site.wire(`${put(key)}Content-Length: 2\r\n\r\nok`);
      expect([key, await wire.status()]).toEqual([key, 201]);
      const get = put(key, 'Connection: close\r\n\r\n').replace('PUT', 'GET');
      wire.socket.write(get);
      await until(`the file ${key}`, () => wire.socket.destroyed);
      expect([key, wire.text.slice(-2)]).toEqual([key, 'ok']);
    }
    const { files } = json(await site.ask('GET', 'main/'));
    expect(files.map(({ key }: { key: string }) => key)).toContain('nul\0byte');
  });

  test('what no file can have is refused before its body is sent', async () => {
    const body = 'x';
    expect(await refusal('PUT', 'main/', { body })).toEqual([400, 'NO_KEY']);
    expect(await refusal('PUT', `main/${'k'.repeat(256)}`, { body })).toEqual([
      400,
      'KEY_TOO_LONG',
    ]);
    expect(await refusal('PUT', 'none/key', { body })).toEqual([404, 'UNREG_DOMAIN']);
    expect(await refusal('PUT', 'main/k?class=none', { body })).toEqual([404, 'UNREG_CLASS']);
    expect(await refusal('PUT', 'main/k?replicas=9', { body })).toEqual([400, 'BAD_REQUEST']);
    expect(await refusal('GET', 'main/%zz')).toEqual([400, 'BAD_REQUEST']);
    expect(await refusal('GET', 'main/?limit=0')).toEqual([400, 'BAD_REQUEST']);
    expect(await refusal('GET', 'main/?prefix=a&after=b')).toEqual([400, 'AFTER_MISMATCH']);
    expect(await refusal('GET', 'none/')).toEqual([404, 'UNREG_DOMAIN']);
    // A terabyte that nobody has to send.
    const wire = await site.wire(`${put('huge')}Content-Length: 1099511627776\r\n\r\n`);
    expect(await wire.status()).toBe(413);
    wire.socket.destroy();
  });
});

describe('what nothing of ours is asked about', () => {
  /** What is sent, what is answered, and what of the request or the way on the words name. */
  const requests: [string, number, string, string][] = [
    [put('x', 'Content-Length: \r\n\r\n'), 400, 'BAD_REQUEST', 'Content-Length'],
    [put('x', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\n'), 400, 'BAD_REQUEST', 'Duplicate'],
    [put('x', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n'), 400, 'BAD_REQUEST', 'chunk size'],
    [put('x', `X: ${'x'.repeat(20_000)}\r\n\r\n`), 431, 'BAD_REQUEST', 'shorten'],
    [put('x', 'Expect: more\r\nContent-Length: 1\r\n\r\n'), 417, 'BAD_REQUEST', "'more'"],
    [put('x', 'Content-Length: 1\r\nContent-Type: ;\r\n\r\nx'), 415, 'UNSUPPORTED_TYPE', "';'"],
    ['BREW / HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'BAD_REQUEST', 'method'],
    ['GET /files/main/x HTTP/1.1\r\n\r\n', 400, 'BAD_REQUEST', 'Host'],
    [put('x', '\r\n').replace('PUT', 'PATCH'), 405, 'METHOD_NOT_ALLOWED', 'GET, HEAD, PUT'],
    [put('a%zz', '\r\n').replace('PUT', 'GET'), 400, 'BAD_REQUEST', '/files/main/a%zz'],
    [put('none', '\r\n').replace('PUT', 'GET'), 404, 'UNKNOWN_KEY', "key 'none'"],
    [put('x?class=none', 'Content-Length: 0\r\n\r\n'), 404, 'UNREG_CLASS', 'class add main none'],
  ];

  test.each(requests)('%s', async (text, status, code, names) => {
    const wire = await site.wire(text);
    expect(await wire.status()).toBe(status);
    await until('the whole answer', () => /\r\n\r\n.*}}/s.test(wire.text));
    const [, body = ''] = /\r\n\r\n[^{]*({.*}})/s.exec(wire.text) ?? [];
    const { error } = JSON.parse(body);
    expect(error).toEqual({ code, retry: 'never', message: expect.stringContaining(names) });
    wire.socket.destroy();
  });

  test('an answer before it on the same connection is whole, and the last', async () => {
    await site.ask('PUT', 'main/before', { body: 'x'.repeat(1_000_000) });
    const wire = await site.wire(
      `${put('before', '\r\n').replace('PUT', 'GET')}no request\r\n\r\n`,
    );
    await until('the end', () => wire.socket.destroyed);
    const [head = '', body = ''] = wire.text.split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1.1 200 /);
    expect(body).toBe('x'.repeat(1_000_000));
  });
});

describe('who may', () => {
  test('read with the one token, write with the other, and nothing without', async () => {
    await site.ask('PUT', 'main/mine', { body: 'x' });
    const by = async (method: string, token?: string) => {
      const headers = { authorization: token === undefined ? '' : `Bearer ${token}` };
      const body = method === 'PUT' ? { body: 'y' } : {};
      return (await site.ask(method, 'main/mine', { headers, ...body })).status;
    };
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expect([await by(method), await by(method, 'guess')]).toEqual([401, 401]);
    }
    expect([await by('GET', 'look'), await by('PUT', 'look')]).toEqual([200, 401]);
    expect((await site.ask('GET', 'main/mine')).body.toString()).toBe('x');
  });

  test('a client that asks before it sends is told at once', async () => {
    const expectation = 'Content-Length: 2\r\nExpect: 100-continue\r\n\r\n';
    const good = await site.wire(put('asked', expectation));
    await until('the go-ahead', () => good.text.includes('HTTP/1.1 100'));
    good.socket.write('ok');
    expect(await good.status()).toBe(201);
    const bad = await site.wire(put('asked', expectation).replace('secret', 'guess'));
    expect(await bad.status()).toBe(401);
    expect(bad.text).not.toContain('HTTP/1.1 100');
    const long = await site.wire(put('asked', expectation.replace('2', '2000000')));
    expect(await long.status()).toBe(413);
    expect(long.text).not.toContain('HTTP/1.1 100');
    for (const { socket } of [good, bad, long]) socket.destroy();
  });
});

describe('bodies', () => {
  test('too long, cut or another than announced: nothing is stored, the old stays', async () => {
    await site.ask('PUT', 'main/old', { body: 'old' });
    const before = (await storedFids(cluster)).length;
    async function* long() {
      for (let at = 0; at < 20; at += 1) yield randomBytes(100_000);
    }
    expect(await refusal('PUT', 'main/old', { body: Readable.from(long()) })).toEqual([
      413,
      'BODY_TOO_LARGE',
    ]);
    const cut = await site.wire(
      `${put('old')}Content-Length: 1000000\r\n\r\n${'x'.repeat(400_000)}`,
    );
    cut.socket.destroySoon();
    const headers = { 'content-md5': Buffer.alloc(16).toString('base64') };
    expect(await refusal('PUT', 'main/old', { body: 'new', headers })).toEqual([400, 'BAD_DIGEST']);
    const part = { 'content-range': 'bytes 0-2/9' };
    expect((await site.ask('PUT', 'main/old', { body: 'new', headers: part })).status).toBe(400);
    const zipped = { 'content-encoding': 'gzip' };
    expect((await site.ask('PUT', 'main/old', { body: 'new', headers: zipped })).status).toBe(400);
    expect((await site.ask('GET', 'main/old')).body.toString()).toBe('old');
    await until('nothing to be left on the disks', async () => {
      const fids = await storedFids(cluster);
      // The replicator copies what was there before.
      return new Set(fids.map((name) => name.replace(/.*\//s, ''))).size <= before;
    });
  });

  test('more said of a file than is kept is refused, and so are endless headers', async () => {
    const body = 'x';
    const long = { 'x-meta-long': 'x'.repeat(9_000) };
    expect(await refusal('PUT', 'main/said', { body, headers: long })).toEqual([400, 'BAD_PARAMS']);
    const odd = { 'x-meta-odd!': 'x' };
    expect(await refusal('PUT', 'main/said', { body, headers: odd })).toEqual([400, 'BAD_PARAMS']);
    const wire = await site.wire(put('said', `X-Meta-A: ${'x'.repeat(100_000)}\r\n\r\n`));
    expect(await wire.status()).toBe(431);
    expect((await site.ask('HEAD', 'main/said')).status).toBe(404);
  });

  test('more at once than is allowed are told to come again', async () => {
    const held = await Promise.all(
      Array.from({ length: 8 }, () => site.wire(`${put('held')}Content-Length: 10\r\n\r\nx`)),
    );
    await until('the ninth to be refused', async () => {
      const { status, headers } = await site.ask('HEAD', 'main/mine');
      return status === 503 && headers['retry-after'] === '1';
    });
    for (const { socket } of held) socket.destroy();
    await until('room again', async () => (await site.ask('HEAD', 'main/mine')).status === 200);
  });
});

describe('forms', () => {
  const boundary = 'b';
  const type = { 'content-type': `multipart/form-data; boundary=${boundary}` };
  const field = (name: string, value: string) =>
    `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const file = (name: string, value: string) =>
    `--b\r\nContent-Disposition: form-data; name="f"; filename="${name}"\r\n` +
    `Content-Type: image/png\r\n\r\n${value}\r\n`;
  const post = (body: string) => site.ask('POST', 'main/form/', { body, headers: type });

  test('every file of a form is stored, under its name or the key that it names', async () => {
    const body =
      field('x-meta-by', 'me') + file('a.png', 'AAA') + field('key', 'other/key') + file('b', 'B');
    const answer = await post(`${body + file('', '')}--b--\r\n`);
    expect([answer.status, json(answer).files.map(({ key }: { key: string }) => key)]).toEqual([
      201,
      ['form/a.png', 'other/key'],
    ]);
    const read = await site.ask('GET', 'main/form/a.png');
    expect(read.body.toString()).toBe('AAA');
    expect(read.headers).toMatchObject({ 'content-type': 'image/png', 'x-meta-by': 'me' });
    expect((await site.ask('GET', 'main/other/key')).body.toString()).toBe('B');
  });

  test('which file of a form is refused is said, and what is stored all the same', async () => {
    const classed = `${field('class', 'none')}${file('second.png', 'x')}`;
    const answer = await post(`${file('first.png', 'x')}${classed}--b--`);
    expect(answer.status).toBe(404);
    expect(json(answer).error.message).toMatch(/^The file 'second.png' .* stored: 1\.$/);
    const long = json(await post(`${file('k'.repeat(256), 'x')}--b--`)).error;
    expect(long.code).toBe('KEY_TOO_LONG');
    expect(long.message).toMatch(/^The file 'k+' of the form: The key is longer than 255 bytes\.$/);
  });

  test('garbage is no form', async () => {
    for (const body of ['', 'garbage', '--b\r\n', '--b--\r\n', field('key', 'x')]) {
      const { status } = await post(body);
      expect([body, status]).toEqual([body, 400]);
    }
    expect((await post(`${field('key', 'x'.repeat(100_000))}--b--`)).status).toBe(400);
    expect((await post(`${field('__proto__', 'x')}--b--`)).status).toBe(400);
    expect((await post(field('f', '1').repeat(500))).status).toBe(413);
    expect((await site.ask('POST', 'main/', { body: 'x' })).status).toBe(400);
    const big = await post(`${file('big', 'x'.repeat(1_200_000))}--b--`);
    expect(big.status).toBe(413);
    expect((await site.ask('HEAD', 'main/form/big')).status).toBe(404);
  });

  test('a form that is cut in the middle of a file stores nothing of it', async () => {
    const head = `POST /files/main/form/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n`;
    const start = file('cut.png', 'x'.repeat(300_000));
    const wire = await site.wire(
      `${head}Content-Type: ${type['content-type']}\r\nContent-Length: 900000\r\n\r\n${start}`,
    );
    wire.socket.destroySoon();
    const ended = await post(file('cut.png', 'x'.repeat(100)).slice(0, -50));
    expect(ended.status).toBe(400);
    expect((await site.ask('HEAD', 'main/form/cut.png')).status).toBe(404);
  });
});

test('what failed names storage nodes to who has the token, and to nobody else', async () => {
  await site.ask('PUT', 'main/inside', { body: 'x' });
  const reader = new FilesSite(site.base, { authorization: 'Bearer look' });
  const [node, other] = cluster.hosts;
  await Promise.all([node?.kill('SIGKILL'), other?.kill('SIGKILL')]);
  const address = /127\.0\.0\.1|dev\d/;
  const told = async (by: FilesSite) => {
    const { status, body } = await by.ask('GET', 'main/inside');
    expect([status, body.toString()]).toEqual([503, expect.stringContaining('NO_REPLICA_UP')]);
    return body.toString();
  };
  expect(await told(reader)).not.toMatch(address);
  const { error } = json(await site.ask('GET', 'main/inside'));
  expect(error.message).not.toMatch(address);
  // Nothing is tried once the tracker has noticed that the nodes are gone.
  expect(error.tried.every((text: string) => address.test(text))).toBe(true);
  const put = await site.ask('PUT', 'main/inside', { body: 'y' });
  expect(json(put).error.message).not.toMatch(address);
  await Promise.all([node?.start(), other?.start()]);
});

test('an unfinished upload expires, and its bytes go', async () => {
  // One on each of two nodes.
  expect(abandoned.parts).toHaveLength(2);
  await until('the upload to be gone', async () => {
    return (await tus.ask('HEAD', abandoned.url)).status === 404;
  });
  await until('both copies of its part to be gone', async () => {
    const left = await storedFids(cluster);
    return !abandoned.parts.some((part) => left.includes(part));
  });
});
