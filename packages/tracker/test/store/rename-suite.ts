/** Goal: keys are renamed whole or not at all on both engines. Method: as suite.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function renameSuite(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;
  let dmid: number;

  beforeEach(async () => {
    database = await openFresh();
    store = await database.open();
    dmid = await store.createDomain('one');
  });
  afterEach(() => database.drop());

  const keys = () =>
    store.listKeys({ dmid, prefix: '', after: '', limit: 1000, caseSensitive: true });
  const putAll = (names: readonly string[]) =>
    Promise.all(names.map((dkey) => put(store, { dmid, dkey })));

  describe('rename', () => {
    test('onto a key replaces its file in one step and queues that (I3)', async () => {
      const [fid, old] = await putAll(['a', 'b']);
      expect(await store.renameKey({ dmid, from: 'a', to: 'b', replace: true })).toBe('renamed');
      expect(await store.findFile({ dmid, dkey: 'b' })).toMatchObject({ fid });
      expect(await keys()).toEqual(['b']);
      const queued = await database.sql('SELECT fid FROM file_to_delete2');
      expect(queued.map((row) => Number(row.fid))).toEqual([old]);
      expect(await store.renameKey({ dmid, from: 'b', to: 'b', replace: true })).toBe('renamed');
      expect(await store.findFile({ dmid, dkey: 'b' })).toMatchObject({ fid });
    });

    test('onto one key by two trackers at once: neither fails, one file is left', async () => {
      const other = await database.open();
      for (let round = 0; round < 10; round += 1) {
        await putAll(['a', 'b']);
        const outcomes = await Promise.all([
          store.renameKey({ dmid, from: 'a', to: 'c', replace: true }),
          other.renameKey({ dmid, from: 'b', to: 'c', replace: true }),
        ]);
        expect(outcomes).toEqual(['renamed', 'renamed']);
        expect(await keys()).toEqual(['c']);
      }
    });

    test('of a prefix takes every key with exactly it, over several pages', async () => {
      const odd = ['dir/', 'dir/\xff\xfe', 'dir/%_', 'dir/dir/x', "dir/'"];
      const many = Array.from({ length: 300 }, (_, index) => `dir/n${index}`);
      const others = ['dir', 'dir0', 'Dir/x', 'dis/x'];
      await putAll([...odd, ...many, ...others]);
      const count = await store.renamePrefix({ dmid, from: 'dir/', to: 'to/deep/', max: 400 });
      expect(count).toBe(305);
      const expected = [...odd, ...many].map((key) => `to/deep/${key.slice(4)}`);
      expect(new Set(await keys())).toEqual(new Set([...expected, ...others]));
      expect(await store.renamePrefix({ dmid, from: 'none/', to: 'x/', max: 1 })).toBe(0);
    });

    test('of two prefixes onto one free name, at two trackers at once: one (I8)', async () => {
      const other = await database.open();
      for (let round = 0; round < 3; round += 1) {
        const [a, b, to] = [`a${round}/`, `b${round}/`, `to${round}/`];
        await putAll([`${a}x`, `${b}y`]);
        const both = [store, other].map((by, at) => {
          const request = { dmid, from: at === 0 ? a : b, to, max: 9, free: true };
          return codeOf(by.renamePrefix(request));
        });
        expect((await Promise.all(both)).sort()).toEqual(['KEY_EXISTS', 'none']);
        const left = (await keys()).filter((key) => key.startsWith(to));
        expect(left).toHaveLength(1);
      }
    });

    test('of a prefix renames nothing when one key cannot be', async () => {
      const many = Array.from({ length: 300 }, (_, index) => `dir/n${index}`);
      await putAll([...many, 'to/n99']);
      const before = await keys();
      const attempt = (to: string, max: number) =>
        codeOf(store.renamePrefix({ dmid, from: 'dir/', to, max }));
      expect(await attempt('to/', 1000)).toBe('KEY_EXISTS');
      expect(await attempt('free/', 299)).toBe('TOO_MANY_KEYS');
      expect(await attempt(`${'x'.repeat(251)}/`, 1000)).toBe('KEY_TOO_LONG');
      expect(await keys()).toEqual(before);
    });
  });
}
