/**
 * Goal: everything the commands can do is there over HTTP, with the same checks, and nothing is
 * there for those who may not. Method: a real cluster, requests as a script sends them.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { putBody, RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
});
afterAll(() => cluster?.stop());

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape.
  body: any;
}

async function ask(
  method: string,
  path: string,
  options: { body?: unknown; headers?: Record<string, string>; api?: string } = {},
): Promise<Answer> {
  const { body, headers = {}, api = cluster.apis[0] } = options;
  const reply = await request(`${api}${path}`, {
    method: method as 'GET',
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.body.text();
  return { status: reply.statusCode, body: text === '' ? undefined : JSON.parse(text) };
}

describe('resources', () => {
  test('domains and classes', async () => {
    expect((await ask('POST', '/v1/domains', { body: { domain: 'päth' } })).status).toBe(201);
    const made = { class: 'thumb', mindevcount: 1, replpolicy: 'MultipleDevices()' };
    const classes = `/v1/domains/${encodeURIComponent('päth')}/classes`;
    expect((await ask('POST', classes, { body: made })).status).toBe(201);
    expect((await ask('PATCH', `${classes}/thumb`, { body: { hashtype: 'MD5' } })).status).toBe(
      200,
    );
    const { body } = await ask('GET', '/v1/domains');
    expect(body).toContainEqual({
      domain: 'päth',
      classes: expect.arrayContaining([
        { name: 'thumb', mindevcount: 1, replpolicy: 'MultipleDevices()', hashtype: 'MD5' },
      ]),
    });
    expect((await ask('DELETE', `${classes}/thumb`)).status).toBe(204);
    expect((await ask('DELETE', `/v1/domains/${encodeURIComponent('päth')}`)).status).toBe(204);
  });

  test('hosts and devices', async () => {
    const host = { host: 'spare', ip: '127.0.0.99', port: 7500, status: 'down' };
    expect((await ask('POST', '/v1/hosts', { body: host })).status).toBe(201);
    expect((await ask('PATCH', '/v1/hosts/spare', { body: { getport: 7600 } })).status).toBe(200);
    expect((await ask('GET', '/v1/hosts')).body).toContainEqual(
      expect.objectContaining({ hostname: 'spare', status: 'down', http_get_port: 7600 }),
    );
    const device = { devid: 77, host: 'spare', status: 'down' };
    expect((await ask('POST', '/v1/devices', { body: device })).body).toMatchObject({
      devid: 77,
      host: 'spare',
      status: 'down',
    });
    const change = { status: 'dead', weight: 5 };
    expect((await ask('PATCH', '/v1/devices/77', { body: change })).body).toMatchObject({
      ...change,
    });
    expect((await ask('PATCH', '/v1/devices/77', { body: { status: 'alive' } })).body).toEqual({
      error: {
        code: 'STATE_TOO_HIGH',
        message: 'A dead device must be marked down before alive.',
        retry: 'never',
      },
    });
    expect((await ask('GET', '/v1/devices/1')).body).toMatchObject({ observed_state: 'writeable' });
    expect((await ask('GET', '/v1/devices/4711')).status).toBe(404);
  });

  test('settings', async () => {
    const url = '/v1/settings/queue_rate_for_fsck';
    expect((await ask('PUT', url, { body: { value: '500' } })).status).toBe(204);
    expect((await ask('GET', url)).body).toEqual({ value: '500' });
    expect((await ask('GET', '/v1/settings')).body).toMatchObject({ queue_rate_for_fsck: '500' });
    expect(
      (await ask('PUT', '/v1/settings/schema_version', { body: { value: '9' } })).body,
    ).toEqual({ error: expect.objectContaining({ code: 'NOT_WRITABLE' }) });
  });

  test('a file from the upload to its end', async () => {
    const key = 'a/b c%/ü';
    const keyUrl = `/v1/domains/main/keys/${encodeURIComponent(key)}`;
    const opened = await ask('POST', '/v1/domains/main/uploads', { body: { key, size: 5 } });
    expect(opened.status).toBe(201);
    const [place] = opened.body.places;
    await putBody(place.path, 'hello');
    const close = { key, size: 5, ...place };
    const uploadUrl = `/v1/domains/main/uploads/${opened.body.fid}`;
    expect((await ask('POST', uploadUrl, { body: close })).status).toBe(204);
    expect((await ask('POST', uploadUrl, { body: close })).status).toBe(404);
    expect((await ask('GET', keyUrl)).body).toMatchObject({ key, length: 5, class: 'default' });
    expect((await ask('GET', `${keyUrl}/paths`)).body.paths[0]).toBe(place.path);
    expect((await ask('GET', '/v1/domains/main/keys?prefix=a/')).body).toEqual({
      keys: [key],
      next_after: key,
    });
    expect((await ask('GET', `/v1/fids/${opened.body.fid}`)).body).toMatchObject({ fid_dkey: key });
    const rename = { body: { key: 'plain' } };
    expect((await ask('PATCH', keyUrl, rename)).status).toBe(204);
    expect((await ask('DELETE', '/v1/domains/main/keys/plain')).status).toBe(204);
    expect((await ask('DELETE', '/v1/domains/main/keys/plain')).body).toEqual({
      error: { code: 'UNKNOWN_KEY', message: 'No file is stored under the key.', retry: 'never' },
    });
    expect((await ask('GET', '/v1/domains/main/keys')).body).toEqual({
      keys: [],
      next_after: null,
    });
  });

  test('what no column holds is the fault of who sent it, and said to be', async () => {
    const host = { host: 'h', ip: '10.0.0.9', port: 99_999 };
    expect(await ask('POST', '/v1/hosts', { body: host })).toMatchObject({
      status: 400,
      body: { error: { code: 'BAD_REQUEST', message: "'99999' is no port number" } },
    });
    const long = { ...host, host: 'h'.repeat(41), port: 7500 };
    expect(await ask('POST', '/v1/hosts', { body: long })).toMatchObject({
      status: 400,
      body: { error: { code: 'NAME_TOO_LONG' } },
    });
    const many = { class: 'many', mindevcount: 256 };
    expect(await ask('POST', '/v1/domains/main/classes', { body: many })).toMatchObject({
      status: 400,
      body: { error: { message: 'mindevcount 256 is above 255' } },
    });
    const raw = new RawClient(cluster.trackers[0] ?? '');
    const line = 'create_class domain=main&class=many&mindevcount=256\r\n';
    expect(await raw.ask(line)).toBe('ERR failure mindevcount+256+is+above+255\r\n');
    expect(await raw.ask('create_device devid=16777216&hostname=h\r\n')).toBe(
      'ERR invalid_devid devid+16777216+is+above+16777215.\r\n',
    );
    raw.socket.destroy();
  });

  test('a key of 255 bytes, every one escaped', async () => {
    const url = `/v1/domains/main/keys/${'%20'.repeat(255)}`;
    expect((await ask('GET', url)).body).toMatchObject({ error: { code: 'UNKNOWN_KEY' } });
  });

  test('a page never ends in a key that JSON would make another one', async () => {
    const raw = new RawClient(cluster.trackers[0] ?? '');
    for (const name of ['plain', '\x80', '\xff']) {
      const { fid, path, devid } = await raw.call('create_open', { domain: 'main', key: name });
      await putBody(path ?? '', 'x');
      await raw.call('create_close', { domain: 'main', key: name, fid, devid, path, size: 1 });
    }
    expect((await ask('GET', '/v1/domains/main/keys?limit=1')).body.next_after).toBe('plain');
    for (const query of ['limit=2', 'after=plain&limit=1']) {
      expect((await ask('GET', `/v1/domains/main/keys?${query}`)).body).toMatchObject({
        error: { code: 'BAD_PARAMS', message: expect.stringContaining('not UTF-8') },
      });
    }
    for (const key of ['plain', '\x80', '\xff']) await raw.call('delete', { domain: 'main', key });
    raw.socket.destroy();
  });

  test('any command by its name', async () => {
    const { status, body } = await ask('POST', '/v1/commands/get_domains', { body: {} });
    expect({ status, body }).toMatchObject({ status: 200, body: { domain1: 'main' } });
    expect((await ask('POST', '/v1/commands/nosuch', { body: {} })).body).toMatchObject({
      error: { code: 'UNKNOWN_COMMAND' },
    });
  });
});

test('a client that never sends the rest of its request does not hold up a stop', async () => {
  const stopped = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain: 'main' });
  const { hostname, port } = new URL(stopped.apis[0] ?? '');
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  const head = 'Host: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n';
  socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/domains HTTP/1.1\r\n${head}{`);
  await once(socket, 'data');
  new RawClient(stopped.trackers[0] ?? '').write('!shutdown\r\n');
  const running = () => stopped.trackerDaemons[0]?.running;
  await until('it ends', () => running() === false).finally(() => stopped.stop());
});

describe('the document', () => {
  test('names every address with its arguments', async () => {
    const { body } = await ask('GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    expect(Object.keys(body.paths).length).toBeGreaterThan(25);
    expect(
      body.paths['/v1/hosts'].post.requestBody.content['application/json'].schema,
    ).toMatchObject({ required: ['host', 'ip', 'port'] });
    for (const methods of Object.values<object>(body.paths)) {
      for (const { summary } of Object.values<{ summary?: string }>(methods as never)) {
        expect(summary).toBeTruthy();
      }
    }
  });

  test('liveness and readiness', async () => {
    expect(await ask('GET', '/healthz')).toEqual({ status: 200, body: { status: 'ok' } });
    expect(await ask('GET', '/readyz')).toEqual({ status: 200, body: { status: 'ready' } });
  });
});

describe('bad input', () => {
  test.each([
    ['POST', '/v1/domains', { body: {} }, 400],
    ['POST', '/v1/domains', { body: { domain: 'x', colour: 'red' } }, 400],
    ['POST', '/v1/domains', { body: [1] }, 400],
    ['POST', '/v1/hosts', { body: { host: 'h', ip: '127.0.0.1', port: 'abc' } }, 400],
    ['POST', '/v1/domains', { body: { domain: 'x'.repeat(2_000_000) } }, 413],
    ['GET', '/v1/nosuch', {}, 404],
    ['GET', '/v1/domains/main/keys/%zz', {}, 400],
    ['GET', '/v1/domains/main/keys?limit=abc', {}, 400],
    ['GET', `/v1/domains/main/keys/${'x'.repeat(4000)}`, {}, 414],
    ['PUT', '/v1/domains', {}, 405],
    ['POST', '/v1/domains', { body: { domain: ['x'] } }, 400],
    ['POST', '/v1/commands/create_domain', { body: { domain: ['x'] } }, 400],
    ['POST', '/v1/commands/create_domain', { body: { domain: { x: 1 } } }, 400],
    ['POST', '/v1/domains/main/classes', { body: { class: 'c', mindevcount: 1e30 } }, 400],
    ['PATCH', '/v1/devices/1', { body: { weight: 99_999_999_999 } }, 400],
  ])('%s %.40s is refused', async (method, path, options, status) => {
    const answer = await ask(method, path, options);
    expect(answer).toMatchObject({
      status,
      body: { error: { code: expect.any(String), message: expect.any(String) } },
    });
  });

  test('a page of another site cannot steer the cluster through a browser', async () => {
    const headers = { origin: 'https://evil.example' };
    const answer = await ask('POST', '/v1/clear-cache', { headers });
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'CROSS_ORIGIN' } } });
    const own = { origin: cluster.apis[0] ?? '' };
    expect((await ask('POST', '/v1/clear-cache', { headers: own })).status).toBe(204);
  });
});

describe('the name that a client calls it by, when there is no token', () => {
  const port = 7003;
  test.each([
    ['evil.example', 403],
    [`evil.example:${port}`, 403],
    [`127.0.0.1.evil.example:${port}`, 403],
    [`evil.example.:${port}`, 403],
    ['[evil.example]', 403],
    ['a:b:c', 403],
    [`127.0.0.1:${port}`, 200],
    ['[::1]', 200],
    [`[2001:db8::1]:${port}`, 200],
    [`localhost:${port}`, 200],
    [`${hostname().toLowerCase()}:${port}`, 200],
    ['omgfs_trackers', 200],
  ])('%s: %i', async (host, status) => {
    const headers = { host, origin: `http://${host}` };
    const codes = status === 200 ? [200, 204] : [403, 403];
    const read = await ask('GET', '/v1/domains', { headers: { host } });
    const change = await ask('POST', '/v1/clear-cache', { headers });
    expect([read.status, change.status]).toEqual(codes);
  });

  test('a client of HTTP/1.0 says none', async () => {
    const { hostname: address, port: at } = new URL(cluster.apis[0] ?? '');
    const socket = connect({ host: address, port: Number(at) });
    socket.write('GET /v1/domains HTTP/1.0\r\n\r\n');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    socket.destroy();
  });
});

describe('access', () => {
  let guarded: LocalCluster;
  beforeAll(async () => {
    const rules = ['--http_token', 'secret', '--http_read_token', 'look', '--http_allow'];
    guarded = await startLocalCluster({
      hosts: 1,
      devicesPerHost: 1,
      domain: 'main',
      extraTrackerArgs: [...rules, '127.0.0.1,10.0.0.0/8'],
    });
  });
  afterAll(() => guarded?.stop());

  test.each([
    ['GET', undefined, 401],
    ['GET', 'Bearer wrong', 401],
    ['GET', 'Basic secret', 401],
    ['GET', 'Bearer look', 200],
    ['GET', 'Bearer secret', 200],
    ['POST', 'Bearer look', 401],
    ['POST', 'Bearer secret', 201],
  ])('%s with %s: %i', async (method, authorization, status) => {
    const headers = authorization === undefined ? {} : { authorization };
    const body = method === 'POST' ? { body: { domain: 'made' } } : {};
    const options = { api: guarded.apis[0] ?? '', headers, ...body };
    expect((await ask(method, '/v1/domains', options)).status).toBe(status);
  });

  test('with one, any name will do', async () => {
    const headers = { authorization: 'Bearer look', host: 'files.example.com' };
    const api = guarded.apis[0] ?? '';
    expect((await ask('GET', '/v1/domains', { api, headers })).status).toBe(200);
  });

  test('metrics need one', async () => {
    const url = `${guarded.apis[0]}/metrics`;
    expect((await request(url)).statusCode).toBe(401);
    expect((await request(url, { headers: { authorization: 'Bearer look' } })).statusCode).toBe(
      200,
    );
  });

  test('health needs no token', async () => {
    expect((await ask('GET', '/readyz', { api: guarded.apis[0] ?? '' })).status).toBe(200);
  });
});
