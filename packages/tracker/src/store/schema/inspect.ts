/**
 * What an existing database holds, read without changing anything: one read-only transaction, or a
 * file opened for reading. No query walks a large table of MySQL: ends of indexes, loose scans of
 * indexes, small tables, and counts that stop at a bound.
 */
import type { Dsn, MySqlDsn, SqliteDsn } from '../dsn.ts';
import { connect } from '../mysql/connections.ts';
import { describeTable } from '../mysql/describe.ts';
import type { Row } from '../sql/engine.ts';
import { int, text } from '../sql/row.ts';
import { openSqlite } from '../sqlite/driver.ts';
import { sqliteError } from '../sqlite/errors.ts';
import type { TableFacts } from './table-text.ts';

/** `nexttry` of what waits for an operator (spec §3.6). */
const endOfTime = 2_147_483_647;
/** Counts stop here. */
export const countMax = 1_000_000;

/** The tables of schema 17 that hold work or files. */
const tableNames = [
  ...['domain', 'class', 'file', 'tempfile', 'file_on', 'file_to_replicate', 'file_to_delete'],
  ...['file_to_delete2', 'file_to_delete_later', 'file_to_queue', 'fsck_log', 'checksum'],
  ...['host', 'device', 'server_settings'],
];

/** The queues, with the condition of rows that wait for an operator where there are any. */
const queues = new Map([
  ['file_to_replicate', `nexttry = ${endOfTime}`],
  ['file_to_delete2', `nexttry = ${endOfTime}`],
  // By the index type_nexttry: fsck and rebalance.
  ['file_to_queue', `type IN (1, 2) AND nexttry = ${endOfTime}`],
  ['file_to_delete', '1 = 0'],
  ['file_to_delete_later', '1 = 0'],
]);

export interface QueueFacts {
  name: string;
  /** At most `countMax`, as `parked`. */
  rows: number;
  parked: number;
}

interface ServerFacts {
  engine: 'mysql' | 'sqlite';
  version: string;
  database: string;
  sqlMode: string;
  galera: boolean;
  /** As SHOW GRANTS says them; none on SQLite. */
  grants: readonly string[];
}

export interface DatabaseFacts extends ServerFacts {
  tables: ReadonlyMap<string, TableFacts>;
  missing: readonly string[];
  settings: ReadonlyMap<string, string>;
  /** The highest fid that a file or an upload has. */
  fidMax: number;
  queues: readonly QueueFacts[];
  classes: readonly {
    dmid: number;
    classid: number;
    name: string;
    mindevcount: number;
    policy: string;
  }[];
  dmids: readonly number[];
  /** Pairs of dmid and classid that files have. */
  fileClasses: readonly { dmid: number; classid: number }[];
  hosts: readonly { hostid: number; status: string; hostip: string }[];
  devices: readonly { devid: number; hostid: number; status: string; weight: number }[];
  /** Every devid that `file_on` names. */
  replicaDevids: readonly number[];
}

/** How to read one database. */
interface Reader {
  rows(sql: string): Promise<Row[]>;
  describe(table: string): Promise<TableFacts | undefined>;
  /** A text column as bytes. */
  bytes(column: string): string;
}

/** Looks at a database. @throws DB_DOWN when it cannot be reached, FAILURE for the rest. */
export function inspectDatabase(dsn: Dsn): Promise<DatabaseFacts> {
  return dsn.engine === 'mysql' ? inspectMySql(dsn) : inspectSqlite(dsn);
}

async function inspectMySql(dsn: MySqlDsn): Promise<DatabaseFacts> {
  const session = await connect(dsn);
  const rows = (sql: string) => session.rows(sql);
  try {
    await session.text('START TRANSACTION READ ONLY');
    const variable = async (name: string) => {
      const [row] = await rows(`SHOW GLOBAL VARIABLES LIKE '${name}'`);
      return row === undefined ? '' : text(row, 'Value');
    };
    const grants = await rows('SHOW GRANTS');
    return await readFacts(
      {
        rows,
        describe: (table) => describeTable(session, table),
        bytes: (column) => `CAST(${column} AS BINARY)`,
      },
      {
        engine: 'mysql',
        version: await variable('version'),
        database: dsn.database,
        sqlMode: await variable('sql_mode'),
        galera: (await variable('wsrep_on')) === 'ON',
        grants: grants.map((row) => text({ grant: Object.values(row)[0] }, 'grant')),
      },
    );
  } finally {
    // Ends the transaction too.
    session.connection.destroy();
  }
}

