/**
 * Goal: a new host becomes useful by commands alone: files spread to it, reads never fail
 * meanwhile, no file is ever below its copies, a killed tracker does not stop it (I9), and losing a
 * node afterwards loses nothing.
 * Method: a real cluster with two trackers; one loop reads every key all the time, another one
 * counts the copies in the database.
 */
import { buffer } from 'node:stream/consumers';
import { startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import { describe, expect, test } from 'vitest';
import { databaseOf } from '../helpers/mariadb.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const files = 60;
const body = (key: string) => key.repeat(500);

/** Does something to every key, over and over, until told to stop. */
class Watch {
  rounds = 0;
  readonly faults: string[] = [];
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(keys: readonly string[], look: (key: string) => Promise<string | undefined>) {
    this.#done = this.#watch(keys, look);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #watch(
    keys: readonly string[],
    look: (key: string) => Promise<string | undefined>,
  ): Promise<void> {
    while (!this.#stopping) {
      for (const key of keys) {
        const fault = await look(key).catch((error: unknown) => String(error));
        if (fault !== undefined) this.faults.push(`${key}: ${fault}`);
      }
      this.rounds += 1;
    }
  }
}

async function readFault(client: Client, key: string): Promise<string | undefined> {
  const file = await client.get(key);
  const bytes = await buffer(file.stream);
  return bytes.toString() === body(key) ? undefined : `${bytes.length} bytes`;
}

async function addNode(database: { dsn?: string; dbUser?: string; dbPass?: string }) {
  const options = { devicesPerHost: 2, domain: 'add', trackers: 2, ...database };
  await using cluster = await startLocalCluster({ hosts: 3, ...options });
  const client = createClient({ trackers: cluster.trackers, domain: 'add' });
  const admin = new RawClient(cluster.trackers[1] ?? '');
  try {
    // The third host is what is new: nothing may be stored there before it is added.
    const fresh = cluster.hosts[2];
    if (fresh === undefined) throw new Error('no third host');
    const { name: host, devids } = fresh;
    for (const device of devids) await admin.call('set_state', { host, device, state: 'down' });
    await until('the first tracker to know', async () => {
      const other = new RawClient(cluster.trackers[0] ?? '');
      await other.call('clear_cache');
      await other.close();
      return true;
    });
    const keys = Array.from({ length: files }, (_, number) => `file-${number}`);
    for (const key of keys) await client.put(key, Buffer.from(body(key)));
    const copiesOf = async (key: string) => {
      const { devids: held } = await admin.call('file_info', { domain: 'add', key, devices: 1 });
      return (held ?? '')
        .split(',')
        .filter((one) => one !== '')
        .map(Number);
    };
    await until('every file has its copies', async () => {
      for (const key of keys) if ((await copiesOf(key)).length < 2) return false;
      return true;
    });
    const reads = new Watch(keys, (key) => readFault(client, key));
    const copies = new Watch(keys, async (key) => {
      const held = await copiesOf(key);
      return held.length < 2 ? `only on ${held}` : undefined;
    });
    for (const device of devids) await admin.call('set_state', { host, device, state: 'alive' });
    await admin.call('rebalance_even', { tolerance: 0, by: 'files' });
    const first = cluster.trackerDaemons[0];
    await until('moves have begun', async () => {
      const { moves_done: done } = await admin.call('rebalance_status', { details: 1 });
      return Number(done) > 0;
    });
    await first?.kill('SIGKILL');
    await until(
      'the rebalance to end',
      async () => {
        const { running } = await admin.call('rebalance_status', { details: 1 });
        return running === '0';
      },
      { everyMs: 200 },
    );
    await first?.start();
    const before = reads.rounds;
    await until('every file is read once more', () => reads.rounds > before + 1);
    await Promise.all([reads.stop(), copies.stop()]);
    expect(reads.faults).toEqual([]);
    expect(copies.faults).toEqual([]);
    const held = await Promise.all(keys.map(copiesOf));
    const onNew = held.flat().filter((devid) => devids.includes(devid)).length;
    // Two of six devices hold about a third of all copies.
    expect(onNew).toBeGreaterThan((files * 2) / 6);
    await cluster.hosts[0]?.kill('SIGKILL');
    for (const key of keys) {
      expect(await until(`${key} is readable`, () => readWhole(client, key))).toBe(body(key));
    }
  } finally {
    await admin.close();
    await client.close();
  }
}

async function readWhole(client: Client, key: string): Promise<string> {
  const { stream } = await client.get(key);
  return (await buffer(stream)).toString();
}

describe('adding a node', () => {
  test('spreads files to it while they are read, on SQLite', () => addNode({}));

  test('spreads files to it while they are read, on MariaDB', async () => {
    await addNode(await databaseOf(sharedServer()));
  });
});
