/**
 * Goal: both engines keep the contract of `src/store/store.ts`. Method: one suite, called with each
 * engine; real databases; races are two stores on one database that are set off together.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endOfTime, type Store } from '../../src/store/store.ts';
import { descriptionsSuite } from './descriptions-suite.ts';
import { filesSuite } from './files-suite.ts';
import { atOnce, codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';
import { renameSuite } from './rename-suite.ts';
import { resumableSuite } from './resumable-suite.ts';
import { topologySuite } from './topology-suite.ts';
import { uploadsSuite } from './uploads-suite.ts';

export function storeSuite(openFresh: OpenFresh): void {
  uploadsSuite(openFresh);
  filesSuite(openFresh);
  renameSuite(openFresh);
  descriptionsSuite(openFresh);
  resumableSuite(openFresh);
  topologySuite(openFresh);
  queuesAndLocks(openFresh);
}

function queuesAndLocks(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;
  let dmid: number;

  beforeEach(async () => {
    database = await openFresh();
    store = await database.open();
    dmid = await store.createDomain('one');
  });
  afterEach(() => database.drop());

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
      const [one, two] = claimed.toSorted((a, b) => a.fid - b.fid);
      await store.postponeReplication(one!, { delaySeconds: undefined, failcount: 300 });
      await store.finishReplication(two!);
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
      const claimed = await store.claimReplications(10);
      const [one, two] = claimed.toSorted((a, b) => a.fid - b.fid);
      for (const fid of [1, 2]) await store.enqueueReplication({ fid, nexttry: 5 });
      await store.finishReplication(one!);
      await store.postponeReplication(two!, { delaySeconds: undefined, failcount: 1 });
      expect(await store.claimReplications(10)).toMatchObject([
        { fid: 1, nexttry: 5 },
        { fid: 2, nexttry: 5, failcount: 1 },
      ]);
    });

    test('a claim that ran out ends nothing once another has the row (I5, I8)', async () => {
      const other = await database.open();
      for (const fid of [1, 2]) await store.enqueueReplication({ fid, nexttry: 0 });
      const [one, two] = await store.claimReplications(2, 0);
      const theirs = await other.claimReplications(2);
      expect(theirs).toHaveLength(2);
      await store.finishReplication(one!);
      await store.renewReplications([two!], 3600);
      await store.postponeReplication(two!, { delaySeconds: 0, failcount: 1 });
      expect(await other.claimReplications(2)).toEqual([]);
      await other.renewReplications(theirs, 3600);
      for (const row of theirs) await other.finishReplication(row);
      expect(await database.sql('SELECT fid FROM file_to_replicate')).toEqual([]);
    });

    test('a claim is renewed while its row says what it left there', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      await store.deleteKey({ dmid, dkey: 'a' });
      const [row] = await store.claimDeletions(1, 10);
      const [first] = row!.claims;
      await store.renewDeletions([row!], 20);
      expect(row!.claims).toHaveLength(1);
      expect(row!.claims[0]).toBeGreaterThanOrEqual(first! + 10);
      expect(await database.sql('SELECT fid, nexttry FROM file_to_delete2')).toEqual([
        { fid, nexttry: row!.claims[0] },
      ]);
      await store.postponeDeletion(row!, { delaySeconds: 0, failcount: 1 });
      await store.renewDeletions([row!], 20);
      expect(await store.claimDeletions(10)).toMatchObject([{ fid, failcount: 1 }]);
    });

    test('waiting rows can be made due', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: endOfTime });
      await store.enqueueReplication({ fid: 2, nexttry: 0 });
      expect(await store.hastenReplications()).toBe(1);
      expect(await store.claimReplications(10)).toHaveLength(2);
    });

    test('rows that failed and wait a little are made due', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: 0 });
      const [claimed] = await store.claimReplications(10);
      await store.postponeReplication(claimed!, { delaySeconds: 60, failcount: 1 });
      expect(await store.claimReplications(10)).toEqual([]);
      expect(await store.hastenReplications()).toBe(1);
      expect(await store.claimReplications(10)).toHaveLength(1);
    });

    test('rows in work are not made due', async () => {
      await store.enqueueReplication({ fid: 1, nexttry: 0 });
      expect(await store.claimReplications(10)).toHaveLength(1);
      expect(await store.hastenReplications()).toBe(0);
      expect(await store.claimReplications(10)).toEqual([]);
    });

    test('a deletion ends when no replica is left', async () => {
      const checksum = { type: 'MD5', hex: 'cd'.repeat(16) } as const;
      const [gone, held] = await Promise.all(
        ['a', 'b'].map((dkey) => put(store, { dmid, dkey, checksum })),
      );
      await Promise.all(['a', 'b'].map((dkey) => store.deleteKey({ dmid, dkey })));
      const claimed = await store.claimDeletions(10);
      expect(claimed).toHaveLength(2);
      expect(await store.claimDeletions(10)).toEqual([]);
      for (const devid of [1, 2]) await store.removeReplica({ fid: gone as number, devid });
      await store.finishDeletions([gone as number, held as number]);
      expect(await store.findChecksum(gone as number)).toBeUndefined();
      expect(await store.findChecksum(held as number)).toEqual(checksum);
      const row = claimed.find(({ fid }) => fid === held);
      await store.postponeDeletion(row!, { delaySeconds: 0, failcount: 2 });
      expect(await store.claimDeletions(10)).toMatchObject([{ fid: held, failcount: 2 }]);
    });

    test('the delete queues of old MogileFS are moved into the current one', async () => {
      await database.sql('INSERT INTO file_to_delete (fid) VALUES (1), (2), (3)');
      await database.sql('INSERT INTO file_to_delete_later (fid, delafter) VALUES (3, 5), (4, 6)');
      await database.sql(`INSERT INTO file_to_delete_later VALUES (5, ${endOfTime})`);
      expect(await store.moveLegacyDeletions(2)).toBe(4);
      expect(await store.moveLegacyDeletions(2)).toBe(2);
      expect(await store.moveLegacyDeletions(2)).toBe(0);
      const claimed = await store.claimDeletions(10);
      expect(claimed.map(({ fid }) => fid).sort()).toEqual([1, 2, 3, 4]);
      expect(claimed.slice(0, 2)).toMatchObject([{ nexttry: 5 }, { nexttry: 6 }]);
      const [row] = await database.sql('SELECT nexttry FROM file_to_delete2 WHERE fid = 5');
      expect(row?.nexttry).toBe(endOfTime);
    });

    test('a computed checksum is kept, in place of another, while its file exists', async () => {
      const fid = await put(store, { dmid, dkey: 'a' });
      const md5 = { type: 'MD5', hex: 'ab'.repeat(16) } as const;
      const sha = { type: 'SHA-1', hex: 'cd'.repeat(20) } as const;
      for (const checksum of [md5, sha]) {
        expect(await store.saveChecksum({ fid, checksum })).toBe(true);
        expect(await store.findChecksum(fid)).toEqual(checksum);
      }
      expect(await store.saveChecksum({ fid: fid + 1, checksum: md5 })).toBe(false);
      expect(await store.findChecksum(fid + 1)).toBeUndefined();
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

  test('the dmid of a deleted domain is not given out while an upload names it', async () => {
    await store.openTempfile({ dmid, dkey: 'a', classid: 0, devids: [1] });
    await store.deleteDomain(dmid);
    expect(await store.createDomain('two')).toBeGreaterThan(dmid);
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
