/**
 * Goal: `omgfs doctor` names every fault of a database prepared with them, tells fine from
 * unsafe by its exit code, and changes nothing.
 * Method: the built command on databases of the MariaDB of the run, and on SQLite files.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RowDataPacket } from 'mysql2';
import { afterAll, describe, expect, test } from 'vitest';
import { openSqlite } from '../../packages/tracker/src/store/sqlite/driver.ts';
import { oldSchema, oldSqliteSchema } from '../../packages/tracker/test/setup/old-schema.ts';
import { runOmgfs } from '../helpers/command-line.ts';
import { connectTo, createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { sharedServer } from '../helpers/shared-server.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-doctor-'));
const confDir = mkdtempSync(join(tmpdir(), 'omgfs-doctor-conf-'));
afterAll(() => {
  for (const made of [dir, confDir]) rmSync(made, { recursive: true });
});

interface Found {
  level: string;
  about: string;
  text: string;
}

function examine(dsn: string, login?: { user: string; password: string }) {
  const { user, password } = login ?? sharedServer();
  return doctor(['--db', dsn, '--dbuser', user, '--dbpass', password]);
}

async function doctor(args: string[]) {
  const { code, out, err } = await runOmgfs(['--json', 'doctor', ...args], { cwd: dir });
  const lines = out.toString().split('\n').filter(Boolean);
  const findings = lines.map((line) => JSON.parse(line) as Found);
  const levels = (level: string) =>
    [...new Set(findings.filter((one) => one.level === level).map(({ about }) => about))].sort();
  const textOf = (about: string) =>
    findings.flatMap((one) => (one.about === about ? [one.text] : [])).join('\n');
  return { code, err, levels, textOf };
}

async function databaseWith(...statements: string[]): Promise<string> {
  const database = await createDatabaseOn(sharedServer());
  const connection = await connectTo(sharedServer(), database);
  for (const sql of statements) await connection.query(sql);
  connection.destroy();
  return database;
}

/** Definition and checksum of every table. */
async function contentOf(database: string): Promise<unknown[]> {
  const connection = await connectTo(sharedServer(), database);
  const [tables] = await connection.query<RowDataPacket[]>('SHOW TABLES');
  const content: unknown[] = [];
  for (const table of tables.map((row) => Object.values(row)[0] as string)) {
    for (const sql of [`SHOW CREATE TABLE ${table}`, `CHECKSUM TABLE ${table} EXTENDED`]) {
      content.push((await connection.query<RowDataPacket[]>(sql))[0]);
    }
  }
  connection.destroy();
  return content;
}

const dsn = (database: string) => dsnOf(sharedServer(), database);
const whole = [
  "INSERT INTO host (hostid, status, hostname, hostip) VALUES (2, 'alive', 'h2', '127.0.0.2')",
  "INSERT INTO device (devid, hostid, status) VALUES (2, 2, 'alive')",
  'UPDATE class SET mindevcount = 2',
];

const faults = [
  'ALTER TABLE fsck_log ENGINE=MyISAM',
  "INSERT INTO file VALUES (4200000000, 9, 'lost', 1, 0, 1), (7, 1, 'unclassed', 1, 77, 1)",
  `INSERT INTO class (dmid, classid, classname, mindevcount, replpolicy)
     VALUES (1, 2, 'odd', 2, 'Bogus(3)'), (1, 3, 'good', 2, 'MultipleDevices()')`,
  'INSERT INTO file_on VALUES (7, 555)',
  "INSERT INTO device (devid, hostid, status) VALUES (3, 99, 'alive')",
  'INSERT INTO file_to_replicate (fid, nexttry) VALUES (7, 2147483647), (5, 0)',
  `INSERT INTO server_settings VALUES ('fsck_host', 'old1'), ('rebal_host', 'old2'),
     ('memcache_servers', '127.0.0.1:11211'), ('slave_keys', 'r1'),
     ('slave_r1', 'DBI:mysql:x|u|hidden')`,
];

