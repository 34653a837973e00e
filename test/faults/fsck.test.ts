/**
 * Goal: I9. A fsck goes on when the tracker that runs it is killed, with its position and counters;
 * and a node that hangs holds up nobody and is not mistaken for an empty one (I6).
 * Method: two trackers and three storage nodes as real processes, SIGKILL and SIGSTOP in the middle
 * of a run, files removed behind their back.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import { type Fields, fidPath } from '@omgfs/protocol';
import { describe, expect, type TestContext, test } from 'vitest';
import { freeze } from '../helpers/freeze.ts';
import { databaseOf } from '../helpers/mariadb.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const files = 90;
/** Looked at last, so that the one who takes over finds them. */
const damagedFiles = 6;

const keys = Array.from({ length: files }, (_, number) => `file/${number}`);

/** Two trackers on one database, and files that lie on two of three nodes. */
class Site {
  readonly cluster: LocalCluster;
  readonly client: Client;
  readonly #raw: RawClient[];

  private constructor(cluster: LocalCluster) {
    this.cluster = cluster;
    this.client = createClient({ trackers: cluster.trackers, domain: 'd' });
    this.#raw = cluster.trackers.map((address) => new RawClient(address));
  }

  static async start(engine: 'sqlite' | 'mysql', context: TestContext): Promise<Site> {
    const database = engine === 'mysql' ? await databaseOf(sharedServer()) : {};
    const size = { hosts: 3, devicesPerHost: 1, trackers: 2 };
    const site = new Site(await startLocalCluster({ ...size, domain: 'd', ...database }));
    context.onTestFinished(() => site.stop());
    await Promise.all(keys.map((key) => site.client.put(key, Buffer.from(key))));
    await site.untilCopied();
    return site;
  }

  async stop(): Promise<void> {
    for (const one of this.#raw) await one.close();
    await this.client.close();
    await this.cluster.stop();
  }

  async call(tracker: number, command: string, args: Fields = {}): Promise<Fields> {
    return (await this.#raw[tracker]?.call(command, args)) ?? {};
  }

  async restart(tracker: number): Promise<void> {
    await this.cluster.trackerDaemons[tracker]?.start();
    this.#raw[tracker] = new RawClient(this.cluster.trackers[tracker] ?? '');
    await until('it answers', () => this.call(tracker, 'clear_cache'));
  }

  async untilCopied(): Promise<void> {
    for (const key of keys) {
      await until(`two copies of ${key}`, async () => {
        return (await this.client.info(key)).devcount === 2;
      });
    }
  }

  /** Which of the trackers holds the lease: its process id is part of the owner's name. */
  async driver(): Promise<number | undefined> {
    const { value = '' } = await this.call(1, 'server_setting', { key: 'omg_fsck_lease' });
    const daemons = this.cluster.trackerDaemons;
    const index = daemons.findIndex(({ pid }) => value.includes(`:${pid}:`));
    return index < 0 ? undefined : index;
  }

  /** Waits until the run and its closer looks are through. */
  async over(tracker: number, options: { waiting: boolean }): Promise<Fields> {
    return until('the run is over', async () => {
      const fields = await this.call(tracker, 'fsck_status');
      const isWaiting = fields.waiting !== undefined;
      const isOver = fields.running === '0' && fields.queued === undefined;
      return isOver && isWaiting === options.waiting && fields;
    });
  }
}

function findings(status: Fields): string[] {
  return Object.keys(status).filter((name) => name.startsWith('num_'));
}

describe.concurrent.each(['sqlite', 'mysql'] as const)('fsck on %s', (engine) => {
  test('I9, I6: goes on without its tracker, and past a node that hangs', async (context) => {
    const site = await Site.start(engine, context);
    await trackerKilled(site);
    await nodeHangs(site);
    // Each wait has a bound of its own.
  }, 360_000);
});

async function trackerKilled(site: Site): Promise<void> {
  const { cluster, client } = site;
  const fids = await Promise.all(keys.map(async (key) => (await client.info(key)).fid));
  const victims = fids.toSorted((a, b) => b - a).slice(0, damagedFiles);
  for (const fid of victims) await rm(replicasOf(cluster, fid)[0] ?? '');
  await site.call(0, 'set_server_setting', { key: 'queue_rate_for_fsck', value: '1' });
  await site.call(0, 'fsck_reset');
  await site.call(0, 'fsck_start');
  const driver = await until('a tracker drives the run, and is not through', async () => {
    const checked = Number((await site.call(1, 'fsck_status')).checked ?? 0);
    return checked > 0 && checked < files - damagedFiles ? await site.driver() : undefined;
  });
  await cluster.trackerDaemons[driver]?.kill('SIGKILL');
  const other = 1 - driver;
  await site.call(other, 'set_server_setting', { key: 'queue_rate_for_fsck', value: '' });
  expect((await site.call(other, 'fsck_status')).running).toBe('1');
  const over = await site.over(other, { waiting: false });
  expect(over).toMatchObject({ checked: String(files), num_MISS: String(damagedFiles) });
  expect(over.max_fid_checked).toBe(over.end_fid);
  await site.untilCopied();
  for (const fid of victims) expect(replicasOf(cluster, fid).length).toBe(2);
  await site.restart(driver);
}

async function nodeHangs(site: Site): Promise<void> {
  const pid = site.cluster.hosts[2]?.pid ?? 0;
  await freeze(pid);
  try {
    await site.call(1, 'fsck_reset');
    await site.call(1, 'fsck_start');
    const over = await site.over(0, { waiting: true });
    expect(over).toMatchObject({ checked: String(files) });
    expect(findings(over)).toEqual([]);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  expect(findings(await site.over(0, { waiting: false }))).toEqual([]);
  for (const key of keys) {
    expect(String(await buffer((await site.client.get(key)).stream))).toBe(key);
  }
}

/** Where the bytes of a fid are. */
function replicasOf({ hosts }: LocalCluster, fid: number): string[] {
  return hosts
    .flatMap(({ docroot, devids }) => devids.map((devid) => join(docroot, fidPath(devid, fid))))
    .filter((path) => existsSync(path));
}
