/**
 * Goal: mogdbsetup makes a database and its account, brings every old schema to what a fresh
 * install has, keeps its rows and the width of its fids, and changes nothing when run again.
 * Method: the built command on the MariaDB of the run; tables are compared by information_schema.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { connectTo, createDatabaseOn } from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { openSqlite } from '../../src/store/sqlite/driver.ts';
import { oldSchema, oldSqliteSchema } from './old-schema.ts';

const script = fileURLToPath(new URL('../../bin/mogdbsetup.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'omgfs-setup-'));
afterAll(() => rmSync(dir, { recursive: true }));

interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** With what a person, or a pipe, answers. */
function run(args: string[], answers = ''): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [script, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
    child.stdin?.on('error', () => {}).end(answers);
  });
}

function setUp(database: string, more: string[] = []): Promise<Outcome> {
  const { host, port, user, password } = sharedServer();
  const server = ['--dbhost', host, '--dbport', `${port}`, '--dbname', database];
  return run([...server, '--dbuser', user, '--dbpass', password, '--yes', ...more]);
}

async function sql(database: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const connection = await connectTo(sharedServer(), database);
  try {
    let rows: unknown = [];
    for (const statement of statements) [rows] = await connection.query(statement);
    return rows as Record<string, unknown>[];
  } finally {
    connection.destroy();
  }
}

/** Columns and indexes; keys as text are taken for the bytes that fresh installs have. */
async function shapeOf(database: string): Promise<unknown> {
  const columns = await sql(
    database,
    `SELECT table_name AS t, column_name AS c, is_nullable, column_default,
       REPLACE(column_type, 'varbinary', 'varchar') AS type, extra
     FROM information_schema.columns WHERE table_schema = '${database}'
       AND table_name NOT LIKE 'omg%'
     ORDER BY 1, 2`,
  );
  const indexes = await sql(
    database,
    `SELECT table_name AS t, non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index) AS c
     FROM information_schema.statistics
     WHERE table_schema = '${database}' AND table_name NOT LIKE 'omg%'
     GROUP BY table_name, index_name, non_unique ORDER BY 1, 3`,
  );
  return { columns, indexes };
}

const healing = "SELECT value FROM server_settings WHERE field = 'omg_heal_after'";

describe('an old MySQL database', () => {
  test.each([
    [6, 'INT'],
    [9, 'BIGINT'],
    [12, 'INT'],
    [14, 'BIGINT'],
    [16, 'BIGINT'],
  ] as const)('schema %i with %s fids becomes 17', async (version, fid) => {
    const fresh = await createDatabaseOn(sharedServer());
    await sql(fresh, ...oldSchema({ version: 17, fid }));
    const old = await createDatabaseOn(sharedServer());
    await sql(old, ...oldSchema({ version, fid }));
    expect(await setUp(old)).toMatchObject({ code: 0, err: '' });
    expect(await shapeOf(old)).toEqual(await shapeOf(fresh));
    const [row] = await sql(
      old,
      "SELECT value FROM server_settings WHERE field = 'schema_version'",
    );
    expect(String(row?.value)).toBe('17');
    expect(await sql(old, healing)).toEqual([]);
    expect(await sql(old, 'SELECT devid FROM file_on WHERE fid = 5')).toHaveLength(2);
    expect((await setUp(old)).out).toMatch(/nothing was changed/);
    await sql(old, `DROP DATABASE ${old}`, `DROP DATABASE ${fresh}`);
  });

  test('a fresh install has the same tables', async () => {
    const made = await createDatabaseOn(sharedServer());
    await setUp(made);
    const fresh = await createDatabaseOn(sharedServer());
    await sql(fresh, ...oldSchema({ version: 17, fid: 'BIGINT' }));
    expect(await shapeOf(made)).toEqual(await shapeOf(fresh));
    // Nobody else looks after its files; a database that is taken over has other trackers.
    expect(await sql(made, healing)).toHaveLength(1);
    await sql(made, `DROP DATABASE ${made}`, `DROP DATABASE ${fresh}`);
  });

  test.each([
    [5, /Bring it to 6/],
    [18, /newer than 17/],
  ])('schema %i is refused and left alone', async (version, message) => {
    const old = await createDatabaseOn(sharedServer());
    await sql(old, ...oldSchema({ version, fid: 'INT' }));
    const before = await shapeOf(old);
    const outcome = await setUp(old);
    expect(outcome).toMatchObject({ code: 1, err: expect.stringMatching(message) });
    expect(await shapeOf(old)).toEqual(before);
    await sql(old, `DROP DATABASE ${old}`);
  });

  test('--noschemabump leaves the version', async () => {
    const old = await createDatabaseOn(sharedServer());
    await sql(old, ...oldSchema({ version: 14, fid: 'INT' }));
    await setUp(old, ['--noschemabump']);
    const [row] = await sql(
      old,
      "SELECT value FROM server_settings WHERE field = 'schema_version'",
    );
    expect(String(row?.value)).toBe('14');
    await sql(old, `DROP DATABASE ${old}`);
  });
});

