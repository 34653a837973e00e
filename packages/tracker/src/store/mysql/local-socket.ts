/**
 * `localhost` means the Unix socket to every MySQL client, and accounts of databases are made for
 * that: `'mogile'@'localhost'` may have no right to come by TCP.
 */
import { existsSync } from 'node:fs';

/** Where distributions put the socket. */
const places = [
  '/run/mysqld/mysqld.sock',
  '/var/run/mysqld/mysqld.sock',
  '/var/lib/mysql/mysql.sock',
  '/tmp/mysql.sock',
];

/** The server's socket on this machine; undefined where there is none. */
export function localSocket(): string | undefined {
  return places.find((path) => existsSync(path));
}
