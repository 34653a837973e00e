/**
 * Goal: the store on MariaDB keeps the contract, on schemas of ours and of MogileFS, and through
 * the loss of connections and of the server. Method: the shared suites on the server of the test
 * run; faults on servers of their own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freeze } from '../../../../test/helpers/freeze.ts';
import {
  connectTo,
  createDatabaseOn,
  type MariaDb,
  type MySqlAddress,
  startMariaDb,
} from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { atOnce, codeOf, type FreshDatabase, put, storeOptions } from './fixture.ts';
import { storeSuite } from './suite.ts';

async function openOn(
  server: MySqlAddress,
  charset: { charset?: string; collation?: string } = {},
): Promise<FreshDatabase & { database: string }> {
  const database = await createDatabaseOn(server, charset);
  const { host, port, user, password } = server;
  const dsn = {
    engine: 'mysql',
    database,
    host,
    port,
    socketPath: undefined,
    user,
    password,
  } as const;
  const stores: Store[] = [];
  const sql = async (text: string) => {
    const connection = await connectTo(server, database);
    try {
      const [rows] = await connection.query(text);
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
    } finally {
      connection.destroy();
    }
  };
  return {
    database,
    sql,
    open: async ({ createSchema = true } = {}) => {
      const store = await openStore(dsn, { ...storeOptions, createSchema });
      stores.push(store);
      return store;
    },
    drop: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await sql(`DROP DATABASE ${database}`);
    },
  };
}

storeSuite(() => openOn(sharedServer()));

describe('a schema that MogileFS made', () => {
  /** Turns a fresh schema into one whose keys are text in some collation. */
  async function adopted(charset: string, collation: string) {
    const database = await openOn(sharedServer(), { charset, collation });
    await (await database.open()).close();
    const type = `VARCHAR(255) CHARACTER SET ${charset} COLLATE ${collation}`;
    for (const table of ['file', 'tempfile']) {
      await database.sql(`ALTER TABLE ${table} MODIFY dkey ${type}`);
    }
    const store = await database.open();
    return { ...database, store, dmid: await store.createDomain('one') };
  }

  test('keys equal under its collation are one key, in batches and alone', async () => {
    const { store, dmid, drop } = await adopted('latin1', 'latin1_swedish_ci');
    const first = await put(store, { dmid, dkey: 'Foo' });
    await put(store, { dmid, dkey: 'bar' });
    const found = await Promise.all(
      ['foo', 'Foo', 'bar', 'FOO ', 'none', 'Bar'].map((dkey) => store.findFile({ dmid, dkey })),
    );
    expect(found.map((file) => file?.dkey)).toEqual(['Foo', 'Foo', 'bar', 'Foo', undefined, 'bar']);
    expect((await store.findFile({ dmid, dkey: 'foo' }))?.fid).toBe(first);
    // So a key that must be free is not, in any spelling.
    const free = put(store, { dmid, dkey: 'FOO', replacing: 0 });
    await expect(free).rejects.toThrow('other_file');
    // One overwrites the other; nothing is lost in a batch with both spellings.
    await Promise.all(['fOO', 'foo', 'new', 'NEW'].map((dkey) => put(store, { dmid, dkey })));
    expect(await store.queueDepths()).toMatchObject({ delete: 3 });
    const deleted = await Promise.all(
      ['FOO', 'foo', 'bar'].map((dkey) => store.deleteKey({ dmid, dkey })),
    );
    expect(deleted.filter((existed) => existed)).toHaveLength(2);
    expect(await store.queueDepths()).toMatchObject({ delete: 5 });
    await drop();
  });

  test('bytes beyond ASCII come back as they went in', async () => {
    for (const [charset, collation] of [
      ['latin1', 'latin1_swedish_ci'],
      ['utf8mb4', 'utf8mb4_unicode_ci'],
    ] as const) {
      const { store, dmid, drop } = await adopted(charset, collation);
      const dkey =
        charset === 'latin1' ? 'gr\xfc\xdfe' : Buffer.from('grüße 🙂').toString('latin1');
      const fid = await put(store, { dmid, dkey });
      expect(await store.findFile({ dmid, dkey })).toMatchObject({ fid, dkey });
      const page = { dmid, prefix: dkey.slice(0, 2), after: '', limit: 9, caseSensitive: true };
      expect(await store.listKeys(page)).toEqual([dkey]);
      expect(await store.listKeys({ ...page, prefix: 'GR' })).toEqual([]);
      expect(await store.listKeys({ ...page, prefix: 'GR', caseSensitive: false })).toEqual([dkey]);
      await put(store, { dmid, dkey: 'GR' });
      expect(await store.renamePrefix({ dmid, from: 'gr', to: 'to/', max: 9 })).toBe(1);
      expect(await store.findFile({ dmid, dkey: `to/${dkey.slice(2)}` })).toMatchObject({ fid });
      expect(await store.findFile({ dmid, dkey: 'GR' })).toBeDefined();
      await drop();
    }
  });

  test('a key its charset cannot hold fails alone', async () => {
    const { store, dmid, drop } = await adopted('utf8mb4', 'utf8mb4_general_ci');
    const codes = await Promise.all(
      ['a', '\xff\xfe', 'b'].map((dkey) => codeOf(put(store, { dmid, dkey }))),
    );
    expect(codes).toEqual(['none', 'FAILURE', 'none']);
    await drop();
  });

  test('automatic ids that step by more than one give each upload its own fid', async () => {
    const database = await openOn(sharedServer());
    const before = await database.sql('SELECT @@global.auto_increment_increment AS step');
    await database.sql('SET GLOBAL auto_increment_increment = 3');
    try {
      const store = await database.open();
      const fids = await atOnce(20, (index) =>
        store.openTempfile({ dmid: 1, dkey: `key ${index}`, classid: 0, devids: [1] }),
      );
      const found = await Promise.all(fids.map((fid) => store.findTempfile(fid)));
      expect(found.map((row) => row?.dkey)).toEqual(fids.map((_, index) => `key ${index}`));
      // A file of another server lies between the next ones, and hinders none of them.
      const other = Math.max(...fids) + 4;
      await database.sql(`INSERT INTO file (fid, dmid, dkey, length, classid, devcount)
        VALUES (${other}, 1, 'of another', 1, 0, 1)`);
      const next = await atOnce(20, (index) =>
        store.openTempfile({ dmid: 1, dkey: `next ${index}`, classid: 0, devids: [1] }),
      );
      expect(Math.min(...next)).toBeLessThan(other);
      expect(Math.max(...next)).toBeGreaterThan(other);
    } finally {
      await database.sql(`SET GLOBAL auto_increment_increment = ${before[0]?.step}`);
      await database.drop();
    }
  });
});

