/**
 * Goal: a tracker of ours goes on with whatever a MogileFS database holds after years (spec
 * appendix D), changes no table of it, and a tracker of the original can go on after ours.
 * Method: a real tracker on an old schema with the leftovers of years; the stand-in of the original
 * works while ours is stopped.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { oldSchema } from '../../packages/tracker/test/setup/old-schema.ts';
import { connectTo, createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { PerlStandIn } from '../helpers/perl-stand-in.ts';
import { getBody, putBody, RawClient, storeRaw } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const domain = 'd';
/** A devid that no device has any more. */
const vanished = 555;
let cluster: LocalCluster;
let client: RawClient;
let connection: Connection;
let perl: PerlStandIn;
let tablesBefore: string[];

async function sql(text: string): Promise<RowDataPacket[]> {
  return (await connection.query<RowDataPacket[]>(text))[0];
}

/** The tables of the original as the server describes them, without their counters. */
async function tables(): Promise<string[]> {
  const names = (await sql('SHOW TABLES')).map((row) => String(Object.values(row)[0]));
  const texts = [];
  for (const name of names.filter((one) => !one.startsWith('omg_'))) {
    const [row] = await sql(`SHOW CREATE TABLE ${name}`);
    texts.push(String(row?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, ''));
  }
  return texts;
}

async function devidsOf(fid: number): Promise<number[]> {
  return (await sql(`SELECT devid FROM file_on WHERE fid = ${fid} ORDER BY devid`)).map((row) =>
    Number(row.devid),
  );
}

async function countOf(table: string, fid: number): Promise<number> {
  const [row] = await sql(`SELECT COUNT(*) AS n FROM ${table} WHERE fid = ${fid}`);
  return Number(row?.n);
}

const leftovers = [
  // The cluster of the test brings hosts and devices of its own.
  ...['host', 'device', 'file', 'file_on'].map((table) => `DELETE FROM ${table}`),
  // Of a domain that is gone, on a device that is gone.
  `INSERT INTO file VALUES (100, 9, 'lost', 3, 0, 1)`,
  `INSERT INTO file_on VALUES (100, ${vanished}), (104, ${vanished}), (105, ${vanished})`,
  `INSERT INTO file VALUES (104, 1, 'doomed', 3, 0, 1)`,
  `INSERT INTO class (dmid, classid, classname, mindevcount, replpolicy)
     VALUES (1, 2, 'odd', 2, 'Bogus::Policy(3, "x")')`,
  // The delete queues before 2.30, and an upload that nobody closed.
  'INSERT INTO file_to_delete VALUES (105)',
  'INSERT INTO file_to_delete_later VALUES (106, 1)',
  'INSERT INTO file_on VALUES (106, 1)',
  `INSERT INTO tempfile VALUES (107, 1, 0, 1, 'never', '1,${vanished}')`,
  `INSERT INTO tempfile VALUES (108, 1, 0, 99, '_server_startup_test', NULL)`,
];

beforeAll(async () => {
  const server = sharedServer();
  const name = await createDatabaseOn(server);
  connection = await connectTo(server, name);
  for (const text of [...oldSchema({ version: 17, fid: 'INT' }), ...leftovers]) await sql(text);
  tablesBefore = await tables();
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    domain,
    dsn: dsnOf(server, name),
    dbUser: server.user,
    dbPass: server.password,
  });
  client = new RawClient(cluster.trackers[0] ?? '');
  perl = await PerlStandIn.connect(server, name);
});
afterAll(async () => {
  await perl?.end();
  await client?.close();
  await cluster?.stop();
  connection?.destroy();
});

/** A file with one real replica on device 1, and rows for the rest. */
async function leave(file: { fid: number; key: string; classid: number; also?: number[] }) {
  const { fid, key, classid, also = [] } = file;
  await putBody(await perl.urlOf(1, fid), key);
  const devids = [1, ...also];
  for (const devid of devids) await sql(`INSERT INTO file_on VALUES (${fid}, ${devid})`);
  const facts = [fid, 1, `'${key}'`, key.length, classid, devids.length];
  await sql(`INSERT INTO file VALUES (${facts})`);
  await sql(`INSERT INTO file_to_replicate (fid, nexttry) VALUES (${fid}, 0)`);
  return fid;
}

