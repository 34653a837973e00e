/** Goal: uploads and fids behave alike on both engines. Method: as suite.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { atOnce, codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function uploadsSuite(openFresh: OpenFresh): void {
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

  describe('uploads', () => {
    test('an upload is found by its fid until it is closed', async () => {
      const request = { dmid, dkey: 'a', classid: 3, devids: [4, 2] };
      const fid = await store.openTempfile(request);
      const found = await store.findTempfile(fid);
      expect(found).toMatchObject({ ...request, fid });
      expect(Math.abs((found?.createtime ?? 0) - Date.now() / 1000)).toBeLessThan(60);
      const close = { fid, dmid, dkey: 'b', classid: 3, devids: [2], length: 5, replicate: true };
      expect(await store.closeTempfile(close)).toBe('stored');
      expect(await store.findTempfile(fid)).toBeUndefined();
      expect(await store.findFile({ dmid, dkey: 'a' })).toBeUndefined();
      expect(await store.findFile({ dmid, dkey: 'b' })).toEqual({
        fid,
        dmid,
        dkey: 'b',
        length: 5,
        classid: 3,
        devcount: 1,
        devids: [2],
      });
      expect(await count('file_to_replicate', `fid = ${fid} AND nexttry = 0`)).toBe(1);
    });

    test('a close with enough replicas is queued only when the class is another', async () => {
      const classid = await store.createClass({ dmid, name: 'single', mindevcount: 1 });
      const alike = { mindevcount: 1, replpolicy: null };
      // All in one batch: a class without a row, one that is so, and ones that are not.
      const cases = [
        { classid, replicate: alike, queued: 0 },
        { classid, replicate: { ...alike, mindevcount: 2 }, queued: 1 },
        { classid, replicate: { ...alike, replpolicy: 'MultipleDevices()' }, queued: 1 },
        { classid: 0, replicate: alike, queued: 1 },
        { classid: classid + 1, replicate: alike, queued: 1 },
      ];
      const fids = await Promise.all(
        cases.map((one, at) => put(store, { dmid, dkey: `key${at}`, devids: [1], ...one })),
      );
      const found = fids.map((fid) => count('file_to_replicate', `fid = ${fid} AND nexttry = 0`));
      expect(await Promise.all(found)).toEqual(cases.map(({ queued }) => queued));
      await store.updateClass({ dmid, classid, mindevcount: 2 });
      const late = await put(store, { dmid, dkey: 'late', classid, replicate: alike });
      expect(await count('file_to_replicate', `fid = ${late}`)).toBe(1);
    });

    test('a close into a domain that was deleted meanwhile stores nothing', async () => {
      const gone = await store.createDomain('gone');
      const fid = await store.openTempfile({ dmid: gone, dkey: 'a', classid: 0, devids: [1] });
      await store.deleteDomain(gone);
      const close = { fid, dmid: gone, dkey: 'a', classid: 0, devids: [1], length: 5 };
      const other = { dmid, dkey: 'b', classid: 0, devids: [1], length: 5, replicate: false };
      const fine = await store.openTempfile(other);
      // In one batch with a close that is right.
      const outcomes = await Promise.all([
        store.closeTempfile({ ...close, replicate: true }),
        store.closeTempfile({ ...other, fid: fine }),
      ]);
      expect(outcomes).toEqual(['unreg_domain', 'stored']);
      expect(await count('file', `fid = ${fid}`)).toBe(0);
      expect(await count('tempfile', `fid = ${fid}`)).toBe(1);
      expect(await store.createDomain('next')).toBeGreaterThan(gone);
    });

    test('a domain is deleted or gets files, not both', async () => {
      const other = await database.open();
      for (let round = 0; round < 10; round += 1) {
        const gone = await store.createDomain(`race${round}`);
        const fid = await store.openTempfile({ dmid: gone, dkey: 'a', classid: 0, devids: [1] });
        const close = { fid, dmid: gone, dkey: 'a', classid: 0, devids: [1], length: 5 };
        const [stored, deleted] = await Promise.all([
          store.closeTempfile({ ...close, replicate: false }),
          codeOf(other.deleteDomain(gone)),
        ]);
        const pair = `${stored} ${deleted}`;
        expect(['stored DOMAIN_HAS_FILES', 'unreg_domain none']).toContain(pair);
      }
    });

    test('a close without an open upload, or of a current fid, changes nothing', async () => {
      const close = { dmid, dkey: 'a', classid: 0, devids: [1], length: 5, replicate: true };
      expect(await store.closeTempfile({ ...close, fid: 4711 })).toBe('no_temp_file');
      const fid = await put(store, { dmid, dkey: 'a' });
      expect(await store.closeTempfile({ ...close, fid })).toBe('fid_exists');
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({ fid, length: 10 });
      expect(await count('file_to_replicate')).toBe(0);
    });

    test('an upload with a live fid cannot take its file over (§11.1 no. 25)', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      await database.sql(
        `INSERT INTO tempfile (fid, createtime, classid, dmid) VALUES (${fid}, 1, 0, ${dmid})`,
      );
      const close = { fid, dmid, dkey: 'b', classid: 0, devids: [9], length: 1, replicate: true };
      expect(await store.closeTempfile(close)).toBe('fid_exists');
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({ fid, devids: [1, 2] });
      expect(await store.findFile({ dmid, dkey: 'b' })).toBeUndefined();
      expect(await store.abandonTempfile({ fid, devids: [1] })).toBe(true);
      expect(await count('file_to_delete2')).toBe(0);
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({ fid });
    });

    test('an overwrite queues the old fid for deletion and keeps the new checksum', async () => {
      const checksum = { type: 'SHA-1', hex: 'ab'.repeat(20) } as const;
      const old = await put(store, { dmid, dkey: 'a' });
      const fid = await put(store, { dmid, dkey: 'a', checksum, devids: [3] });
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({ fid, devids: [3] });
      expect(await store.findChecksum(fid)).toEqual(checksum);
      expect(await store.findChecksum(old)).toBeUndefined();
      expect((await store.claimDeletions(10)).map((row) => row.fid)).toEqual([old]);
    });

    test('closes of one key in one tick: the last wins, the others are queued', async () => {
      const fids = await atOnce(20, () =>
        store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] }),
      );
      const close = { dmid, dkey: 'a', classid: 0, devids: [1], replicate: false };
      const outcomes = await Promise.all(
        fids.map((fid, length) => store.closeTempfile({ ...close, fid, length })),
      );
      expect(new Set(outcomes)).toEqual(new Set(['stored']));
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({
        fid: fids[19],
        length: 19,
      });
      const queued = (await store.claimDeletions(100)).map((row) => row.fid);
      expect(queued.sort((a, b) => a - b)).toEqual(fids.slice(0, 19));
    });

    test('of two trackers closing one upload, one stores it (I8)', async () => {
      const other = await database.open();
      for (let round = 0; round < 20; round += 1) {
        const fid = await store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] });
        const close = {
          fid,
          dmid,
          dkey: 'a',
          classid: 0,
          devids: [1],
          length: 1,
          replicate: false,
        };
        const outcomes = await Promise.all([
          store.closeTempfile(close),
          other.closeTempfile(close),
        ]);
        expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
      }
    });

    test('two trackers storing one new key leave one file and one deletion (I8)', async () => {
      const other = await database.open();
      for (let round = 0; round < 20; round += 1) {
        const dkey = `key ${round}`;
        const fids = await Promise.all([store, other].map((each) => put(each, { dmid, dkey })));
        const file = await store.findFile({ dmid, dkey });
        expect(fids).toContain(file?.fid);
        const lost = fids.find((fid) => fid !== file?.fid);
        expect(await count('file_to_delete2', `fid = ${lost}`)).toBe(1);
      }
      expect(await count('file_to_delete2')).toBe(20);
    });

    test('I3: a reader of a key that is overwritten always finds it', async () => {
      await put(store, { dmid, dkey: 'a' });
      const reader = await database.open();
      let done = false;
      let reads = 0;
      const reading = (async () => {
        while (!done) {
          const file = await reader.findFile({ dmid, dkey: 'a' });
          expect(file?.devids).toEqual([1, 2]);
          reads += 1;
        }
      })();
      for (let round = 0; round < 200; round += 1) await put(store, { dmid, dkey: 'a' });
      done = true;
      await reading;
      expect(reads).toBeGreaterThan(10);
    });

    test('one bad request among many good ones fails alone', async () => {
      const opens = await atOnce(50, (index) => {
        const classid = index === 20 ? 100_000 : 0;
        const dkey = 'k'.repeat(index === 20 ? 300 : 9);
        return codeOf(store.openTempfile({ dmid, dkey, classid, devids: [1] }));
      });
      expect(opens.filter((code) => code !== 'none')).toEqual(['FAILURE']);
      const fids = await atOnce(50, () =>
        store.openTempfile({ dmid, dkey: '', classid: 0, devids: [1] }),
      );
      const closes = await atOnce(50, (index) => {
        const dkey = index === 30 ? 'k'.repeat(300) : `key ${index}`;
        const fid = fids[index] as number;
        const close = { fid, dmid, dkey, classid: 0, devids: [1], length: 1, replicate: false };
        return codeOf(store.closeTempfile(close));
      });
      expect(closes.filter((code) => code !== 'none')).toEqual(['FAILURE']);
      expect(await count('file')).toBe(49);
      expect(await store.findTempfile(fids[30] as number)).toBeDefined();
    });

    test('an abandoned upload goes to the delete queue with its replicas, once', async () => {
      const fid = await store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1, 2] });
      expect(await store.abandonTempfile({ fid, devids: [1, 2] })).toBe(true);
      expect(await store.abandonTempfile({ fid, devids: [1, 2] })).toBe(false);
      expect((await store.replicasOf([fid])).get(fid)).toEqual([1, 2]);
      expect((await store.claimDeletions(10)).map((row) => row.fid)).toEqual([fid]);
    });

    test('stale uploads are listed oldest first', async () => {
      const fids = await atOnce(3, () =>
        store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] }),
      );
      expect(await store.staleTempfiles({ ageSeconds: 3600, limit: 10 })).toEqual([]);
      await database.sql(`UPDATE tempfile SET createtime = 100 WHERE fid <> ${fids[1]}`);
      const stale = await store.staleTempfiles({ ageSeconds: 3600, limit: 10 });
      expect(stale.map((row) => row.fid)).toEqual([fids[0], fids[2]]);
      expect(await store.staleTempfiles({ ageSeconds: 3600, limit: 1 })).toHaveLength(1);
    });

    test('a tempfile row is dropped only when its fid is a current file', async () => {
      const open = await store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] });
      const fid = await put(store, { dmid, dkey: 'b' });
      await database.sql(
        `INSERT INTO tempfile (fid, createtime, classid, dmid) VALUES (${fid}, 1, 0, ${dmid})`,
      );
      expect(await store.dropClosedTempfile(open)).toBe(false);
      expect(await store.dropClosedTempfile(fid)).toBe(true);
      expect(await count('tempfile')).toBe(1);
    });
  });

  describe('fids', () => {
    test('are distinct over two trackers', async () => {
      const other = await database.open();
      const request = { dmid, dkey: 'a', classid: 0, devids: [1] };
      const fids = await atOnce(400, (n) => (n % 2 === 0 ? store : other).openTempfile(request));
      expect(new Set(fids).size).toBe(400);
    });

    test('an explicit fid is taken once and never from somebody else', async () => {
      const request = { dmid, dkey: 'a', classid: 0, devids: [1] };
      const live = await put(store, { dmid, dkey: 'live' });
      expect(await store.openTempfile({ ...request, fid: 5000 })).toBe(5000);
      expect(await codeOf(store.openTempfile({ ...request, fid: 5000 }))).toBe('FID_IN_USE');
      expect(await codeOf(store.openTempfile({ ...request, fid: live }))).toBe('FID_IN_USE');
      // A refused fid leaves nothing behind (§11.1 no. 25).
      expect(await store.findTempfile(live)).toBeUndefined();
      expect(await store.openTempfile(request)).toBeGreaterThan(5000);
    });

    test('are above all that is in use, wherever the counter stands', async () => {
      await database.sql(
        `INSERT INTO file (fid, dmid, dkey, length, classid, devcount)
         VALUES (900, ${dmid}, NULL, 1, 0, 1)`,
      );
      await database.sql('INSERT INTO file_on (fid, devid) VALUES (950, 1)');
      const fresh = await database.open();
      const request = { dmid, dkey: 'a', classid: 0, devids: [1] };
      const fids = await atOnce(10, () => fresh.openTempfile(request));
      expect(Math.min(...fids)).toBeGreaterThan(950);
      expect(await count('tempfile')).toBe(10);
    });

    test('step over fids that were put in ahead of the counter', async () => {
      const request = { dmid, dkey: 'a', classid: 0, devids: [1] };
      const first = await store.openTempfile(request);
      await database.sql(
        `INSERT INTO file (fid, dmid, dkey, length, classid, devcount)
         VALUES (${first + 3}, ${dmid}, NULL, 1, 0, 1)`,
      );
      const fids = await atOnce(10, () => store.openTempfile(request));
      expect(fids).not.toContain(first + 3);
      expect(await count('tempfile', `fid = ${first + 3}`)).toBe(0);
    });
  });
}
