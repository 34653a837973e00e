/**
 * Goal: the parts of an upload are in one order, whoever adds them, and what is given up is given
 * up as a whole. Method: as suite.ts, on one database.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { allBytes, atOnce, type FreshDatabase, type OpenFresh } from './fixture.ts';

/** As they were made on 2026-11-20, with an upload that had begun; `old` and `k` in hexadecimal. */
const earlierTables = [
  `CREATE TABLE omg_upload (id VARBINARY(64) NOT NULL, dmid BIGINT NOT NULL,
   dkey VARBINARY(255) NOT NULL, classname VARBINARY(255) NOT NULL, length BIGINT,
   expires BIGINT NOT NULL, busy BIGINT NOT NULL, fid BIGINT NOT NULL, target BIGINT NOT NULL,
   ctype VARBINARY(255), name VARBINARY(255), meta VARBINARY(8192), PRIMARY KEY (id))`,
  `CREATE TABLE omg_upload_part (id VARBINARY(64) NOT NULL, start BIGINT NOT NULL,
   fid BIGINT NOT NULL, devid BIGINT NOT NULL, length BIGINT NOT NULL, PRIMARY KEY (id, start))`,
  "INSERT INTO omg_upload VALUES (x'6f6c64', 1, x'6b', x'', 9, 9999999999, 0, 0, 0, x'', x'', x'')",
  "INSERT INTO omg_upload_part VALUES (x'6f6c64', 0, 7, 1, 5)",
];