test('a file of a class that is gone is read, moved to another class and copied', async () => {
  const fid = await leave({ fid: 201, key: 'unclassed', classid: 77 });
  const { path1 } = await client.call('get_paths', { domain, key: 'unclassed' });
  expect((await getBody(path1 ?? '')).body.toString()).toBe('unclassed');
  expect(await client.code('file_info', { domain, key: 'unclassed' })).toBe('OK');
  expect(await client.code('updateclass', { domain, key: 'unclassed', class: 'c' })).toBe('OK');
  await until('the second copy', async () => (await devidsOf(fid)).join() === '1,2');
});

test('files of an unknown policy keep every copy, and the reason is kept', async () => {
  const fid = await leave({ fid: 202, key: 'odd-file', classid: 2 });
  await until('the reason', async () => {
    const { explanation } = await client.call('explain', { fid }).then(
      (fields) => ({ explanation: JSON.stringify(fields) }),
      (error: unknown) => ({ explanation: String(error) }),
    );
    return /polic/i.test(explanation);
  });
  expect(await devidsOf(fid)).toEqual([1]);
  expect(await countOf('file_to_replicate', fid)).toBe(1);
});

test('a replica on a device that is gone counts for nothing', async () => {
  const fid = await leave({ fid: 203, key: 'half-gone', classid: 0, also: [vanished] });
  const { paths, path1 } = await client.call('get_paths', { domain, key: 'half-gone' });
  expect([paths, (await getBody(path1 ?? '')).status]).toEqual(['1', 200]);
  await until('a copy on a device that is there', async () => (await devidsOf(fid)).includes(2));
});

test('what lies on a device that is gone can be deleted, old queues included', async () => {
  expect(await client.code('delete', { domain, key: 'doomed' })).toBe('OK');
  for (const fid of [104, 105, 106]) {
    await until(`fid ${fid} is gone`, async () => (await devidsOf(fid)).length === 0);
    await until(`its rows are gone`, async () => (await countOf('file_to_delete2', fid)) === 0);
  }
  for (const fid of [107, 108]) {
    await until('the upload is given up', async () => (await countOf('tempfile', fid)) === 0);
  }
  for (const table of ['file_to_delete', 'file_to_delete_later']) {
    expect(await sql(`SELECT * FROM ${table}`)).toEqual([]);
  }
});

test('what belongs to nobody is listed and left alone', async () => {
  const fids = await client.call('list_fids', { from: 99, to: 1 });
  expect(fids).toMatchObject({ fid_count: '1', fid_1_fid: '100', fid_1_domain: '' });
  expect(await client.code('file_debug', { fid: 100 })).toBe('OK');
  expect(await countOf('file', 100)).toBe(1);
});

test('fsck goes through all of it', async () => {
  expect(await client.code('fsck_start')).toBe('OK');
  await until('the end of the run', async () => {
    const status = await client.call('fsck_status');
    return status.running === '0' && Number(status.max_fid_checked) >= 203;
  });
  await until('what was on a device that is gone is looked for everywhere', async () => {
    const found = await sql('SELECT evcode FROM fsck_log WHERE fid = 100 ORDER BY logid');
    return found.map((row) => row.evcode).join() === 'SRCH,GONE';
  });
  expect(await devidsOf(201)).toEqual([1, 2]);
});

test('no table was changed, and the original goes on with them', async () => {
  const ours = await storeRaw(client, { domain, key: 'by-us', body: 'ours' });
  await cluster.trackerDaemons[0]?.stop();
  expect(await tables()).toEqual(tablesBefore);

  const fid = await perl.store({ dmid: 1, key: 'by-perl', devid: 1, body: 'theirs' });
  expect(fid).toBeGreaterThan(Number(ours.fid));
  expect(await perl.grab('file_to_replicate', 100)).toContain(fid);
  await perl.delete({ dmid: 1, key: 'by-us' });
  await perl.store({ dmid: 1, key: 'half-gone', devid: 2, body: 'again' });

  await cluster.trackerDaemons[0]?.start();
  const later = new RawClient(cluster.trackers[0] ?? '');
  expect(await later.code('get_paths', { domain, key: 'by-us' })).toBe('unknown_key');
  for (const [key, body] of [
    ['by-perl', 'theirs'],
    ['half-gone', 'again'],
  ] as const) {
    const { path1 } = await later.call('get_paths', { domain, key });
    expect((await getBody(path1 ?? '')).body.toString()).toBe(body);
  }
  const [next] = await sql('SELECT MAX(fid) AS fid FROM file');
  const opened = await later.call('create_open', { domain, key: 'next' });
  expect(Number(opened.fid)).toBeGreaterThan(Number(next?.fid));
  await later.close();
  expect(await tables()).toEqual(tablesBefore);
});
