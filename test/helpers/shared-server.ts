/**
 * The MariaDB of this worker of the test run. Workers have one each because named locks, those of
 * the original's names among them, hold for a whole server and not for a database.
 */
import { inject } from 'vitest';
import type { MySqlAddress } from './mariadb.ts';

export function sharedServer(): MySqlAddress {
  const servers = inject('mysqlServers');
  const server = servers[Number(process.env.VITEST_POOL_ID) % servers.length];
  if (server === undefined) throw new Error('the test run has not started a MariaDB');
  return server;
}
