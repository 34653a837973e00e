/** One of everything that trackers do to a database, for databases that others made. */
import { expect } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { put } from './fixture.ts';

/** What trackers do to a database all day. */
export async function live(store: Store, keys: readonly string[]): Promise<void> {
  const dmid = await store.createDomain('life');
  const classid = await store.createClass({ dmid, name: 'c', mindevcount: 3, hashtype: 'MD5' });
  await store.updateClass({ dmid, classid, replpolicy: 'MultipleDevices()' });
  await store.setSetting({ field: 'queue_rate_for_fsck', value: '10' });
  const hostid = await store.createHost({ hostname: 'n', hostip: '10.9.9.9', httpPort: 7500 });
  await store.createDevice({ devid: 77, hostid, status: 'alive' });
  await store.setDeviceUsage([{ devid: 77, mbTotal: 100, mbUsed: 1, mbAsof: 1_700_000_000 }]);
  for (const dkey of keys) {
    await put(store, { dmid, dkey, classid });
    const fid = await put(store, { dmid, dkey, classid, replicate: true });
    expect(await store.findFile({ dmid, dkey })).toMatchObject({ fid, dkey, devids: [1, 2] });
    await store.addReplica({ fid, devid: 77 });
    await store.removeReplica({ fid, devid: 1 });
    await store.saveChecksum({ fid, checksum: { type: 'MD5', hex: 'ab'.repeat(16) } });
    await store.changeClass({ fid, classid: 0 });
    await store.enqueueReplication({ fid, nexttry: 0 });
    expect(await store.renameKey({ dmid, from: dkey, to: 'renamed' })).toBe('renamed');
    expect(await store.renameKey({ dmid, from: 'renamed', to: dkey })).toBe('renamed');
    const page = { dmid, prefix: dkey, after: '', limit: 9, caseSensitive: true };
    expect(await store.listKeys(page)).toEqual([dkey]);
    expect(await store.deleteKey({ dmid, dkey })).toBe(true);
    expect(await store.findFile({ dmid, dkey })).toBeUndefined();
  }
  for (const { fid } of await store.claimDeletions(100)) await store.finishDeletions([fid]);
  const claimed = await store.claimReplications(100);
  for (const row of claimed) await store.finishReplication(row);
  expect(await store.moveLegacyDeletions(10)).toBeGreaterThan(0);
  expect(await store.withLock({ name: 'mgfs:reaper', waitMs: 100 }, async () => 1)).toBe(1);
  const { domains } = await store.loadTopology();
  expect(domains.map(({ name }) => name)).toEqual(['d', 'life']);
}
