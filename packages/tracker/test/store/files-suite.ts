/** Goal: keys and replicas behave alike on both engines. Method: as suite.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { allBytes, atOnce, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function filesSuite(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;
  let dmid: number;

  beforeEach(async () => {
    database = await openFresh();
    store = await database.open();
    dmid = await store.createDomain('one');
  });
  afterEach(() => database.drop());

  const count = async (table: string, where = '1 = 1') => {
    const [row] = await database.sql(`SELECT COUNT(*) AS n FROM ${table} WHERE ${where}`);
    return Number(row?.n);
  };

  describe('keys', () => {
    test('all byte values, blanks and case count, in keys and names', async () => {
      const names = [...allBytes, 'a', 'A', 'a ', ' a', 'a\0', 'ä', '\xc3\xa4', '%', '_', "'\\"];
      const dmids = new Map<string, number>();
      for (const name of names) dmids.set(name, await store.createDomain(name));
      const fids = await Promise.all(names.map((dkey) => put(store, { dmid, dkey })));
      const found = await Promise.all(names.map((dkey) => store.findFile({ dmid, dkey })));
      expect(found.map((file) => [file?.dkey, file?.fid])).toEqual(
        names.map((name, index) => [name, fids[index]]),
      );
      for (const dkey of names) {
        const alone = await store.findFile({ dmid, dkey });
        expect(alone?.dkey).toBe(dkey);
      }
      const domains = (await store.loadTopology()).domains;
      expect(new Map(domains.map((each) => [each.name, each.dmid]))).toEqual(
        new Map([...dmids, ['one', dmid]]),
      );
      const listed = await listAll(store, { dmid, prefix: '' });
      expect(listed).toEqual([...names].sort(byBytes));
    });

    test('of several domains are looked up together', async () => {
      const second = await store.createDomain('two');
      const fids = await Promise.all([
        put(store, { dmid, dkey: 'a' }),
        put(store, { dmid: second, dkey: 'a' }),
      ]);
      const found = await Promise.all([
        store.findFile({ dmid, dkey: 'a' }),
        store.findFile({ dmid: second, dkey: 'a' }),
        store.findFile({ dmid: second, dkey: 'b' }),
      ]);
      expect(found.map((file) => file?.fid)).toEqual([...fids, undefined]);
    });

    test('more lookups than one statement carries are answered, each its own', async () => {
      await atOnce(300, (index) => put(store, { dmid, dkey: `key ${index}` }));
      const found = await atOnce(700, (index) =>
        store.findFile({ dmid, dkey: `key ${index % 350}` }),
      );
      found.forEach((file, index) => {
        expect(file?.dkey).toBe(index % 350 < 300 ? `key ${index % 350}` : undefined);
      });
    });

    test('are listed below a prefix, page by page, whatever the prefix contains', async () => {
      const inside = ['p_1', 'p_2', 'p_%', 'p_\xff', 'p_\xff\xff', 'p_'];
      const outside = ['o', 'p', 'pa1', 'P_1', 'q', 'p`'];
      await Promise.all([...inside, ...outside].map((dkey) => put(store, { dmid, dkey })));
      expect(await listAll(store, { dmid, prefix: 'p_' })).toEqual([...inside].sort(byBytes));
      expect(await listAll(store, { dmid, prefix: 'p_\xff' })).toEqual(['p_\xff', 'p_\xff\xff']);
      expect(await listAll(store, { dmid, prefix: '\xff' })).toEqual([]);
      const page = { dmid, prefix: 'p_', after: 'p_1', limit: 2, caseSensitive: true };
      expect(await store.listKeys(page)).toEqual(['p_2', 'p_\xff']);
    });

    test('a deleted key is gone at once and its fid queued', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      const outcomes = await atOnce(5, () => store.deleteKey({ dmid, dkey: 'a' }));
      expect(outcomes).toEqual([true, false, false, false, false]);
      expect(await store.findFile({ dmid, dkey: 'a' })).toBeUndefined();
      expect((await store.claimDeletions(10)).map((row) => row.fid)).toEqual([fid]);
    });

    test('a rename moves the file and never overwrites', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      await put(store, { dmid, dkey: 'b' });
      expect(await store.renameKey({ dmid, from: 'x', to: 'y' })).toBe('unknown_key');
      expect(await store.renameKey({ dmid, from: 'a', to: 'b' })).toBe('key_exists');
      expect(await store.renameKey({ dmid, from: 'a', to: 'c' })).toBe('renamed');
      expect(await store.findFile({ dmid, dkey: 'c' })).toMatchObject({ fid });
      expect(await store.findFile({ dmid, dkey: 'a' })).toBeUndefined();
    });

    test('two trackers renaming to one key: one succeeds (I8)', async () => {
      const other = await database.open();
      await Promise.all(['a', 'b'].map((dkey) => put(store, { dmid, dkey })));
      const outcomes = await Promise.all([
        store.renameKey({ dmid, from: 'a', to: 'c' }),
        other.renameKey({ dmid, from: 'b', to: 'c' }),
      ]);
      expect([...outcomes].sort()).toEqual(['key_exists', 'renamed']);
    });

    test('a delete and an overwrite at once leave no fid behind', async () => {
      const other = await database.open();
      for (let round = 0; round < 20; round += 1) {
        await put(store, { dmid, dkey: 'a' });
        await Promise.all([put(store, { dmid, dkey: 'a' }), other.deleteKey({ dmid, dkey: 'a' })]);
      }
      const current = await store.findFile({ dmid, dkey: 'a' });
      const live = current === undefined ? 0 : 1;
      expect((await count('file_to_delete2')) + live).toBe(40);
    });
  });

  describe('replicas', () => {
    test('are added, removed and counted', async () => {
      const fid = await put(store, { dmid, dkey: 'a', devids: [1] });
      expect(await store.addReplica({ fid, devid: 2 })).toBe(true);
      expect(await store.addReplica({ fid, devid: 2 })).toBe(true);
      expect(await store.filesByFid([fid, 4711])).toMatchObject([{ fid, devcount: 2 }]);
      await store.removeReplica({ fid, devid: 1 });
      expect(await store.filesByFid([fid])).toMatchObject([{ devcount: 1, devids: [2] }]);
      expect(await store.replicasOf([fid, 4711])).toEqual(
        new Map([
          [fid, [2]],
          [4711, []],
        ]),
      );
    });

    test('a replica of a file that is gone by now is queued for deletion', async () => {
      const fid = await put(store, { dmid, dkey: 'a', devids: [1] });
      await store.deleteKey({ dmid, dkey: 'a' });
      await database.sql('DELETE FROM file_to_delete2');
      expect(await store.addReplica({ fid, devid: 2 })).toBe(false);
      expect((await store.replicasOf([fid])).get(fid)).toEqual([1, 2]);
      expect((await store.claimDeletions(10)).map((row) => row.fid)).toEqual([fid]);
    });

    test('counts stay right when two trackers add replicas at once', async () => {
      const other = await database.open();
      const fid = await put(store, { dmid, dkey: 'a', devids: [1] });
      await atOnce(20, (index) =>
        (index % 2 === 0 ? store : other).addReplica({ fid, devid: 10 + index }),
      );
      expect(await store.filesByFid([fid])).toMatchObject([{ devcount: 21 }]);
    });

    test('files are walked in the order of fids', async () => {
      const fids = await atOnce(5, (index) => put(store, { dmid, dkey: `key ${index}` }));
      const sorted = [...fids].sort((one, two) => one - two);
      const page = await store.filesAfter({ after: sorted[1] as number, limit: 2 });
      expect(page.map((file) => file.fid)).toEqual(sorted.slice(2, 4));
      expect(await store.filesAfter({ after: sorted[4] as number, limit: 2 })).toEqual([]);
    });

    test('a change of class queues the fid', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      await store.changeClass({ fid, classid: 7 });
      expect(await store.filesByFid([fid])).toMatchObject([{ classid: 7 }]);
      expect((await store.claimReplications(10)).map((row) => row.fid)).toEqual([fid]);
      await store.changeClass({ fid: 4711, classid: 7 });
      expect(await count('file_to_replicate', 'fid = 4711')).toBe(0);
    });
  });
}

async function listAll(store: Store, request: { dmid: number; prefix: string }): Promise<string[]> {
  const keys: string[] = [];
  for (;;) {
    const page = await store.listKeys({
      ...request,
      after: keys.at(-1) ?? '',
      limit: 4,
      caseSensitive: true,
    });
    if (page.length === 0) return keys;
    keys.push(...page);
  }
}

function byBytes(one: string, two: string): number {
  return Buffer.compare(Buffer.from(one, 'latin1'), Buffer.from(two, 'latin1'));
}
