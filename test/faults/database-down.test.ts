/**
 * Goal: a database that is down at the start, or goes away later, gets each request a clear error,
 * and the tracker recovers by itself.
 * Method: a private MariaDB that is killed and started again under a running cluster.
 */
import { startLocalCluster } from '@omgfs/cli';
import { expect, test } from 'vitest';
import { databaseOf, startMariaDb } from '../helpers/mariadb.ts';
import { getBody, RawClient, storeRaw } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

test('requests fail clearly while the database is away, and work again after', async () => {
  const mariadb = await startMariaDb();
  try {
    const dsn = await databaseOf(mariadb);
    await using cluster = await startLocalCluster({
      hosts: 2,
      devicesPerHost: 1,
      domain: 'down',
      ...dsn,
    });
    const client = new RawClient(cluster.trackers[0] ?? '');
    const file = { domain: 'down', key: 'before', body: 'kept' };
    await storeRaw(client, file);

    await mariadb.kill();
    for (const [command, args] of [
      ['get_paths', { domain: 'down', key: 'before' }],
      ['create_open', { domain: 'down', key: 'during' }],
      ['delete', { domain: 'down', key: 'before' }],
      ['list_keys', { domain: 'down' }],
    ] as const) {
      expect(`${command} ${await client.code(command, args)}`).toBe(`${command} failure`);
    }
    expect(await client.ask('noop\r\n')).toBe('OK \r\n');
    const metrics = await (await fetch(`${cluster.apis[0]}/metrics`)).text();
    expect(metrics).toContain('omgfs_database_up 0\n');
    expect(metrics).toContain('omgfs_command_failures_total{command="list_keys"} 1\n');

    // A tracker that is started meanwhile waits for the database instead of giving up.
    const tracker = cluster.trackerDaemons[0];
    await tracker?.kill('SIGKILL');
    const restarted = tracker?.start();
    await mariadb.restart();
    await restarted;
    const second = new RawClient(cluster.trackers[0] ?? '');
    const paths = await until('the file to be found again', () =>
      second.call('get_paths', { domain: 'down', key: 'before' }),
    );
    expect((await getBody(paths.path1 ?? '')).body.toString()).toBe('kept');
    await storeRaw(second, { ...file, key: 'after' });
    await until('the jobs to work again', async () => {
      const info = await second.call('file_info', { domain: 'down', key: 'after' });
      return info.devcount === '2';
    });
    await second.close();
    await client.close();
  } finally {
    await mariadb.stop();
  }
});
