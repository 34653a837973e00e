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
    host: 'localhost',
    port: 0,
    socketPath: undefined,
    ...login,
  };
  // DBD::mysql takes the first words without a name for database, host and port.
  const unnamed = ['database', 'host', 'port'];
  for (const part of rest.split(/[;:]/)) {
    const [word = '', ...values] = part.split('=');
    if (part === '') continue;
    if (values.length > 0) setAttribute(text, dsn, { name: word.trim(), value: values.join('=') });
    else setAttribute(text, dsn, { name: unnamed.shift() ?? word, value: word });
  }
  if (dsn.database === '') throw refused(text, 'it names no database');
  if (dsn.port === 0) dsn.port = mysqlPort;
  // Who names a port of this machine means TCP, which `localhost` alone does not.
  else if (dsn.host === 'localhost') dsn.host = '127.0.0.1';
  if (!Number.isInteger(dsn.port) || dsn.port < 1 || dsn.port > 65_535) {
    throw refused(text, 'the port is not a number from 1 to 65535');
  }
  return dsn;
}

function setAttribute(text: string, dsn: MySqlDsn, given: { name: string; value: string }): void {
  const { name, value } = given;
  if (/^(?:database|dbname|db)$/.test(name)) dsn.database = value;
  else if (/^host(?:name)?$/.test(name)) dsn.host = value;
  else if (name === 'mysql_socket') dsn.socketPath = value;
  else if (name === 'port') dsn.port = Number(value);
  else if (/^mysql_read_default_(?:file|group)$/.test(name)) {
    throw refused(text, `${name} is not read; name host, user and password to the tracker itself`);
  } else if (/^mysql_ssl/.test(name) && value !== '0') {
    throw refused(text, `${name} is not supported; use a private network or a local TLS proxy`);
  } else if (!/^(?:mysql|mariadb|mysql_)/.test(name)) {
    throw refused(text, `'${name}' is no attribute of a DSN`);
  }
  // What is left tunes the Perl driver and means nothing here.
}

function refused(text: string, reason: string): OmgfsError {
  return new OmgfsError('BAD_PARAMS', { message: `The DSN "${text}" cannot be used: ${reason}.` });
}