export function resumableSuite(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;
  let dmid: number;

  beforeAll(async () => {
    database = await openFresh();
    store = await database.open();
    dmid = await store.createDomain('one');
  });
  afterAll(() => database.drop());

  const said = { contentType: undefined, filename: 'ä', metadata: undefined };
  const row = () => ({ dmid, className: '', length: 20, ...said });
  const create = async (id: string, ttlSeconds = 100) => {
    await store.uploads.create({ id, dkey: 'key', ...row() }, { ttlSeconds });
  };
  const options = { ttlSeconds: 5_000, tempfileAgeSeconds: 3_600, partsMax: 4 };
  const partAt = async (start: number) => {
    const request = { dmid, dkey: 'key', classid: 0, devids: [1] };
    return { start, fid: await store.openTempfile(request), devids: [1, 2], length: 10 };
  };

  describe('uploads in parts', () => {
    test('are found as they were made, until they expire or are removed', async () => {
      expect(await store.uploads.find('a')).toBeUndefined();
      const dkey = allBytes[1] ?? '';
      const upload = { id: 'a', dkey, ...row(), length: undefined };
      await store.uploads.create(upload, { ttlSeconds: 100 });
      const facts = { fid: 0, bytes: 0, expires: expect.any(Number) };
      expect(await store.uploads.parts('a')).toEqual([]);
      expect(await store.uploads.find('a')).toEqual({ ...upload, ...facts });
      expect(await store.uploads.setLength({ id: 'a', length: 5 })).toBe(true);
      expect(await store.uploads.setLength({ id: 'a', length: 6 })).toBe(false);
      await create('over', 0);
      expect(await store.uploads.find('over')).toBeUndefined();
      expect(await store.uploads.expire({ after: '', limit: 1 })).toBe('a');
      expect(await store.uploads.expire({ after: 'a', limit: 10 })).toBeUndefined();
      expect(await database.sql('SELECT COUNT(*) AS n FROM omg_upload')).toMatchObject([{ n: 1 }]);
      await store.uploads.remove('a');
      expect(await store.uploads.find('a')).toBeUndefined();
    });

    test('of two parts for one place, one is taken; parts live as long as the upload', async () => {
      await create('b');
      const other = await database.open();
      const parts = await Promise.all([partAt(0), partAt(0), partAt(0), partAt(5)]);
      const outcomes = await atOnce(parts.length, (at) => {
        const by = at % 2 === 0 ? store : other;
        const part = parts[at];
        if (part === undefined) throw new Error('no part');
        return by.uploads.addPart({ id: 'b', part }, options);
      });
      expect([...outcomes].sort()).toEqual(['added', ...Array(3).fill('other_offset')]);
      const taken = parts[outcomes.indexOf('added')];
      if (taken === undefined) throw new Error('none was taken');
      // Again, as after a commit whose answer got lost.
      expect(await store.uploads.addPart({ id: 'b', part: taken }, options)).toBe('added');
      const found = await store.uploads.find('b');
      expect(found?.bytes).toBe(taken.length);
      expect(await store.uploads.parts('b')).toEqual([taken]);
      const created = (await store.findTempfile(taken.fid))?.createtime ?? 0;
      expect(Math.abs((found?.expires ?? 0) - created - 3_600)).toBeLessThan(2);
      const part = await partAt(0);
      expect(await store.uploads.addPart({ id: 'none', part }, options)).toBe('unknown');
      // What comes later puts the end off, now and then for all parts.
      const ends = [found?.expires ?? 0];
      for (const pass of [0, 1_000]) {
        const back = `SET expires = expires - ${pass} WHERE id = x'62'`;
        await database.sql(`UPDATE omg_upload ${back}`);
        await database.sql("UPDATE omg_upload SET length = NULL WHERE id = x'62'");
        const next = await partAt(10 * ends.length);
        expect(await store.uploads.addPart({ id: 'b', part: next }, options)).toBe('added');
        const { expires = 0 } = (await store.uploads.find('b')) ?? {};
        ends.push(expires);
        const young = pass === 0 ? [next] : [next, taken];
        for (const { fid } of young) {
          const age = expires - ((await store.findTempfile(fid))?.createtime ?? 0);
          expect(Math.abs(age - options.tempfileAgeSeconds)).toBeLessThan(5);
        }
      }
      // An earlier one again, and one too many.
      expect(await store.uploads.addPart({ id: 'b', part: taken }, options)).toBe('added');
      const many = { ...options, partsMax: 3 };
      const further = await partAt(30);
      expect(await store.uploads.addPart({ id: 'b', part: further }, many)).toBe('too_many');
      expect(ends[1]).toBe(ends[0]);
      expect(ends[2]).toBeGreaterThanOrEqual(ends[0] ?? 0);
    });

    test('are put together by one at a time, and only once', async () => {
      await create('c');
      const other = await database.open();
      const claim = (by: Store) => by.uploads.claim({ id: 'c', leaseSeconds: 50 });
      const claims = await atOnce(6, (at) => claim(at % 2 === 0 ? store : other));
      expect(claims.filter(Boolean)).toHaveLength(1);
      await store.uploads.renew({ id: 'c', leaseSeconds: 0 });
      expect(await claim(other)).toBe(true);
      const part = await partAt(0);
      await store.uploads.addPart({ id: 'c', part }, options);
      const file = { dmid, dkey: 'key', classid: 0, devids: [1], length: 10, replicate: false };
      const close = async (upload: string, fid?: number) => {
        fid ??= await store.openTempfile({ dmid, dkey: 'key', classid: 0, devids: [1] });
        return store.closeTempfile({ ...file, fid, upload });
      };
      expect(await close('c', part.fid)).toBe('stored');
      expect(await store.uploads.find('c')).toMatchObject({ fid: part.fid, bytes: 10 });
      await store.uploads.forgetParts('c');
      expect(await store.uploads.find('c')).toMatchObject({ fid: part.fid, bytes: 0 });
      expect(await store.uploads.parts('c')).toEqual([]);
      await store.uploads.renew({ id: 'c', leaseSeconds: 0 });
      expect(await claim(store)).toBe(false);
      // Nor does it come back when the key has gone on.
      await store.deleteKey({ dmid, dkey: 'key' });
      expect(await close('c')).toBe('no_upload');
      await create('d');
      const both = await Promise.all([close('d'), store.uploads.remove('d')]);
      expect(['stored', 'no_upload']).toContain(both[0]);
      expect(await close('d')).toBe('no_upload');
    });

    test('tables of earlier builds are brought up to date, by two trackers at once', async () => {
      const earlier = await openFresh();
      try {
        const stores = await Promise.all([earlier.open(), earlier.open()]);
        for (const table of earlierTables) await earlier.sql(table);
        const found = await Promise.all(stores.map((by) => by.uploads.find('old')));
        expect(found).toEqual(Array(2).fill(expect.objectContaining({ dkey: 'k', bytes: 0 })));
        await Promise.all(
          stores.map(async (by, at) => {
            const id = `new${at}`;
            await by.uploads.create({ id, dkey: 'key', ...row() }, { ttlSeconds: 100 });
            const part = { start: 0, fid: 10 + at, devids: [1, 2], length: 10 };
            expect(await by.uploads.addPart({ id, part }, options)).toBe('added');
            expect(await by.uploads.parts(id)).toEqual([part]);
          }),
        );
      } finally {
        await earlier.drop();
      }
    });

    test('an open upload that takes long is made young again', async () => {
      const { fid } = await partAt(0);
      await database.sql(`UPDATE tempfile SET createtime = 1000 WHERE fid = ${fid}`);
      expect(await store.uploads.renewTempfile(fid)).toBe(true);
      expect((await store.findTempfile(fid))?.createtime).toBeGreaterThan(1000);
      expect(await store.uploads.renewTempfile(fid + 1)).toBe(false);
    });
  });
}
