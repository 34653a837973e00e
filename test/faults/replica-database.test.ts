/**
 * Goal: with a replica database readers are served while the master is down.
 * Method: a private MariaDB as master, killed under a running tracker; the replica is a database on
 * another server with the rows the master had.
 */
import { startLocalCluster } from '@omgfs/cli';
import { expect, test } from 'vitest';
import { connectTo, createDatabaseOn, dsnOf, startMariaDb } from '../helpers/mariadb.ts';
import { getBody, RawClient, storeRaw } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

test('get_paths and file_info are answered from a replica while the master is down', async () => {
  const master = await startMariaDb();
  try {
    const name = await createDatabaseOn(master);
    await using cluster = await startLocalCluster({
      hosts: 1,
      devicesPerHost: 1,
      domain: 'main',
      dsn: dsnOf(master, name),
      dbUser: master.user,
      dbPass: master.password,
    });
    const client = new RawClient(cluster.trackers[0] ?? '');
    await storeRaw(client, { domain: 'main', key: 'kept', body: 'bytes' });
    const replica = await copyOf(await connectTo(master, name));
    const set = (key: string, value: string) => client.call('set_server_setting', { key, value });
    await set('slave_near', replica);
    await set('slave_keys', 'near=2');
    await client.call('clear_cache');

    await master.kill();
    const { path1 } = await until('the replica to be asked', async () => {
      const fresh = new RawClient(cluster.trackers[0] ?? '');
      try {
        return await fresh.call('get_paths', { domain: 'main', key: 'kept' });
      } finally {
        await fresh.close();
      }
    });
    expect(String((await getBody(path1 ?? '')).body)).toBe('bytes');
    expect(await client.code('file_info', { domain: 'main', key: 'kept' })).toBe('OK');
    expect(await client.code('create_open', { domain: 'main', key: 'new' })).toBe('failure');
    await client.close();
  } finally {
    await master.stop();
  }
});

/** Copies what lookups read to another server. @returns the value of the setting. */
async function copyOf(source: Awaited<ReturnType<typeof connectTo>>): Promise<string> {
  const server = sharedServer();
  const name = await createDatabaseOn(server);
  const target = await connectTo(server, name);
  for (const table of ['file', 'file_on', 'server_settings']) {
    const [[made]] = (await source.query(`SHOW CREATE TABLE ${table}`)) as unknown as [
      [Record<string, string>],
    ];
    await target.query(made['Create Table'] ?? '');
    const [rows] = (await source.query(`SELECT * FROM ${table}`)) as unknown as [object[]];
    for (const row of rows) await target.query(`INSERT INTO ${table} SET ?`, [row]);
  }
  source.destroy();
  target.destroy();
  return `${dsnOf(server, name)}|${server.user}|${server.password}`;
}