describe('faults', () => {
  let server: MariaDb;
  beforeAll(async () => {
    server = await startMariaDb();
  });
  afterAll(() => server.stop());

  test('I1: what was acknowledged survives the SIGKILL of the database', async () => {
    const database = await openOn(server);
    const store = await database.open();
    const dmid = await store.createDomain('one');
    const acknowledged = new Map<string, number>();
    let killed = false;
    const writers = atOnce(16, async (writer) => {
      for (let round = 0; !killed; round += 1) {
        const dkey = `key ${writer} ${round}`;
        try {
          acknowledged.set(dkey, await put(store, { dmid, dkey }));
        } catch {
          return;
        }
      }
    });
    await until('some files are stored', () => acknowledged.size > 500);
    await server.kill();
    killed = true;
    await writers;
    expect(await codeOf(store.ping())).toBe('DB_DOWN');
    expect(await codeOf(store.findFile({ dmid, dkey: 'a' }))).toBe('DB_DOWN');
    await server.restart();
    // The same store recovers by itself.
    await until('the store answers again', () => store.ping().then(() => true));
    const keys = [...acknowledged.keys()];
    const found = await Promise.all(keys.map((dkey) => store.findFile({ dmid, dkey })));
    expect(found.map((file) => file?.fid)).toEqual([...acknowledged.values()]);
    const fid = await put(store, { dmid, dkey: 'after' });
    expect(fid).toBeGreaterThan(Math.max(...acknowledged.values()));
    await database.drop();
  });

  test('connections killed in the middle of traffic cost no acknowledged file', async () => {
    const database = await openOn(server);
    const store = await database.open();
    const dmid = await store.createDomain('one');
    const outcomes = new Map<string, number | string>();
    let done = false;
    const killer = (async () => {
      const connection = await connectTo(server);
      let kills = 0;
      for (let seen = 0; !done; seen = outcomes.size) {
        const progressed = () => done || outcomes.size > seen + 20;
        await until('traffic flows', progressed, { everyMs: 1 });
        const [rows] = await connection.query('SHOW PROCESSLIST');
        for (const { Id: id, db } of rows as { Id: number; db: string }[]) {
          if (db !== database.database) continue;
          await connection.query(`KILL CONNECTION ${id}`).catch(() => {});
          kills += 1;
        }
      }
      connection.destroy();
      return kills;
    })();
    await atOnce(8, async (writer) => {
      for (let round = 0; round < 100; round += 1) {
        const dkey = `key ${writer} ${round}`;
        const stored = await put(store, { dmid, dkey }).catch((error: Error) => String(error));
        outcomes.set(dkey, stored);
      }
    });
    done = true;
    expect(await killer).toBeGreaterThan(10);
    await until('the store answers again', () => store.ping().then(() => true));
    for (const [dkey, stored] of outcomes) {
      const file = await store.findFile({ dmid, dkey });
      if (typeof stored === 'number') expect(file?.fid).toBe(stored);
      // A close that was carried out must never be reported as unknown.
      else expect(stored).toMatch(/cannot be reached|Database:/);
    }
    const live = [...outcomes.values()].filter((stored) => typeof stored === 'number');
    expect(live.length).toBeGreaterThan(600);
    await database.drop();
  });

  test('our own locks are of a database, those of the original of its server', async () => {
    const [one, other] = [await openOn(sharedServer()), await openOn(sharedServer())];
    const [first, second] = [await one.open(), await other.open()];
    const fid = `mgfs:fid:${2 ** 31 + process.pid}`;
    const both = (name: string) =>
      first.withLock({ name, waitMs: 30_000 }, () =>
        second.withLock({ name, waitMs: 0 }, async () => 'both'),
      );
    expect(await both('omg:heal')).toBe('both');
    expect(await both(fid)).toBeUndefined();
    await one.drop();
    await other.drop();
  });

  test('a lock that is lost with its connection is noticed', async () => {
    const database = await openOn(server);
    const store = await database.open();
    const request = { name: 'mgfs:reaper', waitMs: 0 };
    await store.withLock(request, async (lost) => {
      const [row] = await database.sql("SELECT IS_USED_LOCK('mgfs:reaper') AS id");
      await database.sql(`KILL CONNECTION ${row?.id}`);
      await until('the loss is noticed', () => lost.aborted);
    });
    expect(await store.withLock(request, async () => 'again')).toBe('again');
    await database.drop();
  });

  test('the counter of fids is corrected after a restart that set it back', async () => {
    const database = await openOn(server);
    const store = await database.open();
    const dmid = await store.createDomain('one');
    const fids = await atOnce(50, (index) => put(store, { dmid, dkey: `key ${index}` }));
    // What servers before MariaDB 10.2.4 and MySQL 8 do with an empty table when they restart.
    await server.kill();
    await server.restart();
    await database.sql('ALTER TABLE tempfile AUTO_INCREMENT = 1');
    const fresh = await until('the store answers again', () => put(store, { dmid, dkey: 'new' }));
    expect(fresh).toBeGreaterThan(Math.max(...fids));
    await database.drop();
  });

  test('a database that hangs is given up, at work and at the end', async () => {
    const database = await openOn(server);
    const store = await database.open();
    await store.createDomain('one');
    await freeze(server.pid());
    try {
      const codes = await Promise.all([
        codeOf(store.queueDepths()),
        codeOf(store.createDomain('two')),
        codeOf(store.findTempfile(1)),
      ]);
      expect(codes).toEqual(['DB_DOWN', 'DB_DOWN', 'DB_DOWN']);
      await store.close();
    } finally {
      process.kill(server.pid(), 'SIGCONT');
    }
    await database.sql(`DROP DATABASE ${database.database}`);
  });

  test('a database that is down refuses at once, and is found when it is up', async () => {
    const database = await openOn(server);
    await server.kill();
    expect(await codeOf(database.open())).toBe('DB_DOWN');
    await server.restart();
    const store = await database.open();
    await server.kill();
    const codes = await atOnce(500, () => codeOf(store.findTempfile(1)));
    expect(new Set(codes)).toEqual(new Set(['DB_DOWN']));
    await server.restart();
    expect(await until('up', () => store.queueDepths())).toMatchObject({ tempfile: 0 });
    await database.drop();
  });
});
