/**
 * Starts what the whole test run shares: one private MariaDB, or the server that the environment
 * variable OMGFS_TEST_MYSQL names (`mysql://user:password@host:port`). Tests get its address with
 * `inject('mysql')`.
 */
import type { TestProject } from 'vitest/node';
import { type MySqlAddress, startMariaDb } from './mariadb.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    mysql: MySqlAddress;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.OMGFS_TEST_MYSQL;
  if (given !== undefined && given !== '') {
    const url = new URL(given);
    project.provide('mysql', {
      host: url.hostname,
      port: Number(url.port || 3306),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    });
    return async () => {};
  }
  const server = await startMariaDb();
  const { host, port, user, password } = server;
  project.provide('mysql', { host, port, user, password });
  return () => server.stop();
}
