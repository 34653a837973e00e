/**
 * Goal: trackers of ours and of MogileFS work on one SQLite file, whoever made it: text is TEXT, in
 * both directions, with all its bytes, and locks hold among both.
 * Method: files with the tables of the original, and statements as its driver binds them: text and
 * numbers as TEXT.
 */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStore } from '../../src/store/open-store.ts';
import { openSqlite } from '../../src/store/sqlite/driver.ts';
import type { Store } from '../../src/store/store.ts';
import { oldSqliteSchema } from '../setup/old-schema.ts';
import { allBytes, put, storeOptions } from './fixture.ts';
import { live } from './life.ts';

let folder: string;
let file: string;
let warnings: string[];
const stores: Store[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omgfs-store-'));
  file = join(folder, 'mogilefs.db');
  warnings = [];
});
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
  await rm(folder, { recursive: true });
});

async function open({ createSchema = false } = {}): Promise<Store> {
  const warn = (text: string) => warnings.push(text);
  const options = { ...storeOptions, createSchema, warn };
  const store = await openStore({ engine: 'sqlite', file }, options);
  stores.push(store);
  return store;
}

/** As the Perl driver does it: whatever is bound is text. */
async function perl(text: string, ...values: string[]): Promise<Record<string, unknown>[]> {
  const database = await openSqlite(file);
  try {
    database.exec('PRAGMA busy_timeout = 5000');
    const bound = values.map((value) => Buffer.from(value, 'latin1'));
    const sql = text.replaceAll('?', 'CAST(? AS TEXT)');
    return database.prepare(sql).all(...bound);
  } finally {
    database.close();
  }
}

async function made(...statements: string[]): Promise<void> {
  for (const sql of statements) await perl(sql);
}

/** Whatever is stored as bytes in columns of text. */
async function blobs(): Promise<string[]> {
  const columns = await perl(
    `SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c
     WHERE m.type = 'table' AND m.name <> 'checksum' AND m.name NOT LIKE 'omg\\_%' ESCAPE '\\'`,
  );
  const found: string[] = [];
  for (const { t, c } of columns) {
    const rows = await perl(`SELECT 1 FROM ${t} WHERE typeof(${c}) = 'blob'`);
    if (rows.length > 0) found.push(`${t}.${c}`);
  }
  return found;
}

describe.each(['AUTOINCREMENT', ''])('a file that MogileFS made, counters %j', (counter) => {
  beforeEach(() => made(...oldSqliteSchema({ counter })));

  test('takes a life, and keys keep their bytes', async () => {
    const store = await open();
    await live(store, ['plain', 'k', ...allBytes]);
    expect(await blobs()).toEqual([]);
  });

  test('what one stored the other finds', async () => {
    const store = await open();
    const [bytes = ''] = allBytes.slice(1);
    await perl('INSERT INTO domain VALUES (?, ?)', '2', 'perl');
    await perl('INSERT INTO file VALUES (?, ?, ?, ?, ?, ?)', '900', '2', bytes, '10', '0', '1');
    await perl('INSERT INTO file_on VALUES (?, ?)', '900', '1');
    const found = await store.findFile({ dmid: 2, dkey: bytes });
    expect(found).toMatchObject({ fid: 900, dkey: bytes, devids: [1] });
    expect((await store.loadTopology()).domains).toContainEqual({ dmid: 2, name: 'perl' });
    const fid = await put(store, { dmid: 2, dkey: `ours ${bytes}` });
    expect(fid).toBeGreaterThan(900);
    const sql = 'SELECT fid FROM file WHERE dmid = ? AND dkey = ?';
    expect(await perl(sql, '2', `ours ${bytes}`)).toMatchObject([{ fid }]);
    const page = { dmid: 2, prefix: 'ours', after: '', limit: 9, caseSensitive: true };
    expect(await store.listKeys(page)).toEqual([`ours ${bytes}`]);
    await store.setSetting({ field: 'memcache_ttl', value: '60' });
    const setting = 'SELECT value FROM server_settings WHERE field = ?';
    expect(await perl(setting, 'memcache_ttl')).toMatchObject([{ value: '60' }]);
  });

  test('fids never fall back', async () => {
    const store = await open();
    const first = await put(store, { dmid: 1, dkey: 'a' });
    const second = await put(store, { dmid: 1, dkey: 'b' });
    expect(second).toBeGreaterThan(first);
    await store.deleteKey({ dmid: 1, dkey: 'b' });
    for (const { fid } of await store.claimDeletions(100))
      await store.removeReplica({ fid, devid: 1 });
    await made('DELETE FROM file_on', 'DELETE FROM file_to_delete2');
    expect(await put(store, { dmid: 1, dkey: 'c' })).toBeGreaterThan(second);
    expect(warnings).toHaveLength(counter === '' ? 1 : 0);
    await open();
    expect(warnings).toHaveLength(counter === '' ? 1 : 0);
  });
});

