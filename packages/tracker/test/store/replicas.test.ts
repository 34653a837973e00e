/**
 * Goal: lookups go to replica databases as the settings say, and never make a reader miss a file.
 * Method: real databases on a real MariaDB; the "replica" is filled by hand, so a test decides how
 * far it is behind.
 */
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { freeze } from '../../../../test/helpers/freeze.ts';
import {
  connectTo,
  createDatabaseOn,
  dsnOf,
  startMariaDb,
} from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { openStore, parseDsn } from '../../src/store/open-store.ts';
import { Lookups } from '../../src/store/replicas/lookups.ts';
import { replicaListOf } from '../../src/store/replicas/replica-list.ts';
import type { Store } from '../../src/store/store.ts';
import { put, quietLog, storeOptions } from './fixture.ts';

const server = sharedServer();
const stores: Store[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

/** A database with one domain, as a master or as a replica. */
async function database(): Promise<{ store: Store; setting: string; dmid: number }> {
  const name = await createDatabaseOn(server);
  onTestFinished(async () => {
    const connection = await connectTo(server);
    await connection.query(`DROP DATABASE ${name}`);
    connection.destroy();
  });
  const text = dsnOf(server, name);
  const dsn = parseDsn(text, server);
  const store = await openStore(dsn, { ...storeOptions, createSchema: true });
  stores.push(store);
  const dmid = await store.createDomain('one');
  return { store, setting: `${text}|${server.user}|${server.password}`, dmid };
}

function lookupsOf(master: Store, settings: Record<string, string>, random = Math.random) {
  const lookups = new Lookups({ master, log: quietLog, random });
  lookups.configure((name) => settings[name]);
  onTestFinished(() => lookups.close());
  return lookups;
}

describe('lookups', () => {
  test('go to the replica, and to the master for what is not there', async () => {
    const [master, replica] = [await database(), await database()];
    const { dmid } = master;
    await put(master.store, { dmid, dkey: 'new' });
    await put(replica.store, { dmid, dkey: 'here', length: 77 });
    const settings = { slave_keys: 'a', slave_a: replica.setting };
    const lookups = lookupsOf(master.store, settings);
    expect(await lookups.findFile({ dmid, dkey: 'here' })).toMatchObject({ length: 77 });
    expect(await lookups.findFile({ dmid, dkey: 'new' })).toMatchObject({ dkey: 'new' });
    expect(await lookups.findFile({ dmid, dkey: 'nowhere' })).toBeUndefined();
  });

  test('of what this tracker has just written go to the master', async () => {
    const [master, replica] = [await database(), await database()];
    const { dmid } = master;
    await put(replica.store, { dmid, dkey: 'k', length: 1 });
    await put(master.store, { dmid, dkey: 'k', length: 2 });
    const settings = { slave_keys: 'a', slave_a: replica.setting };
    const lookups = lookupsOf(master.store, settings);
    expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length: 1 });
    lookups.wrote({ dmid, dkey: 'k' });
    expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length: 2 });
  });

  test('are spread by weight', async () => {
    const [master, one, two] = [await database(), await database(), await database()];
    const { dmid } = master;
    await put(one.store, { dmid, dkey: 'k', length: 1 });
    await put(two.store, { dmid, dkey: 'k', length: 2 });
    const settings = { slave_keys: 'a=1,b=3', slave_a: one.setting, slave_b: two.setting };
    for (const [random, length] of [
      [0.24, 1],
      [0.26, 2],
      [0.99, 2],
    ] as const) {
      const lookups = lookupsOf(master.store, settings, () => random);
      expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length });
    }
  });

  test('do without a replica that cannot be reached, and use it again later', async () => {
    const [master, replica] = [await database(), await database()];
    const { dmid } = master;
    await put(master.store, { dmid, dkey: 'k', length: 2 });
    await put(replica.store, { dmid, dkey: 'k', length: 1 });
    const dead = 'DBI:mysql:mogilefs;host=127.0.0.1;port=1|u|p';
    const settings = { slave_keys: 'a', slave_a: dead };
    const lookups = lookupsOf(master.store, settings);
    expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length: 2 });
    lookups.configure((name) => ({ ...settings, slave_a: replica.setting })[name]);
    expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length: 1 });
  });

  test('go to the replica while the master is down', async () => {
    const [master, replica] = [await database(), await database()];
    const { dmid } = master;
    await put(replica.store, { dmid, dkey: 'k', length: 1 });
    const settings = { slave_keys: 'a', slave_a: replica.setting };
    const lookups = lookupsOf(master.store, settings);
    await master.store.close();
    expect(await lookups.findFile({ dmid, dkey: 'k' })).toMatchObject({ length: 1 });
    await expect(lookups.findFile({ dmid, dkey: 'nowhere' })).rejects.toThrow();
  });
});

