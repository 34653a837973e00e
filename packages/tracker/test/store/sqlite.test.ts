/** Goal: the store on SQLite keeps the contract. Method: the shared suites, on real files. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openStore } from '../../src/store/open-store.ts';
import { openSqlite } from '../../src/store/sqlite/driver.ts';
import type { Store } from '../../src/store/store.ts';
import { codeOf, type FreshDatabase, storeOptions } from './fixture.ts';
import { storeSuite } from './suite.ts';

async function openFresh(): Promise<FreshDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'omgfs-store-'));
  const file = join(folder, 'omgfs.sqlite');
  const stores: Store[] = [];
  return {
    open: async ({ createSchema = true } = {}) => {
      const store = await openStore({ engine: 'sqlite', file }, { ...storeOptions, createSchema });
      stores.push(store);
      return store;
    },
    sql: async (text) => {
      const database = await openSqlite(file);
      try {
        database.exec('PRAGMA busy_timeout = 5000');
        return database
          .prepare(text)
          .all()
          .map((row) => ({ ...row }));
      } finally {
        database.close();
      }
    },
    drop: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

storeSuite(openFresh);

describe('sqlite', () => {
  test('a file that cannot be opened is DB_DOWN', async () => {
    const dsn = { engine: 'sqlite', file: '/nonexistent/omgfs.sqlite' } as const;
    const opening = openStore(dsn, { ...storeOptions, createSchema: true });
    expect(await codeOf(opening)).toBe('DB_DOWN');
  });

  test('a lock of a process that is gone is taken over', async () => {
    const database = await openFresh();
    const store = await database.open();
    const request = { name: 'mgfs:reaper', waitMs: 0 };
    const taken = await store.withLock(request, async () => {
      const [row] = await database.sql('SELECT lockid, hostname, pid FROM lock');
      return row;
    });
    const leave = (pid: number, at: string) =>
      database.sql(
        `REPLACE INTO lock SELECT ${taken?.lockid}, '${taken?.hostname}', ${pid}, ${at}`,
      );
    await leave(process.ppid, 'unixepoch()');
    expect(await store.withLock(request, async () => 'free')).toBeUndefined();
    await leave(process.ppid, 'unixepoch() - 3600');
    expect(await store.withLock(request, async () => 'free')).toBe('free');
    await leave(2 ** 22 + 1, 'unixepoch()');
    expect(await store.withLock(request, async () => 'free')).toBe('free');
    await database.drop();
  });
});