describe('MariaDB', () => {
  test('a sound database is fine, also with wide fids', async () => {
    const database = await databaseWith(...oldSchema({ version: 17, fid: 'BIGINT' }), ...whole);
    const { code, levels, textOf } = await examine(dsn(database));
    expect({ code, unsafe: levels('unsafe') }).toEqual({ code: 0, unsafe: [] });
    expect(levels('fine')).toEqual(['fids', 'grants', 'queues', 'schema', 'server']);
    expect(levels('note')).toEqual(['keys']);
    expect(textOf('keys')).toContain('latin1');
    expect(textOf('fids')).toContain('64 bits');
  });

  test('every fault is named, nothing is changed, no password is shown', async () => {
    const database = await databaseWith(...oldSchema({ version: 17, fid: 'INT' }), ...faults);
    const before = await contentOf(database);
    const { code, levels, textOf } = await examine(dsn(database));
    expect(await contentOf(database)).toEqual(before);
    expect(code).toBe(1);
    expect(levels('unsafe')).toEqual(['engine', 'fids']);
    expect(levels('note')).toEqual(
      [
        ...['classes', 'devices', 'domains', 'fsck', 'impossible', 'keys', 'memcache', 'policies'],
        ...['queues', 'rebalance', 'replica-databases', 'replicas'],
      ].sort(),
    );
    expect(textOf('engine')).toContain('fsck_log (myisam)');
    expect(textOf('fids')).toMatch(/32 bits, the highest is 4200000000, 97\.8 %/);
    expect(textOf('domains')).toMatch(/: 9\/0$/);
    expect(textOf('classes')).toMatch(/1\/77/);
    expect(textOf('policies')).toMatch(/: odd Bogus\(3\)$/);
    expect(textOf('impossible')).toMatch(/: c \(no device .+\), good \(no device .+\)$/);
    expect(textOf('replicas')).toMatch(/: 2, 555$/);
    expect(textOf('devices')).toMatch(/: 3$/);
    expect(textOf('queues')).toContain('file_to_replicate: 2 rows, 1 parked');
    expect(textOf('replica-databases')).not.toContain('hidden');
  });

  test('fids of different widths are unsafe; a file of options names the database', async () => {
    const narrow = 'ALTER TABLE file_on MODIFY fid INT UNSIGNED NOT NULL';
    const old = oldSchema({ version: 17, fid: 'BIGINT' });
    const database = await databaseWith(...old, ...whole, narrow);
    const { user, password } = sharedServer();
    const lines = [`db_dsn = ${dsn(database)}`, `db_user = ${user}`, `db_pass = ${password}`];
    const file = join(confDir, 'mogilefsd.conf');
    writeFileSync(file, [...lines, 'plugins = FilePaths', 'min_free_spcae = 7'].join('\n'));
    const { code, levels, textOf } = await doctor(['--config', file]);
    expect({ code, unsafe: levels('unsafe') }).toEqual({ code: 1, unsafe: ['fid-width'] });
    expect(textOf('fid-width')).toMatch(/: file_on$/);
    expect(textOf('config')).toMatch(/FilePaths.*\n.*did you mean min_free_space/);
    writeFileSync(file, 'conf_port=7001');
    const refused = await doctor(['--config', file]);
    expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(/line 1/)]);
    expect((await doctor([])).code).toBe(2);
  });

  test('no large table is walked', async () => {
    const files = `INSERT INTO file SELECT seq, 1, CONCAT('k', seq), 1, seq MOD 2, 1
      FROM seq_1000_to_30000`;
    const replicas = 'INSERT INTO file_on SELECT seq, seq MOD 2 FROM seq_1000_to_30000';
    const waiting = `INSERT INTO file_to_queue (fid, type, nexttry)
      SELECT seq, 1 + seq MOD 2, 0 FROM seq_1000_to_3000`;
    const analyze = 'ANALYZE TABLE file, file_on, file_to_queue';
    const old = oldSchema({ version: 17, fid: 'BIGINT' });
    const database = await databaseWith(...old, ...whole, files, replicas, waiting, analyze);
    const connection = await connectTo(sharedServer());
    const login = { user: `s_${database}`.slice(0, 30), password: 'counted' };
    await connection.query('SET GLOBAL userstat = 1');
    await connection.query(`CREATE USER '${login.user}'@'%' IDENTIFIED BY '${login.password}'`);
    await connection.query(`GRANT ALL ON ${database}.* TO '${login.user}'@'%'`);
    const { code, textOf } = await examine(dsn(database), login);
    expect([code, textOf('queues')]).toEqual([0, expect.stringContaining('2001 rows')]);
    const [rows] = await connection.query<RowDataPacket[]>('SHOW USER_STATISTICS');
    const read = rows.find((row) => row.User === login.user)?.Rows_read;
    // The queue is counted up to a bound; of 58,000 files and replicas a few are read.
    expect(Number(read)).toBeGreaterThan(2001);
    expect(Number(read)).toBeLessThan(4000);
    await connection.query('SET GLOBAL userstat = 0');
    await connection.query(`DROP USER '${login.user}'@'%'`);
    connection.destroy();
  });

  test('an old schema is unsafe, and the tables it lacks are named', async () => {
    const database = await databaseWith(...oldSchema({ version: 9, fid: 'INT' }), ...whole);
    const { code, levels, textOf } = await examine(dsn(database));
    expect({ code, unsafe: levels('unsafe') }).toEqual({ code: 1, unsafe: ['schema', 'tables'] });
    expect(textOf('tables')).toContain('file_to_delete2, file_to_queue, checksum');
  });

  test('an account that may only read is enough to look, and its lack is said', async () => {
    const database = await databaseWith(...oldSchema({ version: 17, fid: 'INT' }), ...whole);
    const connection = await connectTo(sharedServer());
    const login = { user: `r_${database}`.slice(0, 30), password: 'only-reads' };
    const who = `'${login.user}'@'%'`;
    await connection.query(`CREATE USER ${who} IDENTIFIED BY '${login.password}'`);
    await connection.query(`GRANT SELECT ON ${database}.* TO ${who}`);
    await connection.query(`GRANT ALL ON other_${database}.* TO ${who}`);
    const reader = await examine(dsn(database), login);
    expect({ code: reader.code, notes: reader.levels('note') }).toEqual({
      code: 0,
      notes: ['grants', 'keys'],
    });
    const pattern = database.replaceAll('_', '\\_');
    await connection.query(`GRANT SELECT, CREATE ON \`${pattern}\`.* TO ${who}`);
    expect((await examine(dsn(database), login)).levels('note')).toEqual(['keys']);
    await connection.query(`DROP USER ${who}`);
    connection.destroy();
  });

  test('what cannot be looked at ends with 2', async () => {
    const { code, err, levels } = await examine(dsn('no_such_database'));
    expect({ code, unsafe: levels('unsafe') }).toEqual({ code: 2, unsafe: [] });
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'DB_DOWN' } });
    expect((await examine('DBI:Pg:dbname=x')).code).toBe(2);
  });
});

describe('SQLite', () => {
  test('a file of MogileFS is examined; it stays as it is', async () => {
    const file = join(dir, 'mogile.db');
    const database = await openSqlite(file);
    for (const sql of oldSqliteSchema()) database.exec(sql);
    database.close();
    const before = readFileSync(file);
    const { code, levels, textOf } = await examine(`DBI:SQLite:${file}`);
    expect({ code, unsafe: levels('unsafe') }).toEqual({ code: 0, unsafe: [] });
    expect(textOf('keys')).toContain('every difference counts');
    expect(textOf('fids')).toContain('64 bits');
    expect(textOf('replicas')).toMatch(/: 2$/);
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(dir)).toEqual(['mogile.db']);
  });

  test('a missing file is not made', async () => {
    const file = join(dir, 'missing.db');
    expect((await examine(`DBI:SQLite:${file}`)).code).toBe(2);
    expect(existsSync(file)).toBe(false);
  });
});
