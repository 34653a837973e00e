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
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { databaseOf } from '../helpers/mariadb.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const files = 90;
/** Looked at last, so that the one who takes over finds them. */
const damagedFiles = 6;

describe.each(['sqlite', 'mysql'] as const)('fsck on %s', (engine) => {
  let cluster: LocalCluster;
  let client: Client;
  const raw: RawClient[] = [];
  const keys = Array.from({ length: files }, (_, number) => `file/${number}`);

  beforeAll(async () => {
    const database = engine === 'mysql' ? await databaseOf(inject('mysql')) : {};
    const size = { hosts: 3, devicesPerHost: 1, trackers: 2 };
    cluster = await startLocalCluster({ ...size, domain: 'd', ...database });
    client = createClient({ trackers: cluster.trackers, domain: 'd' });
    raw.push(...cluster.trackers.map((address) => new RawClient(address)));
    await Promise.all(keys.map((key) => client.put(key, Buffer.from(key))));
    await Promise.all(keys.map((key) => untilCopied(key)));
  });
  afterAll(async () => {
    for (const one of raw) await one.close();
    await client?.close();
    await cluster?.stop();
  });

  async function untilCopied(key: string): Promise<void> {
    await until(`${key} has two copies`, async () => (await client.info(key)).devcount === 2);
  }

  async function status(tracker: number): Promise<Fields> {
    return (await raw[tracker]?.call('fsck_status')) ?? {};
  }

  /** Which of the trackers holds the lease: its process id is part of the owner's name. */
  async function driver(): Promise<number | undefined> {
    const { value } = (await raw[1]?.call('server_setting', { key: 'omg_fsck_lease' })) ?? {};
    const index = cluster.trackerDaemons.findIndex(({ pid }) => value?.includes(`:${pid}:`));
    return index < 0 ? undefined : index;
  }

  async function untilOver(tracker: number): Promise<Fields> {
    return await until('the run is over', async () => {
      const fields = await status(tracker);
      return fields.running === '0' && fields.queued === undefined && fields;
    });
  }

  test('I9: the tracker that runs it is killed, the other goes on', async () => {
    const fids = await Promise.all(keys.map(async (key) => (await client.info(key)).fid));
    const victims = fids.toSorted((a, b) => b - a).slice(0, damagedFiles);
    for (const fid of victims) await rm(replicasOf(cluster, fid)[0] ?? '');
    await raw[0]?.call('set_server_setting', { key: 'queue_rate_for_fsck', value: '30' });
    await raw[0]?.call('fsck_reset', {});
    await raw[0]?.call('fsck_start', {});
    const leader = await until('a tracker drives the run, and is not through', async () => {
      const checked = Number((await status(1)).checked ?? 0);
      return checked > 0 && checked < files - damagedFiles ? await driver() : undefined;
    });
    await cluster.trackerDaemons[leader]?.kill('SIGKILL');
    const other = 1 - leader;
    expect((await status(other)).running).toBe('1');
    const over = await untilOver(other);
    expect(over).toMatchObject({ checked: String(files), num_MISS: String(damagedFiles) });
    expect(over.max_fid_checked).toBe(over.end_fid);
    await Promise.all(keys.map((key) => untilCopied(key)));
    for (const fid of victims) expect(replicasOf(cluster, fid).length).toBe(2);
    await cluster.trackerDaemons[leader]?.start();
    raw[leader] = new RawClient(cluster.trackers[leader] ?? '');
    await until('it answers', () => raw[leader]?.call('clear_cache', {}));
  });

  test('I6: a node that hangs makes its own files wait, and nothing else', async () => {
    const hung = cluster.hosts[2];
    await raw[0]?.call('set_server_setting', { key: 'queue_rate_for_fsck', value: '' });
    process.kill(hung?.pid ?? 0, 'SIGSTOP');
    await raw[1]?.call('fsck_reset', {});
    await raw[1]?.call('fsck_start', {});
    const over = await untilOver(0);
    expect(over).toMatchObject({ checked: String(files) });
    expect(Number(over.waiting)).toBeGreaterThan(0);
    expect(Object.keys(over).filter((name) => name.startsWith('num_'))).toEqual([]);
    process.kill(hung?.pid ?? 0, 'SIGCONT');
    await until('its files were looked at', async () => {
      const fields = await status(0);
      return fields.waiting === undefined && fields.queued === undefined;
    });
    const after = await status(0);
    expect(Object.keys(after).filter((name) => name.startsWith('num_'))).toEqual([]);
    for (const key of keys) {
      expect(String(await buffer((await client.get(key)).stream))).toBe(key);
    }
  });
});

/** Where the bytes of a fid are. */
function replicasOf({ hosts }: LocalCluster, fid: number): string[] {
  return hosts
    .flatMap(({ docroot, devids }) => devids.map((devid) => join(docroot, fidPath(devid, fid))))
    .filter((path) => existsSync(path));
}
