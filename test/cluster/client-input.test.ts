/**
 * Goal: what goes wrong outside of the client library is an error with a code, whose message says
 * what to do, and nothing half-stored is ever to be seen.
 * Method: a cluster whose nodes are as full as their reserve says, and one with room; requests that
 * are cut off on the way; the keys and the disks are looked at afterwards.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient, type UploadSource } from '@omgfs/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';

const domain = 'd';
const megabytesOfNobody = 1_000_000_000;

let roomy: LocalCluster;
let full: LocalCluster;
const clients: Client[] = [];

beforeAll(async () => {
  const size = { hosts: 2, devicesPerHost: 1, domain };
  const extraStorageArgs = ['--free-reserve-mb', String(megabytesOfNobody)];
  [roomy, full] = await Promise.all([
    startLocalCluster(size),
    startLocalCluster({ ...size, extraStorageArgs }),
  ]);
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all([roomy, full].map((cluster) => cluster?.stop()));
});

function clientOf({ trackers }: Pick<LocalCluster, 'trackers'>, of = domain): Client {
  const client = createClient({ trackers, domain: of });
  clients.push(client);
  return client;
}

async function keysOf(client: Client): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of client.list()) keys.push(key);
  return keys;
}

/** Files and temporary files on the devices of a cluster. */
async function filesOn({ hosts }: LocalCluster): Promise<string[]> {
  const all = await Promise.all(
    hosts.flatMap(({ docroot, devids }) =>
      devids.map((devid) => readdir(join(docroot, `dev${devid}`), { recursive: true })),
    ),
  );
  return all.flat().filter((path) => /\.fid$|^\.tmp\/./.test(path));
}

describe('every node is full', () => {
  const large = randomBytes(3_000_000);
  test.each<[string, () => UploadSource]>([
    ['bytes', () => large],
    [
      'a stream',
      async function* () {
        yield large.subarray(0, 1_000_000);
        yield large.subarray(1_000_000);
      },
    ],
  ])('%s are refused as that, and leave nothing', async (_, source) => {
    const client = clientOf(full);
    const put = client.put('k', source());
    await expect(put).rejects.toMatchObject({ code: 'DEVICE_FULL', status: 507 });
    await expect(put).rejects.toThrow(/delete files, or add devices; dev\d at .*507/);
    expect(await keysOf(client)).toEqual([]);
    expect(await filesOn(full)).toEqual([]);
  });
});

describe('wrong names', () => {
  const refusal = {
    code: 'UNREG_DOMAIN',
    message: expect.stringMatching(/no domain 'nope'.*'omgfs admin domain add nope'/),
  };
  test.each<[string, (client: Client) => Promise<unknown>]>([
    ['put', (client) => client.put('k', Buffer.from('x'))],
    ['get', (client) => client.get('k')],
    ['list', keysOf],
    ['delete', (client) => client.delete('k')],
  ])('of the domain: %s says so', async (_, call) => {
    await expect(call(clientOf(roomy, 'nope'))).rejects.toMatchObject(refusal);
  });

  test('of the class', async () => {
    const put = clientOf(roomy).put('k', Buffer.from('x'), { class: 'nope' });
    await expect(put).rejects.toMatchObject({ code: 'UNREG_CLASS' });
    await expect(put).rejects.toThrow(/no class 'nope'.*'omgfs admin class add d nope'/);
  });

  test('of trackers', async () => {
    expect(() => createClient({ trackers: [], domain })).toThrow(/no tracker address was given/);
    const put = clientOf({ trackers: ['127.0.0.1:1'] }).put('k', Buffer.from('x'));
    await expect(put).rejects.toMatchObject({ code: 'NO_TRACKER_UP' });
    await expect(put).rejects.toThrow(/127.0.0.1:1 .*ECONNREFUSED.*check the addresses/);
  });
});

test.each([['text'], [null], [undefined], [7], [{}]])(
  'a source that is none (%j) is refused, and nothing is stored',
  async (source) => {
    const client = clientOf(roomy);
    const put = client.put('none', source as UploadSource);
    await expect(put).rejects.toMatchObject({ code: 'BAD_ARGS' });
    await expect(put).rejects.toThrow(/a source is bytes, { file: path } or a stream/);
    expect(await keysOf(client)).not.toContain('none');
  },
);

describe('a proxy that hangs up on an upload', () => {
  let server: Server;
  let outcome: Promise<unknown>;
  beforeAll(async () => {
    const client = clientOf(roomy);
    server = createServer((request, response) => {
      const length = Number(request.headers['content-length']);
      const size = Number.isNaN(length) ? {} : { size: length };
      outcome = client.put('cut', request, size).catch((error: unknown) => error);
      void outcome.then(() => response.end());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => server?.close());

  test.each([
    ['of known length', `Content-Length: 4000000\r\n\r\n${'x'.repeat(2_500_000)}`],
    ['in chunks', `Transfer-Encoding: chunked\r\n\r\n2625a0\r\n${'x'.repeat(2_500_000)}\r\n`],
    ['in its first bytes', 'Content-Length: 4000000\r\n\r\nxx'],
  ])('%s fails it; the file that was there stays', async (_, rest) => {
    const client = clientOf(roomy);
    await client.put('cut', Buffer.from('before'));
    const before = await client.info('cut');
    const asked = once(server, 'request');
    const socket = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    socket.write(`PUT /cut HTTP/1.1\r\nHost: x\r\n${rest}`);
    await asked;
    if (rest.length > 1_000_000) {
      await until('the bytes to reach a node', async () => {
        return (await filesOn(roomy)).some((path) => path.startsWith('.tmp'));
      });
    }
    socket.destroy();
    expect(await outcome).toMatchObject({
      code: 'SOURCE_FAILED',
      cause: { code: 'ECONNRESET' },
    });
    expect(await client.info('cut')).toMatchObject({ fid: before.fid, length: 6 });
    await until('the temporary files to go', async () => {
      return !(await filesOn(roomy)).some((path) => path.startsWith('.tmp'));
    });
  });
});