test('a file that we made is one that MogileFS can use', async () => {
  const store = await open({ createSchema: true });
  const version = 'SELECT value FROM server_settings WHERE field = ?';
  expect(await perl(version, 'schema_version')).toMatchObject([{ value: '17' }]);
  const dmid = await store.createDomain('ours');
  await store.createClass({ dmid, name: 'c', mindevcount: 2 });
  const classes = 'SELECT classid FROM class WHERE dmid = ? AND classname = ?';
  expect(await perl(classes, String(dmid), 'c')).toMatchObject([{ classid: 1 }]);
  await perl('INSERT INTO host (hostid, hostname, hostip) VALUES (?, ?, ?)', '7', 'h', '10.0.0.7');
  await perl('UPDATE host SET status = ? WHERE hostid = ?', 'alive', '7');
  await perl('INSERT INTO device (devid, hostid, status) VALUES (?, ?, ?)', '9', '7', 'drain');
  const insert = `INSERT INTO tempfile (createtime, classid, dmid, dkey, devids)
    VALUES (strftime('%s', 'now'), ?, ?, ?, ?)`;
  await perl(insert, '1', String(dmid), 'key', '9');
  const [temporary] = await perl('SELECT fid FROM tempfile');
  const { hosts, devices } = await store.loadTopology();
  expect(hosts).toMatchObject([{ hostid: 7, hostname: 'h', hostip: '10.0.0.7', status: 'alive' }]);
  expect(devices).toMatchObject([{ devid: 9, hostid: 7, status: 'drain', weight: 100 }]);
  const fid = Number(temporary?.fid);
  const close = { fid, dmid, dkey: 'key', classid: 1, devids: [9], length: 1, replicate: true };
  expect(await store.closeTempfile(close)).toBe('stored');
  const due = "SELECT fid FROM file_to_replicate WHERE nexttry <= strftime('%s', 'now')";
  expect(await perl(due)).toMatchObject([{ fid }]);
  expect(await blobs()).toEqual([]);
});

describe('locks', () => {
  const name = 'mgfs:reaper';
  /** Of the name, as the original numbers it. */
  const lockid = 2_048_622_148;
  const lockOf = (holder: { host: string; pid: number; age: number }) =>
    perl(
      `REPLACE INTO lock SELECT ?, ?, ?, unixepoch() - ${holder.age}`,
      String(lockid),
      holder.host,
      String(holder.pid),
    );

  test('are rows that the original finds taken', async () => {
    const store = await open({ createSchema: true });
    await store.withLock({ name, waitMs: 0 }, async () => {
      const rows = await perl('SELECT lockid, hostname, pid FROM lock');
      expect(rows).toMatchObject([{ lockid, hostname: hostname(), pid: process.pid }]);
      await expect(
        perl('INSERT INTO lock VALUES (?, ?, ?, ?)', `${lockid}`, 'h', '1', '1'),
      ).rejects.toThrow(/UNIQUE/);
    });
    expect(await perl('SELECT lockid FROM lock')).toEqual([]);
  });

  test('are not taken from a process that lives, though it does not renew them', async () => {
    const store = await open({ createSchema: true });
    const tried = () => store.withLock({ name, waitMs: 0 }, async () => 'mine');
    await lockOf({ host: hostname(), pid: 1, age: 31 });
    expect(await tried()).toBeUndefined();
    // Another process has the number: it began after the lock was taken.
    await lockOf({ host: hostname(), pid: 1, age: 1_000_000_000 });
    expect(await tried()).toBe('mine');
    await lockOf({ host: 'elsewhere', pid: 1, age: 5 });
    expect(await tried()).toBeUndefined();
    await lockOf({ host: 'elsewhere', pid: 1, age: 31 });
    expect(await tried()).toBe('mine');
    // A tracker in a container begins anew with the number that it had.
    await lockOf({ host: hostname(), pid: process.pid, age: 31 });
    expect(await tried()).toBe('mine');
  });
});

test('a file that keeps text as BLOB, as ours were once, becomes one with TEXT', async () => {
  const schema = new URL('../../../../schema/sqlite/0001-schema-17.sql', import.meta.url);
  const database = await openSqlite(file);
  const types = /VARCHAR\(\d+\)|CHAR\(4\)|\bTEXT\b/g;
  database.exec((await readFile(schema, 'utf8')).replaceAll(types, 'BLOB'));
  const [, key = ''] = allBytes;
  const hex = (text: string) => `x'${Buffer.from(text, 'latin1').toString('hex')}'`;
  database.exec(`INSERT INTO server_settings VALUES (${hex('schema_version')}, ${hex('17')});
    INSERT INTO domain VALUES (3, ${hex('early')});
    INSERT INTO file VALUES (8, 3, ${hex(key)}, 1, 0, 0);
    INSERT INTO checksum VALUES (8, 1, x'${'ab'.repeat(16)}')`);
  database.close();
  const store = await open();
  expect(await store.findFile({ dmid: 3, dkey: key })).toMatchObject({ fid: 8, dkey: key });
  expect(await store.findChecksum(8)).toEqual({ type: 'MD5', hex: 'ab'.repeat(16) });
  expect((await store.loadTopology()).domains).toEqual([{ dmid: 3, name: 'early' }]);
  expect(await blobs()).toEqual([]);
});

test('what was stored is in the file itself when the store is closed', async () => {
  const store = await open({ createSchema: true });
  await put(store, { dmid: await store.createDomain('kept'), dkey: 'kept' });
  await Promise.all(stores.splice(0).map((one) => one.close()));
  await copyFile(file, `${file}.copy`);
  file = `${file}.copy`;
  expect(await perl('SELECT CAST(dkey AS TEXT) AS dkey FROM file')).toMatchObject([
    { dkey: 'kept' },
  ]);
});

test('a file in UTF-16 is refused, since it cannot hold every key', async () => {
  const database = await openSqlite(file);
  database.exec("PRAGMA encoding = 'UTF-16'; CREATE TABLE domain (dmid INT)");
  database.close();
  await expect(open()).rejects.toThrow(/UTF-16.*dump it into a new file/s);
});
