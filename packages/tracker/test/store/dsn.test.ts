/** Goal: every DSN seen in the wild is understood, others refused with words. Method: a table. */
import { OmgfsError } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { parseDsn } from '../../src/store/dsn.ts';

const login = { user: 'mogile', password: 'secret' };
const mysql = { engine: 'mysql', host: 'localhost', port: 3306, socketPath: undefined, ...login };

describe('parseDsn', () => {
  test.each([
    ['DBI:mysql:mogilefs', { database: 'mogilefs' }],
    ['DBI:mysql:db;host=db1;port=3307', { database: 'db', host: 'db1', port: 3307 }],
    ['DBI:mysql:db:host=db1', { database: 'db', host: 'db1' }],
    ['dbi:mysql:database=db;host=db1', { database: 'db', host: 'db1' }],
    ['DBI:mysql:db;mysql_socket=/run/db.sock', { database: 'db', socketPath: '/run/db.sock' }],
    ['DBI:mysql:db;mysql_connect_timeout=5', { database: 'db' }],
    ['DBI:MariaDB:db=db', { database: 'db' }],
    ['DBI:mysql:db:db1:3307', { database: 'db', host: 'db1', port: 3307 }],
    ['DBI:mysql:db;port=3307;host=localhost', { database: 'db', host: '127.0.0.1', port: 3307 }],
  ])('%s', (text, expected) => {
    expect(parseDsn(text, login)).toEqual({ ...mysql, ...expected });
  });

  test.each(['DBI:SQLite:/var/lib/omgfs.db', 'DBI:SQLite:dbname=/var/lib/omgfs.db'])('%s', (text) =>
    expect(parseDsn(text, login)).toEqual({ engine: 'sqlite', file: '/var/lib/omgfs.db' }),
  );

  test.each([
    ['DBI:Pg:dbname=mogilefs', /PostgreSQL is not supported/],
    ['DBI:mysql:;host=db1', /names no database/],
    ['DBI:mysql:db;port=x', /port/],
    ['DBI:mysql:db;mysql_read_default_file=/etc/my.cnf', /mysql_read_default_file is not read/],
    ['DBI:mysql:db;mysql_ssl=1', /mysql_ssl is not supported/],
    ['DBI:mysql:db;hots=db1', /'hots' is no attribute/],
    ['DBI:SQLite:', /file/],
    ['mysql://db1/db', /expected DBI:mysql/],
  ])('%s is refused', (text, message) => {
    expect(() => parseDsn(text, login)).toThrow(message);
    expect(() => parseDsn(text, login)).toThrow(OmgfsError);
  });
});
