/**
 * Data source names as MogileFS configurations spell them (spec §3.1): `DBI:mysql:…` and
 * `DBI:SQLite:…`. Pure; nothing is opened here.
 */
import { OmgfsError } from '@omgfs/protocol';

export interface MySqlDsn {
  engine: 'mysql';
  database: string;
  host: string;
  port: number;
  /** Unix socket; used instead of host and port. */
  socketPath: string | undefined;
  user: string;
  password: string;
}

export interface SqliteDsn {
  engine: 'sqlite';
  file: string;
}

export type Dsn = MySqlDsn | SqliteDsn;

const mysqlPort = 3306;

/**
 * Takes a DSN apart; options may be separated by `;` or `:`.
 * @throws BAD_PARAMS for what this version cannot open, with a message for the operator.
 */
export function parseDsn(text: string, login: { user: string; password: string }): Dsn {
  const match = /^DBI:(\w+):(.*)$/is.exec(text.trim());
  const driver = match?.[1]?.toLowerCase();
  const rest = match?.[2] ?? '';
  if (driver === 'sqlite') return { engine: 'sqlite', file: sqliteFile(text, rest) };
  if (driver === 'mysql' || driver === 'mariadb') return mysqlDsn(text, rest, login);
  if (driver === 'pg' || driver === 'postgres' || driver === 'postgresql') {
    throw refused(text, 'PostgreSQL is not supported; use MySQL, MariaDB or SQLite');
  }
  throw refused(text, 'expected DBI:mysql:<database>;host=<host>;port=<port> or DBI:SQLite:<file>');
}

function sqliteFile(text: string, rest: string): string {
  const file = /^(?:dbname|database)=([^;]*)/.exec(rest)?.[1] ?? rest;
  if (file === '' || file === ':memory:') throw refused(text, 'SQLite needs the name of a file');
  return file;
}

function mysqlDsn(text: string, rest: string, login: { user: string; password: string }): MySqlDsn {
  const dsn: MySqlDsn = {
    engine: 'mysql',
    database: '',
    host: '127.0.0.1',
    port: mysqlPort,
    socketPath: undefined,
    ...login,
  };
  for (const part of rest.split(/[;:]/)) {
    const [name = '', ...values] = part.split('=');
    const value = values.join('=');
    if (name === '') continue;
    if (values.length === 0 || name === 'database' || name === 'dbname' || name === 'db') {
      dsn.database = values.length === 0 ? name : value;
    } else if (name === 'host' || name === 'hostname') dsn.host = value;
    else if (name === 'port') dsn.port = Number(value);
    else if (name === 'mysql_socket') dsn.socketPath = value;
    // Other attributes of DBD::mysql tune the Perl driver and mean nothing here.
  }
  if (dsn.database === '') throw refused(text, 'it names no database');
  if (!Number.isInteger(dsn.port) || dsn.port < 1 || dsn.port > 65_535) {
    throw refused(text, 'the port is not a number from 1 to 65535');
  }
  return dsn;
}

function refused(text: string, reason: string): OmgfsError {
  return new OmgfsError('BAD_PARAMS', { message: `The DSN "${text}" cannot be used: ${reason}.` });
}
