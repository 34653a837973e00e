/**
 * Goal: the store works on databases that MogileFS made, whatever charset, fids, engine and mode of
 * the server they have, keeps the bytes of keys and changes no table (spec appendix D).
 * Method: whole schemas of old installs on MariaDB; one server of its own for modes of the server.
 */
import type { RowDataPacket } from 'mysql2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  connectTo,
  createDatabaseOn,
  dsnOf,
  type MariaDb,
  type MySqlAddress,
  startMariaDb,
} from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { examineDatabase } from '../../src/setup/doctor/doctor.ts';
import { openStore, parseDsn } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { type OldSchema, oldSchema } from '../setup/old-schema.ts';
import { allBytes, codeOf, put, storeOptions } from './fixture.ts';
import { live } from './life.ts';

interface TakenOver {
  store: Store;
  dsn: string;
  sql: (text: string) => Promise<RowDataPacket[]>;
  /** What was said at the start. */
  warnings: readonly string[];
  /** Every table of the original as the server describes it, without its counter. */
  tables: () => Promise<string[]>;
  drop: () => Promise<void>;
}

async function takeOver(
  server: MySqlAddress,
  old: Partial<OldSchema>,
  ...more: string[]
): Promise<TakenOver> {
  const database = await createDatabaseOn(server);
  const connection = await connectTo(server, database);
  const sql = async (text: string) => (await connection.query<RowDataPacket[]>(text))[0];
  // How the tables come about is not what is tested.
  await sql("SET SESSION sql_mode = ''");
  for (const text of [...oldSchema({ version: 17, fid: 'BIGINT', ...old }), ...more])
    await sql(text);
  const dsn = dsnOf(server, database);
  const warnings: string[] = [];
  const warn = (text: string) => warnings.push(text);
  const store = await openStore(parseDsn(dsn, server), {
    ...storeOptions,
    createSchema: false,
    warn,
  });
  return {
    dsn,
    warnings,
    store,
    sql,
    tables: async () => {
      const names = (await sql('SHOW TABLES')).map((row) => String(Object.values(row)[0]));
      const own = names.filter((name) => !name.startsWith('omg_'));
      const rows = await Promise.all(own.map((name) => sql(`SHOW CREATE TABLE ${name}`)));
      return rows.map(([row]) => String(row?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, ''));
    },
    drop: async () => {
      await store.close();
      await sql(`DROP DATABASE ${database}`);
      connection.destroy();
    },
  };
}

const latin = 'gr\xfc\xdfe';
const utf8 = Buffer.from('grüße').toString('latin1');
const emoji = Buffer.from('🙂').toString('latin1');

describe.each([
  ['latin1', 'BIGINT', ['plain', latin, utf8, ...allBytes]],
  ['latin1 COLLATE latin1_bin', 'INT', ['plain', latin, ...allBytes]],
  ['utf8 COLLATE utf8_general_ci', 'INT', ['plain', utf8]],
  ['utf8mb4 COLLATE utf8mb4_bin', 'BIGINT', ['plain', utf8, emoji]],
  ['utf8mb4 COLLATE utf8mb4_unicode_ci', 'BIGINT', ['plain', utf8, emoji]],
  ['binary', 'INT', ['plain', latin, utf8, ...allBytes]],
] as const)('%s, fids %s', (charset, fid, keys) => {
  test('a life changes no table, and keys keep their bytes', async () => {
    const { store, tables, drop } = await takeOver(sharedServer(), { charset, fid });
    const before = await tables();
    await live(store, keys);
    expect(await tables()).toEqual(before);
    await drop();
  });
});

test('what MogileFS stored is found and kept, under the names it gave', async () => {
  // As a client library with the connection charset latin1 left it in a table of utf8.
  const stored = `INSERT INTO file VALUES (9, 1, CONVERT(x'6772fc' USING latin1), 1, 0, 1)`;
  const old = { charset: 'utf8', fid: 'INT' } as const;
  const { store, drop } = await takeOver(sharedServer(), old, stored, 'SET NAMES latin1');
  const page = { dmid: 1, prefix: '', after: '', limit: 9, caseSensitive: false };
  const [dkey = ''] = await store.listKeys(page);
  expect(dkey).toBe(Buffer.from('grü').toString('latin1'));
  expect(await store.findFile({ dmid: 1, dkey })).toMatchObject({ fid: 9, dkey });
  expect(await store.filesAfter({ after: 5, limit: 5 })).toMatchObject([{ fid: 9, dkey }]);
  await drop();
});

test('MyISAM tables work, without what transactions are for, and that is said', async () => {
  const myIsam = await takeOver(sharedServer(), { engine: 'MyISAM' });
  const { store, tables, warnings, drop } = myIsam;
  expect(warnings).toEqual([expect.stringMatching(/lose .* file \(myisam\), file_on .*InnoDB/)]);
  const before = await tables();
  await live(store, ['plain', latin]);
  expect(await tables()).toEqual(before);
  await drop();
});

describe('the end of 32-bit fids', () => {
  test('is said in words, and spoils nothing', async () => {
    const almost = 'INSERT INTO tempfile VALUES (4294967294, 1, 0, 1, NULL, NULL)';
    const { store, sql, drop } = await takeOver(sharedServer(), { fid: 'INT' }, almost);
    const request = { dmid: 1, dkey: 'k2', classid: 0, devids: [1] };
    expect(await store.openTempfile(request)).toBe(4_294_967_295);
    for (const fid of [undefined, 4_294_967_296]) {
      const failed = store.openTempfile(fid === undefined ? request : { ...request, fid });
      await expect(failed).rejects.toThrow(/32 bits, widen them to BIGINT/);
    }
    expect(await store.findFile({ dmid: 1, dkey: 'k' })).toMatchObject({ fid: 5 });
    expect(await sql('SELECT fid FROM tempfile WHERE fid > 4294967295')).toEqual([]);
    await drop();
  });
});

describe('modes of the server', () => {
  let server: MariaDb;
  beforeAll(async () => {
    server = await startMariaDb();
  });
  afterAll(() => server?.stop());

  test.each([
    'ANSI',
    'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO',
    'NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE,ONLY_FULL_GROUP_BY',
    'NO_AUTO_VALUE_ON_ZERO,PAD_CHAR_TO_FULL_LENGTH',
    '',
  ])('%j is nothing to the trackers', async (mode) => {
    const admin = await connectTo(server);
    await admin.query('SET GLOBAL sql_mode = ?', [mode]);
    admin.destroy();
    const { store, dsn, tables, warnings, drop } = await takeOver(server, {});
    const findings = await examineDatabase({ ...server, dsn });
    const isStrict = findings.every(({ about }) => about !== 'sql-mode');
    expect(isStrict).toBe(mode.includes('STRICT'));
    expect(warnings).toEqual([]);
    const before = await tables();
    await live(store, ['it\'s \\ "q"', latin]);
    expect(await tables()).toEqual(before);
    await drop();
  });
});

test('keys of another charset fail alone, and say so', async () => {
  const { store, drop } = await takeOver(sharedServer(), { charset: 'utf8' });
  const codes = await Promise.all(
    ['good', latin, emoji].map((dkey) => codeOf(put(store, { dmid: 1, dkey }))),
  );
  expect(codes[0]).toBe('none');
  expect(codes.slice(1)).not.toContain('none');
  await drop();
});
