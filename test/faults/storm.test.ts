/**
 * Goal: I1. Whatever process is killed at whatever moment of an upload storm, every file whose put
 * was acknowledged can be read afterwards, byte for byte, and nothing else has appeared.
 * Method: a real cluster; writers store files of random sizes all the time; every round kills one
 * process by SIGKILL at a random moment and starts it again; in the end everything runs and every
 * acknowledged file is read and compared.
 */
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import { describe, expect, test } from 'vitest';
import { databaseOf, type MariaDb, startMariaDb } from '../helpers/mariadb.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const writers = 8;
const rounds = 8;

interface Victim {
  name: string;
  kill: () => Promise<void>;
  start: () => Promise<void>;
}

/** Stores files until told to stop; keeps the digest of what was acknowledged. */
class Storm {
  readonly acknowledged = new Map<string, string>();
  readonly refused: unknown[] = [];
  readonly #client: Client;
  #stopping = false;
  #work: Promise<void>[] = [];

  constructor(client: Client) {
    this.#client = client;
  }

  begin(): void {
    this.#work = Array.from({ length: writers }, (_, writer) => this.#write(writer));
  }

  async end(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#work);
  }

  async #write(writer: number): Promise<void> {
    for (let count = 0; !this.#stopping; count += 1) {
      const key = `storm/${writer}/${count}`;
      const body = randomBytes(Math.floor(Math.random() ** 4 * 400_000));
      try {
        await this.#client.put(key, body);
        this.acknowledged.set(key, digestOf(body));
      } catch (error) {
        this.refused.push(error);
      }
    }
  }
}

function digestOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

async function weather(storm: Storm, victims: readonly Victim[]): Promise<void> {
  storm.begin();
  for (let round = 0; round < rounds; round += 1) {
    const before = storm.acknowledged.size;
    await until('the storm to make progress', () => storm.acknowledged.size > before + writers);
    await delay(Math.random() * 50);
    const victim = victims[round % victims.length];
    await victim?.kill();
    await delay(Math.random() * 50);
    await victim?.start();
  }
  await storm.end();
}

/** Reads every acknowledged file until it comes back whole; a wrong byte fails at once. */
async function expectAllReadable(client: Client, storm: Storm): Promise<void> {
  const waiting = [...storm.acknowledged];
  const reader = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [key, digest] = next;
      const body = await until(`${key} to be readable`, async () => {
        const file = await client.get(key);
        return buffer(file.stream);
      });
      expect({ key, digest: digestOf(body) }).toEqual({ key, digest });
    }
  };
  await Promise.all(Array.from({ length: writers }, reader));
}

async function storedKeys(client: Client): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of client.list({ prefix: 'storm/' })) keys.push(key);
  return keys;
}

function victimsOf(cluster: LocalCluster): Victim[] {
  return [...cluster.trackerDaemons, ...cluster.hosts].map((daemon) => ({
    name: daemon.name,
    kill: () => daemon.kill('SIGKILL'),
    start: () => daemon.start(),
  }));
}

async function stormOn(options: {
  dsn?: { dsn: string; dbUser: string; dbPass: string };
  moreVictims?: Victim[];
  onlyMore?: boolean;
}): Promise<void> {
  await using cluster = await startLocalCluster({
    hosts: 3,
    devicesPerHost: 2,
    domain: 'storm',
    ...options.dsn,
  });
  const client = createClient({ trackers: cluster.trackers, domain: 'storm' });
  try {
    const storm = new Storm(client);
    const victims = options.onlyMore ? [] : victimsOf(cluster);
    await weather(storm, [...victims, ...(options.moreVictims ?? [])]);
    expect(storm.acknowledged.size).toBeGreaterThan(writers * rounds);
    await expectAllReadable(client, storm);
    const missing = new Set(storm.acknowledged.keys());
    for (const key of await storedKeys(client)) missing.delete(key);
    expect([...missing]).toEqual([]);
  } finally {
    await client.close();
  }
}

describe('I1: every acknowledged file is readable after', () => {
  test('trackers and storage nodes were killed, on SQLite', () => stormOn({}));

  test('trackers and storage nodes were killed, on MariaDB', async () => {
    const server = sharedServer();
    await stormOn({ dsn: await databaseOf(server) });
  });

  test('the database was killed', async () => {
    const mariadb: MariaDb = await startMariaDb();
    try {
      await stormOn({
        dsn: await databaseOf(mariadb),
        onlyMore: true,
        moreVictims: [
          { name: 'mariadb', kill: () => mariadb.kill(), start: () => mariadb.restart() },
        ],
      });
    } finally {
      await mariadb.stop();
    }
  });
});
