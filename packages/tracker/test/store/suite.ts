/**
 * Goal: both engines keep the contract of `src/store/store.ts`. Method: one suite, called with each
 * engine; real databases; races are two stores on one database that are set off together.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { endOfTime } from '../../src/store/store.ts';
import { allBytes, atOnce, codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function storeSuite(openFresh: OpenFresh): void {
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

    test('a close without an open upload, or of a current fid, changes nothing', async () => {
      const close = { dmid, dkey: 'a', classid: 0, devids: [1], length: 5, replicate: true };
      expect(await store.closeTempfile({ ...close, fid: 4711 })).toBe('no_temp_file');
      const fid = await put(store, { dmid, dkey: 'a' });
      expect(await store.closeTempfile({ ...close, fid })).toBe('fid_exists');
      expect(await store.findFile({ dmid, dkey: 'a' })).toMatchObject({ fid, length: 10 });
      expect(await count('file_to_replicate')).toBe(0);
    });

    test('an upload in the place of a live fid cannot take the file over (§11.1 no. 25)', async () => {
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

    test('never come out below or equal to what is in use, wherever the counter stands', async () => {
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

  describe('queues', () => {
    test('rows are claimed smallest nexttry first, and once over two trackers (I8)', async () => {
      const other = await database.open();
      await atOnce(40, (index) => store.enqueueReplication({ fid: 100 + index, nexttry: index }));
      const [mine, theirs] = await Promise.all([
        store.claimReplications(20),
        other.claimReplications(20),
      ]);
      const all = [...mine, ...theirs].map((row) => row.fid).sort((one, two) => one - two);
      expect(all).toEqual(Array.from({ length: 40 }, (_, index) => 100 + index));
      for (const rows of [mine, theirs]) {
        expect(rows.map((row) => row.nexttry)).toEqual(
          rows.map((row) => row.nexttry).sort((one, two) => one - two),
        );
      }
      expect(await store.claimReplications(20)).toEqual([]);
    });

    test('a postponed row waits, a finished one goes', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: 0, fromdevid: 9 });
      await store.enqueueReplication({ fid: 2, nexttry: 0 });
      const claimed = await store.claimReplications(10);
      expect(claimed.find((row) => row.fid === 1)).toMatchObject({ fromdevid: 9, failcount: 0 });
      await store.postponeReplication({ fid: 1, nexttry: endOfTime, failcount: 300 });
      await store.finishReplications([2]);
      expect(await database.sql('SELECT fid, nexttry, failcount FROM file_to_replicate')).toEqual([
        { fid: 1, nexttry: endOfTime, failcount: 255 },
      ]);
    });

    test('enqueueing wakes a parked row (§11.1 no. 7) and never delays one', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: endOfTime });
      await store.enqueueReplication({ fid: 1, nexttry: 1 });
      await store.enqueueReplication({ fid: 1, nexttry: endOfTime });
      expect(await store.claimReplications(10)).toMatchObject([{ fid: 1, nexttry: 1 }]);
    });

    test('what is enqueued while it is worked on stays queued (I5)', async () => {
      for (const fid of [1, 2]) await store.enqueueReplication({ fid, nexttry: 0 });
      expect(await store.claimReplications(10)).toHaveLength(2);
      for (const fid of [1, 2]) await store.enqueueReplication({ fid, nexttry: 5 });
      await store.finishReplications([1]);
      await store.postponeReplication({ fid: 2, nexttry: endOfTime, failcount: 1 });
      expect(await store.claimReplications(10)).toMatchObject([
        { fid: 1, nexttry: 5 },
        { fid: 2, nexttry: 5, failcount: 1 },
      ]);
    });

    test('waiting rows can be made due', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: endOfTime });
      await store.enqueueReplication({ fid: 2, nexttry: 0 });
      expect(await store.hastenReplications()).toBe(1);
      expect(await store.claimReplications(10)).toHaveLength(2);
    });

    test('a deletion ends when no replica is left', async () => {
      const checksum = { type: 'MD5', hex: 'cd'.repeat(16) } as const;
      const [gone, held] = await Promise.all(
        ['a', 'b'].map((dkey) => put(store, { dmid, dkey, checksum })),
      );
      await Promise.all(['a', 'b'].map((dkey) => store.deleteKey({ dmid, dkey })));
      expect(await store.claimDeletions(10)).toHaveLength(2);
      expect(await store.claimDeletions(10)).toEqual([]);
      for (const devid of [1, 2]) await store.removeReplica({ fid: gone as number, devid });
      await store.finishDeletions([gone as number, held as number]);
      expect(await store.findChecksum(gone as number)).toBeUndefined();
      expect(await store.findChecksum(held as number)).toEqual(checksum);
      await store.postponeDeletion({ fid: held as number, nexttry: 7, failcount: 2 });
      expect(await store.claimDeletions(10)).toEqual([{ fid: held, nexttry: 7, failcount: 2 }]);
    });

    test('depths are counted', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: 0 });
      await store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] });
      await put(store, { dmid, dkey: 'b' });
      await store.deleteKey({ dmid, dkey: 'b' });
      expect(await store.queueDepths()).toEqual({ replicate: 1, delete: 1, tempfile: 1 });
    });
  });

  describe('locks', () => {
    const request = { name: 'mgfs:fid:1:replicate', waitMs: 0 };

    test('exclude within a store and between stores', async () => {
      const other = await database.open();
      const inner = await store.withLock(request, async () => [
        await store.withLock(request, async () => 'again'),
        await other.withLock(request, async () => 'again'),
        await other.withLock({ ...request, name: 'mgfs:fid:2:replicate' }, async () => 'other'),
      ]);
      expect(inner).toEqual([undefined, undefined, 'other']);
      expect(await other.withLock(request, async () => 'free')).toBe('free');
    });

    test('are given back when the work fails', async () => {
      const failing = store.withLock(request, () => Promise.reject(new Error('broken')));
      await expect(failing).rejects.toThrow('broken');
      expect(await store.withLock(request, async () => 'free')).toBe('free');
    });

    test('are handed on to those who wait, one at a time', async () => {
      const other = await database.open();
      let inside = 0;
      const seen = await atOnce(30, (index) =>
        (index % 2 === 0 ? store : other).withLock({ ...request, waitMs: 30_000 }, async () => {
          inside += 1;
          const together = inside;
          await new Promise(setImmediate);
          inside -= 1;
          return together;
        }),
      );
      expect(new Set(seen)).toEqual(new Set([1]));
    });
  });

  test('two starters on an empty database make one schema', async () => {
    const fresh = await openFresh();
    try {
      const stores = await atOnce(4, () => fresh.open());
      expect(await Promise.all(stores.map((each) => each.findSetting('schema_version')))).toEqual(
        stores.map(() => '17'),
      );
    } finally {
      await fresh.drop();
    }
  });

  test('a newer schema, an older one and a missing one are refused', async () => {
    await store.setSetting({ field: 'schema_version', value: '18' });
    expect(await codeOf(database.open())).toBe('SCHEMA_TOO_NEW');
    await store.setSetting({ field: 'schema_version', value: '14' });
    expect(await codeOf(database.open())).toBe('SCHEMA_MISSING');
    const fresh = await openFresh();
    expect(await codeOf(fresh.open({ createSchema: false }))).toBe('SCHEMA_MISSING');
    await fresh.drop();
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
