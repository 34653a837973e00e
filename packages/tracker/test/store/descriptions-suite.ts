/**
 * Goal: what is said of a file goes with its fid, and a conditional close is decided where the file
 * is stored. Method: as suite.ts, on one database.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { allBytes, atOnce, codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function descriptionsSuite(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;
  let dmid: number;

  beforeAll(async () => {
    database = await openFresh();
    store = await database.open();
    dmid = await store.createDomain('one');
  });
  afterAll(() => database.drop());

  describe('descriptions', () => {
    test('any bytes come back, and what was not said stays unsaid', async () => {
      expect((await store.descriptions.of([1, 2])).size).toBe(0);
      const [one = '', two = ''] = allBytes;
      const rows = [
        { fid: 1, contentType: one, filename: two, metadata: '{"a":"b"}' },
        { fid: 2, contentType: '', filename: undefined, metadata: undefined },
      ];
      await Promise.all(rows.map((row) => store.descriptions.write(row)));
      const found = await (await database.open()).descriptions.of([1, 2, 3]);
      expect([...found.values()]).toEqual(
        rows.map((row) => ({ ...row, utime: expect.any(Number) })),
      );
      await store.descriptions.write({ fid: 1 });
      const [again] = (await store.descriptions.of([1])).values();
      expect(again).toMatchObject({ fid: 1, contentType: undefined, metadata: undefined });
    });

    test('rows of fids that are gone are dropped, others never', async () => {
      const kept = await put(store, { dmid, dkey: 'kept' });
      const gone = await put(store, { dmid, dkey: 'gone' });
      const open = await store.openTempfile({ dmid, dkey: 'open', classid: 0, devids: [1] });
      for (const fid of [kept, gone, open]) await store.descriptions.write({ fid });
      await store.deleteKey({ dmid, dkey: 'gone' });
      let steps = 0;
      for (let after: number | undefined = 0; after !== undefined && steps < 9; steps += 1) {
        after = await store.descriptions.prune({ after, limit: 2 });
      }
      expect(steps).toBeGreaterThan(1);
      const left = await store.descriptions.of([kept, gone, open]);
      expect([...left.keys()].sort()).toEqual([kept, open].sort());
    });

    test('a table that is dropped under way is made again', async () => {
      await store.descriptions.write({ fid: 1 });
      await database.sql('DROP TABLE omg_file_meta');
      expect((await store.descriptions.of([1])).size).toBe(0);
      expect(await store.descriptions.prune({ after: 0, limit: 5 })).toBeUndefined();
      await store.descriptions.write({ fid: 2 }).catch(() => undefined);
      await store.descriptions.write({ fid: 2 });
      expect((await store.descriptions.of([2])).size).toBe(1);
    });

    test('only a table that is not there has nothing to say', async () => {
      await store.descriptions.write({ fid: 3, filename: 'three' });
      await database.sql('ALTER TABLE omg_file_meta RENAME COLUMN name TO title');
      expect(await codeOf(store.descriptions.of([3]))).toBe('FAILURE');
      await database.sql('ALTER TABLE omg_file_meta RENAME COLUMN title TO name');
      expect((await store.descriptions.of([3])).get(3)).toMatchObject({ filename: 'three' });
    });
  });

  describe('a close in the place of a certain file', () => {
    const closeOf = async (dkey: string, replacing: number) => {
      const fid = await store.openTempfile({ dmid, dkey, classid: 0, devids: [1] });
      const length = 1;
      const request = { fid, dmid, dkey, classid: 0, devids: [1], length, replicate: false };
      return { fid, outcome: await store.closeTempfile({ ...request, replacing }) };
    };

    test('stores there only, and leaves the upload open otherwise', async () => {
      const first = await closeOf('key', 0);
      expect(first.outcome).toBe('stored');
      const second = await closeOf('key', 0);
      expect(second.outcome).toBe('other_file');
      expect(await store.findTempfile(second.fid)).toBeDefined();
      expect((await store.findFile({ dmid, dkey: 'key' }))?.fid).toBe(first.fid);
      expect((await closeOf('key', first.fid)).outcome).toBe('stored');
      expect((await closeOf('key', first.fid)).outcome).toBe('other_file');
      expect((await closeOf('absent', first.fid)).outcome).toBe('other_file');
    });

    test('a key is removed while it stands for a certain file', async () => {
      const [one, two] = await atOnce(2, (at) => put(store, { dmid, dkey: `remove${at}` }));
      const remove = (at: number, fid = one) => store.deleteKey({ dmid, dkey: `remove${at}`, fid });
      expect(await Promise.all([remove(0), remove(1), remove(2)])).toEqual([true, false, false]);
      expect((await store.findFile({ dmid, dkey: 'remove1' }))?.fid).toBe(two);
      expect(await remove(1, two)).toBe(true);
    });

    test('of many at once, by two stores, one wins', async () => {
      const other = await database.open();
      const outcomes = await atOnce(12, async (index) => {
        const by = index % 2 === 0 ? store : other;
        const fid = await by.openTempfile({ dmid, dkey: 'race', classid: 0, devids: [1] });
        const file = { dmid, dkey: 'race', classid: 0, devids: [1], length: 1, replicate: false };
        return by.closeTempfile({ ...file, fid, replacing: 0 });
      });
      expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
      expect(new Set(outcomes)).toEqual(new Set(['stored', 'other_file']));
    });
  });
}
