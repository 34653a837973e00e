/**
 * Goal: statements that are not batched, however many and slow, leave connections for lookups.
 * Method: a real MariaDB; statements that sleep in the server occupy what they may.
 */
import { expect, onTestFinished, test } from 'vitest';
import { connectTo, createDatabaseOn, dsnOf } from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { openStore, parseDsn } from '../../src/store/open-store.ts';
import { put, storeOptions } from './fixture.ts';

test('a flood of listings that wait for a lock does not keep lookups waiting', async () => {
  const server = sharedServer();
  const name = await createDatabaseOn(server);
  const dsn = parseDsn(dsnOf(server, name), server);
  const store = await openStore(dsn, { ...storeOptions, createSchema: true });
  const blocker = await connectTo(server, name);
  onTestFinished(async () => {
    blocker.destroy();
    await store.close();
    const admin = await connectTo(server);
    await admin.query(`DROP DATABASE ${name}`);
    admin.destroy();
  });
  const dmid = await store.createDomain('one');
  await put(store, { dmid, dkey: 'k' });
  // Every write of settings waits for this lock; lookups need only other tables.
  await blocker.query('LOCK TABLES server_settings WRITE');
  const flood = Array.from({ length: 100 }, (_, n) =>
    store.setSetting({ field: `f${n}`, value: 'v' }),
  );
  for (let n = 0; n < 20; n += 1) {
    expect(await store.findFile({ dmid, dkey: 'k' })).toMatchObject({ dkey: 'k' });
  }
  await blocker.query('UNLOCK TABLES');
  await Promise.all(flood);
});