describe('database and account', () => {
  test('are made by the administrator, once, and an account keeps its password', async () => {
    const { host, port, user, password } = sharedServer();
    const name = `made_${process.pid}_${Date.now().toString(36)}`;
    const account = `u${process.pid}`;
    const args = ['--dbhost', host, '--dbport', `${port}`, '--dbname', name, '--dbuser', account];
    const root = ['--dbrootuser', user, '--dbrootpass', password, '--yes'];
    expect(await run([...args, '--dbpassword', "it's", ...root])).toMatchObject({ code: 0 });
    const login = { host, port, user: account, password: "it's" };
    const connection = await connectTo(login, name);
    connection.destroy();
    // The account can enter, so the administrator is not needed any more.
    const again = await run([...args, '--dbpassword', "it's", '--yes', '--dbrootuser', 'nobody']);
    expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/nothing was changed/) });
    const other = await run([...args, '--dbpassword', 'other', ...root]);
    expect(other).toMatchObject({ code: 1, err: expect.stringMatching(/another password/) });
    await sql(name, `DROP DATABASE ${name}`);
    await sql('mysql', `DROP USER '${account}'@'%', '${account}'@'localhost'`);
  });

  test('an administrator who may not grant is told what somebody else must run', async () => {
    const { host, port } = sharedServer();
    const poor = `poor${process.pid}`;
    await sql(
      'mysql',
      `CREATE USER '${poor}'@'%' IDENTIFIED BY 'p'`,
      `GRANT CREATE USER ON *.* TO '${poor}'@'%'`,
    );
    const server = ['--dbhost', host, '--dbport', `${port}`, '--dbname', 'not_made', '--yes'];
    const account = ['--dbuser', 'nobody', '--dbpass', 'hidden'];
    const root = ['--dbrootuser', poor, '--dbrootpass', 'p'];
    const { code, err } = await run([...server, ...account, ...root]);
    expect(code).toBe(1);
    expect(err).toMatch(/denied.*--dbrootuser.*GRANT ALL PRIVILEGES ON `not\\_made`\.\*/s);
    expect(err).not.toContain('hidden');
    await sql('mysql', `DROP USER '${poor}'@'%'`);
  });

  test('nothing happens without an answer, and a pipe can answer', async () => {
    const args = ['--type', 'SQLite', '--dbname', join(dir, 'asked.sqlite')];
    const outcome = await run(args);
    expect(outcome).toMatchObject({ code: 3, err: expect.stringMatching(/--yes/) });
    expect(await run(args, 'n\n')).toMatchObject({ code: 3 });
    expect(existsSync(join(dir, 'asked.sqlite'))).toBe(false);
    expect(await run(args, 'y\ny\n')).toMatchObject({ code: 0 });
  });

  test('an SQLite file of schema 12 becomes 17', async () => {
    const file = join(dir, 'old.sqlite');
    const database = await openSqlite(file);
    for (const text of oldSqliteSchema({ version: 12 })) database.exec(text);
    const args = ['--type=SQLite', `--dbname=${file}`, '--yes'];
    expect(await run(args)).toMatchObject({ code: 0, err: '' });
    expect((await run(args)).out).toMatch(/nothing was changed/);
    const rows = database.prepare("SELECT value FROM server_settings WHERE field LIKE 'sch%'");
    expect(rows.all()).toMatchObject([{ value: '17' }]);
    database.prepare('SELECT hashtype, replpolicy FROM class').all();
    database.close();
  });

  test('an SQLite file is made and completed', async () => {
    const args = ['--type=SQLite', `--dbname=${join(dir, 'new.sqlite')}`, '--yes', '--verbose'];
    expect(await run(args)).toMatchObject({ code: 0, out: expect.stringMatching(/CREATE TABLE/) });
    expect((await run(args)).out).toMatch(/nothing was changed/);
  });

  test.each([
    [['--type', 'Postgres'], /not supported/],
    [['--db', 'x'], /ambiguous/],
    [['--nosuch'], /unknown option/],
    [['--dbport', 'x'], /port/],
  ])('%j is refused', async (args, message) => {
    expect(await run(args)).toMatchObject({ code: 2, err: expect.stringMatching(message) });
  });
});
