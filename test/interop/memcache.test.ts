/**
 * Goal: trackers of MogileFS beside ours, which look paths up in memcached, find nothing there that
 * ours have changed; and a memcached that is away costs nobody more than a moment.
 * Method: a real tracker, and stand-ins for memcached that hold what Perl trackers put there.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Memcache } from '../../packages/tracker/src/store/memcache/memcache.ts';
import { openStore } from '../../packages/tracker/src/store/open-store.ts';
import { MemcacheStandIn } from '../helpers/memcache-stand-in.ts';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const domain = 'cached';
let cluster: LocalCluster;
let client: RawClient;
let caches: MemcacheStandIn[];

beforeAll(async () => {
  caches = [await MemcacheStandIn.start(), await MemcacheStandIn.start()];
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain });
  client = new RawClient(cluster.trackers[0] ?? '');
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
  for (const cache of caches ?? []) await cache.stop();
});
beforeEach(async () => {
  // In another order the setting is new: one that was given up, because this process had no
  // processor for a second, is asked again.
  caches.reverse();
  await useCaches(caches.map(({ address }) => address).join(','));
  for (const cache of caches) cache.entries.clear();
});

async function useCaches(value: string): Promise<void> {
  await client.call('set_server_setting', { key: 'memcache_servers', value });
  await client.call('clear_cache');
}

/** As a Perl tracker leaves it after a lookup; which server it chooses is its own business. */
function remember(entry: string): void {
  for (const [index, cache] of caches.entries()) cache.entries.set(entry, String(index));
}

function isRemembered(entry: string): boolean {
  return caches.some(({ entries }) => entries.has(entry));
}

const entryOf = (key: string) => `mogfid:1:${key}`;

test('what is stored, overwritten, deleted and renamed is gone before the answer', async () => {
  for (const [key, change] of [
    ['new', async () => {}],
    ['over', () => storeRaw(client, { domain, key: 'over', body: 'again' })],
    ['gone', () => client.call('delete', { domain, key: 'gone' })],
    ['from', () => client.call('rename', { domain, from_key: 'from', to_key: 'to' })],
  ] as const) {
    remember(entryOf(key));
    await storeRaw(client, { domain, key, body: 'first' });
    expect(isRemembered(entryOf(key))).toBe(false);
    for (const name of [key, 'to', 'kept']) remember(entryOf(name));
    await change();
    expect(isRemembered(entryOf(key))).toBe(key === 'new');
    expect(isRemembered(entryOf('to'))).toBe(key !== 'from');
    expect(isRemembered(entryOf('kept'))).toBe(true);
  }
});

test('where the replicas are is forgotten when one comes or goes', async () => {
  await client.admin('!want 0 replicate');
  const { fid } = await storeRaw(client, { domain, key: 'copied', body: 'twice' });
  remember(`mogdevids:${fid}`);
  await client.admin('!want 5 replicate');
  await until('the second copy', async () => {
    return (await client.call('file_info', { domain, key: 'copied' })).devcount === '2';
  });
  // The row is there first.
  await until('the entry is gone', () => !isRemembered(`mogdevids:${fid}`));
  remember(`mogdevids:${fid}`);
  await client.call('delete', { domain, key: 'copied' });
  await until('the entry is gone', () => !isRemembered(`mogdevids:${fid}`));
});

test('a renamed prefix and a repair of fsck leave nothing behind', async () => {
  for (const name of ['f/1', 'f/2']) await storeRaw(client, { domain, key: name, body: 'x' });
  for (const key of ['f/1', 'f/2', 'g/1', 'g/2', 'f/3']) remember(entryOf(key));
  await client.call('rename_prefix', { domain, from_prefix: 'f/', to_prefix: 'g/' });
  expect(['f/1', 'f/2', 'g/1', 'g/2'].filter((key) => isRemembered(entryOf(key)))).toEqual([]);
  expect(isRemembered(entryOf('f/3'))).toBe(true);

  await client.admin('!want 0 replicate');
  const { fid, path } = await storeRaw(client, { domain, key: 'lost', body: 'lost' });
  await fetch(path ?? '', { method: 'DELETE' });
  remember(`mogdevids:${fid}`);
  await client.call('fsck_reset', { startpos: Number(fid) - 1 });
  await client.call('fsck_start');
  await until('the entry is gone', () => !isRemembered(`mogdevids:${fid}`));
  await client.admin('!want 5 replicate');
});

test('what is reaped is forgotten', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-memcache-'));
  const log = pino({ level: 'silent' });
  const pathCache = new Memcache(log);
  pathCache.configure(caches.map(({ address }) => address).join(','));
  const store = await openStore(
    { engine: 'sqlite', file: join(dir, 'db.sqlite') },
    { mindevcountDefault: 2, createSchema: true, log, pathCache },
  );
  await store.createDevice({ devid: 1, hostid: 1, status: 'dead' });
  await store.addReplica({ fid: 4711, devid: 1 });
  remember('mogdevids:4711');
  expect(await store.upkeep.reap({ devid: 1, limit: 10 })).toBe(1);
  expect(isRemembered('mogdevids:4711')).toBe(false);
  pathCache.close();
  await store.close();
  await rm(dir, { recursive: true });
});

test('keys that memcached cannot hold never reach it', async () => {
  for (const key of ['with blank', 'with\r\nflush_all', 'k'.repeat(250)]) {
    await storeRaw(client, { domain, key, body: 'x' });
  }
  expect(caches.flatMap(({ strange }) => strange)).toEqual([]);
});

test('a server that hangs, is away or is no address costs a moment, and no request', async () => {
  const [hanging, gone] = caches as [MemcacheStandIn, MemcacheStandIn];
  const addresses = `${hanging.address}, ${gone.address}, nonsense, 127.0.0.1`;
  hanging.hangs = true;
  await gone.stop();
  await useCaches(addresses);
  const watcher = new RawClient(cluster.trackers[0] ?? '');
  await watcher.admin('!watch');
  const said: string[] = [];
  const stored = Array.from({ length: 8 }, async (_, n) => {
    const one = new RawClient(cluster.trackers[0] ?? '');
    for (const body of ['one', 'two']) await storeRaw(one, { domain, key: `still${n}`, body });
    await one.close();
  });
  await Promise.all(stored);
  while (!said.some((line) => line.includes(hanging.address))) {
    said.push((await watcher.line()) ?? expect.fail('the log ended'));
  }
  await watcher.close();
  expect(said.join('')).toContain('memcache.unreachable');
  await useCaches('');
  expect(await client.code('get_paths', { domain, key: 'still7' })).toBe('OK');
});
