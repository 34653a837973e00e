/**
 * Starts what the whole test run shares: a private MariaDB for each worker of the run, or the one
 * server that the environment variable OMGFS_TEST_MYSQL names
 * (`mysql://user:password@host:port`). Tests get its address with `sharedServer`.
 */
import type { TestProject } from 'vitest/node';
import { type MariaDb, type MySqlAddress, startMariaDb } from './mariadb.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Of the first worker, the second and so on. */
    mysqlServers: MySqlAddress[];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.OMGFS_TEST_MYSQL;
  if (given !== undefined && given !== '') {
    const url = new URL(given);
    const server = {
      host: url.hostname,
      port: Number(url.port || 3306),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    };
    project.provide('mysqlServers', [server]);
    return async () => {};
  }
  const workers = Math.max(1, project.vitest.config.maxWorkers);
  const starting = Array.from({ length: workers }, () => startMariaDb());
  const servers = await Promise.all(starting);
  project.provide('mysqlServers', servers.map(addressOf));
  return async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
}

function addressOf({ host, port, user, password }: MariaDb): MySqlAddress {
  return { host, port, user, password };
}