describe('a replica that fails', () => {
  /** A replica that never accepts a lookup, and how often that was logged. */
  async function failing(setting: string) {
    const master = await database();
    const { dmid } = master;
    await put(master.store, { dmid, dkey: 'k', length: 2 });
    const said: unknown[] = [];
    const log = { ...quietLog, warn: (...facts: unknown[]) => said.push(facts) };
    const lookups = new Lookups({ master: master.store, log: log as typeof quietLog });
    onTestFinished(() => lookups.close());
    lookups.configure((name) => ({ slave_keys: 'a', slave_a: setting })[name]);
    return { lookups, key: { dmid, dkey: 'k' }, said };
  }

  test('is said once, however many lookups it fails', async () => {
    const { lookups, key, said } = await failing('DBI:mysql:m;host=127.0.0.1;port=1|u|p');
    const found = await Promise.all(Array.from({ length: 50 }, () => lookups.findFile(key)));
    expect(found.map((file) => file?.length)).toEqual(Array(50).fill(2));
    expect(said).toHaveLength(1);
  });

  test('by hanging holds lookups up for a short time, once', async () => {
    const frozen = await startMariaDb();
    try {
      const name = await createDatabaseOn(frozen);
      const dsn = parseDsn(dsnOf(frozen, name), frozen);
      const replica = await openStore(dsn, { ...storeOptions, createSchema: true });
      await replica.createDomain('one');
      await replica.close();
      const setting = `${dsnOf(frozen, name)}|${frozen.user}|${frozen.password}`;
      const { lookups, key, said } = await failing(setting);
      expect(await lookups.findFile(key)).toMatchObject({ length: 2 });
      await freeze(frozen.pid());
      let found: number | undefined;
      const finding = lookups.findFile(key).then((file) => {
        found = file?.length;
      });
      // A statement on the master may take ten seconds.
      await until('the master is asked', () => found === 2, { deadlineMs: 8_000 });
      await finding;
      expect(said).toHaveLength(1);
    } finally {
      process.kill(frozen.pid(), 'SIGCONT');
      await frozen.stop();
    }
  });

  test('and is taken out of the settings is not opened again', async () => {
    const { lookups, key, said } = await failing('DBI:mysql:m;host=127.0.0.1;port=1|u|p');
    const finding = lookups.findFile(key);
    lookups.configure(() => undefined);
    expect(await finding).toMatchObject({ length: 2 });
    expect(said).toHaveLength(0);
  });
});

describe('the settings', () => {
  const listOf = (settings: Record<string, string>) => replicaListOf((name) => settings[name]);

  test('name databases, with weights and timing', () => {
    const list = listOf({
      slave_keys: 'a, b=5 ,c=0',
      slave_a: 'DBI:mysql:mogilefs;host=10.0.0.1|u|p|',
      slave_b: 'DBI:mysql:mogilefs:host=10.0.0.2|u|p',
      slave_c: 'DBI:mysql:mogilefs:host=10.0.0.3|u|p',
      slave_connect_timeout: '3',
      slave_dead_retry_timeout: '4',
    });
    expect(list.places.map(({ name, weight }) => [name, weight])).toEqual([
      ['a', 1],
      ['b', 5],
    ]);
    expect(list.places[0]?.dsn).toMatchObject({ host: '10.0.0.1', user: 'u', password: 'p' });
    expect(list).toMatchObject({ connectTimeoutMs: 3000, deadRetryMs: 4000, faults: [] });
  });

  test('that make no sense are said, and the others are used', () => {
    const list = listOf({
      slave_keys: 'gone,odd=x,bad,good',
      slave_odd: 'DBI:mysql:m|u|p',
      slave_bad: 'nonsense',
      slave_good: 'DBI:mysql:m|u|p',
      slave_dead_retry_timeout: 'soon',
    });
    expect(list.deadRetryMs).toBe(15_000);
    expect(list.places.map(({ name }) => name)).toEqual(['good']);
    expect(list.faults).toEqual([
      'gone: the setting slave_gone is missing',
      "odd: the weight 'x' is no number",
      expect.stringMatching(/^bad: The DSN "nonsense" cannot be used/),
      "slave_dead_retry_timeout: 'soon' is no number of seconds",
    ]);
  });
});
