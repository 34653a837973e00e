/**
 * Goal: the client library keeps its promises while storage nodes and trackers are killed and
 * stopped: downloads go on at the same byte, uploads go to another device, errors name what failed.
 * Method: two trackers and three storage nodes as real processes, signals, and comparison of bytes.
 */
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { type LocalCluster, type LocalHost, startLocalCluster } from '@omgfs/cli';
import { type Client, type ClientOptions, createClient, createTrackerPool } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freeze } from '../helpers/freeze.ts';
import { until } from '../helpers/wait.ts';

const domain = 'd';
const mebibyte = 1024 * 1024;
const small = randomBytes(10_000);
const large = randomBytes(5 * mebibyte + 17);

let cluster: LocalCluster;
let client: Client;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 3, devicesPerHost: 1, trackers: 2, domain });
  client = newClient();
});
afterEach(untilHealthy);
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

function newClient(options: Partial<ClientOptions> = {}): Client {
  return createClient({ trackers: cluster.trackers, domain, ...options });
}

async function read(key: string, from = client): Promise<Buffer> {
  return buffer((await from.get(key)).stream);
}

/**
 * Runs `work` with a client that gives up soon who hangs, and with a more patient one where those
 * that do not hang were given up as well: a machine or a disk may be that busy.
 */
async function soon(
  options: (waitMs: number) => Partial<ClientOptions>,
  work: (hasty: Client) => Promise<void>,
): Promise<void> {
  for (const waitMs of [1_500, 20_000]) {
    const hasty = newClient(options(waitMs));
    try {
      return await work(hasty);
    } catch (error) {
      const code = error instanceof OmgfsError ? error.code : '';
      if (waitMs > 1_500 || !['NO_REPLICA_UP', 'DEVICE_DOWN'].includes(code)) throw error;
    } finally {
      await hasty.close();
    }
  }
}

/** Stores a file and waits for its copies. */
async function storeCopies(key: string, body: Buffer, copies = 2): Promise<void> {
  await client.put(key, body);
  await until(`${copies} copies of ${key}`, async () => {
    return (await client.info(key)).devcount >= copies;
  });
}

/** Waits until each tracker has seen all devices come back. */
async function untilHealthy(): Promise<void> {
  for (const address of cluster.trackers) {
    const pool = createTrackerPool({ trackers: [address] });
    await until(`${address} to see all devices writeable`, async () => {
      await pool.request('clear_cache');
      const fields = await pool.request('get_devices');
      return cluster.hosts.every(({ devids }) => {
        return devids.every((devid) => fields[`dev${devid}_observed_state`] === 'writeable');
      });
    });
    await pool.close();
  }
}

function hostOf(path: string | undefined): LocalHost {
  const { hostname } = new URL(path ?? '');
  const host = cluster.hosts.find(({ ip }) => ip === hostname);
  if (host === undefined) throw new Error(`no host has ${path}`);
  return host;
}

async function* pieces(body: Buffer, bytes = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += bytes) yield body.subarray(at, at + bytes);
}

describe('a replica that fails', () => {
  test.each([0, 1])('in mid-body costs nothing, whichever it is (%i)', async (index) => {
    const key = `killed-${index}`;
    const body = randomBytes(24 * mebibyte);
    await storeCopies(key, body);
    const victim = hostOf((await client.paths(key))[index]);
    const { stream } = await client.get(key);
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (chunks.length === 1) await victim.kill('SIGKILL');
    }
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
    await victim.start();
  });

  test.each([0, 1])('in mid-body by hanging costs one wait (%i)', async (index) => {
    const key = `stopped-${index}`;
    const body = randomBytes(24 * mebibyte);
    await storeCopies(key, body);
    const { pid } = hostOf((await client.paths(key))[index]);
    const stallMs = (waitMs: number) => ({ stallMs: waitMs });
    await soon(stallMs, async (hasty) => {
      const { stream } = await hasty.get(key);
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          chunks.push(chunk);
          if (chunks.length === 1) await freeze(pid);
        }
      } finally {
        process.kill(pid ?? 0, 'SIGCONT');
      }
      expect(Buffer.concat(chunks).equals(body)).toBe(true);
    });
  });

  test.each([0, 1])(
    'is passed over when it hangs or is dead, whichever it is (%i)',
    async (index) => {
      const key = `dead-${index}`;
      await storeCopies(key, small);
      const host = hostOf((await client.paths(key))[index]);
      await freeze(host.pid);
      try {
        const headersMs = (waitMs: number) => ({ headersTimeoutMs: waitMs });
        await soon(headersMs, async (hasty) => {
          for (let n = 0; n < 4; n += 1) expect((await read(key, hasty)).equals(small)).toBe(true);
        });
      } finally {
        process.kill(host.pid ?? 0, 'SIGCONT');
      }
      await host.kill('SIGKILL');
      try {
        for (let n = 0; n < 4; n += 1) expect((await read(key)).equals(small)).toBe(true);
      } finally {
        await host.start();
      }
    },
  );

  test('with all others is an error that names each', async () => {
    await storeCopies('all-dead', small);
    const hosts = (await client.paths('all-dead')).map(hostOf);
    await Promise.all(hosts.map((host) => host.kill('SIGKILL')));
    try {
      const get = client.get('all-dead');
      await expect(get).rejects.toMatchObject({ code: 'NO_REPLICA_UP' });
      for (const { ip } of hosts) await expect(get).rejects.toThrow(ip);
    } finally {
      await Promise.all(hosts.map((host) => host.start()));
    }
  });
});

describe('an upload while nodes fail', () => {
  test.each([
    ['bytes', () => large],
    ['a stream', () => pieces(large)],
  ])('goes to another device when the first is dead: %s', async (_, source) => {
    const [host] = cluster.hosts;
    await host?.kill('SIGKILL');
    try {
      for (let n = 0; n < 6; n += 1) {
        await client.put(`refused/${n}`, source());
        expect((await read(`refused/${n}`)).equals(large)).toBe(true);
      }
    } finally {
      await host?.start();
    }
  });

  test('goes to another device when the first hangs', async () => {
    const [host] = cluster.hosts;
    await freeze(host?.pid);
    try {
      const stallMs = (waitMs: number) => ({ stallMs: waitMs });
      await soon(stallMs, async (hasty) => {
        for (let n = 0; n < 4; n += 1) {
          await hasty.put(`hung/${n}`, large);
          expect((await read(`hung/${n}`, hasty)).equals(large)).toBe(true);
        }
      });
    } finally {
      process.kill(host?.pid ?? 0, 'SIGCONT');
    }
  });

  test('one tracker killed is one tracker not asked', async () => {
    const [tracker] = cluster.trackerDaemons;
    await tracker?.kill('SIGKILL');
    try {
      for (let n = 0; n < 6; n += 1) {
        await client.put(`tracker/${n}`, small);
        expect((await read(`tracker/${n}`)).equals(small)).toBe(true);
      }
    } finally {
      await tracker?.start();
    }
  });
});
