/**
 * The database and the account of the trackers on a MySQL or MariaDB server, made by an
 * administrator of it. Nothing that exists is changed: not the charset of a database, not the
 * password of an account.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { MySqlDsn } from '../dsn.ts';
import { connect } from '../mysql/connections.ts';

/** MySQL numbers: access denied to the server, to the database; no such database. */
const noEntryNumbers = new Set([1044, 1045, 1049, 1698]);

/** Whether the account of the DSN can use its database already. @throws DB_DOWN, FAILURE. */
export async function canEnter(dsn: MySqlDsn): Promise<boolean> {
  try {
    const session = await connect(dsn);
    await session.rows('SELECT 1 AS one').finally(() => session.connection.destroy());
    return true;
  } catch (error) {
    const cause = error instanceof OmgfsError ? error.cause : undefined;
    const { errno } = (cause ?? {}) as { errno?: number };
    if (errno !== undefined && noEntryNumbers.has(errno)) return false;
    throw error;
  }
}

/** What an administrator runs so that `account` can enter its database; in this order. */
export function accountStatements(account: MySqlDsn): string[] {
  const login = ['%', 'localhost'].map((host) => `${quoted(account.user)}@${quoted(host)}`);
  const database = account.database.replaceAll('`', '``');
  // In a GRANT, % and _ of a name stand for other characters.
  const pattern = database.replaceAll(/[%_\\]/g, '\\$&');
  return [
    `CREATE DATABASE IF NOT EXISTS \`${database}\``,
    ...login.map((who) => `CREATE USER IF NOT EXISTS ${who} IDENTIFIED BY ${password(account)}`),
    ...login.map((who) => `GRANT ALL PRIVILEGES ON \`${pattern}\`.* TO ${who}`),
  ];
}

/** Runs statements as an administrator. @throws DB_DOWN, FAILURE with the server's words. */
export async function runAsAdministrator(
  administrator: MySqlDsn,
  statements: readonly string[],
): Promise<void> {
  const session = await connect({ ...administrator, database: '' });
  try {
    for (const sql of statements) await session.text(sql);
  } finally {
    session.connection.destroy();
  }
}

function password(account: MySqlDsn): string {
  return quoted(account.password);
}

/** A literal; connections have no sql_mode that changes the meaning of the backslash. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