async function inspectSqlite({ file }: SqliteDsn): Promise<DatabaseFacts> {
  try {
    const database = await openSqlite(file, { readOnly: true });
    try {
      database.exec('BEGIN');
      const rows = async (sql: string) => database.prepare(sql).all();
      const [row = {}] = await rows('SELECT sqlite_version() AS version');
      return await readFacts(
        {
          rows,
          describe: async (table) => {
            const found = await rows(`SELECT name, type FROM pragma_table_info('${table}')`);
            if (found.length === 0) return undefined;
            const columns = new Map(found.map((row) => [text(row, 'name'), text(row, 'type')]));
            return { columns, keys: [], engine: 'sqlite', charset: '', collation: '' };
          },
          bytes: (column) => `CAST(${column} AS BLOB)`,
        },
        {
          engine: 'sqlite',
          version: text(row, 'version'),
          database: file,
          sqlMode: '',
          galera: false,
          grants: [],
        },
      );
    } finally {
      database.close();
    }
  } catch (error) {
    throw sqliteError(error);
  }
}

async function readFacts(reader: Reader, server: ServerFacts): Promise<DatabaseFacts> {
  const tables = new Map<string, TableFacts>();
  for (const name of tableNames) {
    const table = await reader.describe(name);
    if (table !== undefined) tables.set(name, table);
  }
  const { bytes } = reader;
  const read: Read = async (table, columns, rest = '') =>
    tables.has(table) ? reader.rows(`SELECT ${columns} FROM ${table} ${rest}`) : [];
  // Schemas below 10 have no policies.
  const policy = tables.get('class')?.columns.has('replpolicy') ? bytes('replpolicy') : 'NULL';
  const classColumns = `dmid, classid, mindevcount, ${bytes('classname')} AS name,
    ${policy} AS policy`;
  const hostColumns = `hostid, ${bytes('status')} AS status, ${bytes('hostip')} AS hostip`;
  const deviceColumns = `devid, hostid, weight, ${bytes('status')} AS status`;
  const settings = await read(
    'server_settings',
    `${bytes('field')} AS field, ${bytes('value')} AS value`,
  );
  const fids = [
    ...(await read('file', 'COALESCE(MAX(fid), 0) AS fid')),
    ...(await read('tempfile', 'COALESCE(MAX(fid), 0) AS fid')),
  ];
  return {
    ...server,
    tables,
    missing: tableNames.filter((name) => !tables.has(name)),
    settings: new Map(settings.map((row) => [text(row, 'field'), text(row, 'value')])),
    fidMax: Math.max(0, ...numbers(fids, 'fid')),
    queues: await readQueues(read),
    classes: (await read('class', classColumns)).map((row) => ({
      ...dmidAndClassid(row),
      name: text(row, 'name'),
      mindevcount: int(row, 'mindevcount'),
      policy: text(row, 'policy'),
    })),
    dmids: numbers(await read('domain', 'dmid'), 'dmid'),
    // Loose scans of the indexes devcount and devid.
    fileClasses: (await read('file', 'DISTINCT dmid, classid')).map(dmidAndClassid),
    replicaDevids: numbers(await read('file_on', 'DISTINCT devid'), 'devid'),
    hosts: (await read('host', hostColumns)).map((row) => ({
      hostid: int(row, 'hostid'),
      status: text(row, 'status'),
      hostip: text(row, 'hostip'),
    })),
    devices: (await read('device', deviceColumns)).map((row) => ({
      devid: int(row, 'devid'),
      hostid: int(row, 'hostid'),
      status: text(row, 'status'),
      weight: int(row, 'weight'),
    })),
  };
}

/** Rows of a table; none where the table is missing. */
type Read = (table: string, columns: string, rest?: string) => Promise<Row[]>;

async function readQueues(read: Read): Promise<QueueFacts[]> {
  const facts = [];
  for (const [name, parked] of queues) {
    const count = async (condition: string) => {
      const bounded = `(SELECT fid FROM ${name} WHERE ${condition} LIMIT ${countMax}) AS bounded`;
      const [row] = await read(name, `(SELECT COUNT(*) FROM ${bounded}) AS counted`, 'LIMIT 1');
      return row === undefined ? 0 : int(row, 'counted');
    };
    facts.push({ name, rows: await count('1 = 1'), parked: await count(parked) });
  }
  return facts;
}

function dmidAndClassid(row: Row): { dmid: number; classid: number } {
  return { dmid: int(row, 'dmid'), classid: int(row, 'classid') };
}

function numbers(rows: readonly Row[], column: string): number[] {
  return rows.map((row) => int(row, column));
}
