/**
 * Goal: `file_debug`, `edit_file` and `httpcopy` do what spec §2 says, and an edit loses nothing.
 * Method: one real cluster; the client's part of an edit is done over HTTP as a client does it.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { getBody, putBody, RawClient, storeRaw } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

let cluster: LocalCluster;
let domain: string;
const clients: RawClient[] = [];

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 3, devicesPerHost: 1, domain: 'tools' });
  domain = cluster.domain;
  const client = dial();
  await client.call('create_class', { domain, class: 'one', mindevcount: 1 });
  await client.call('create_class', { domain, class: 'sums', mindevcount: 1, hashtype: 'MD5' });
});
afterAll(() => cluster?.stop());
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

function dial(): RawClient {
  const client = new RawClient(cluster.trackers[0] ?? '');
  clients.push(client);
  return client;
}

describe('file_debug', () => {
  test('shows the rows of a stored file and where its replicas are', async () => {
    const client = dial();
    const { fid, devid } = await storeRaw(client, { domain, key: 'a b', body: 'x', class: 'one' });
    // The queue row of the close goes when the replicator has looked at the file.
    const byKey = await until('the file has left the queues', async () => {
      const fields = await client.call('file_debug', { domain, key: 'a b' });
      return fields.replqueue_fid === undefined ? fields : undefined;
    });
    expect(byKey).toEqual({
      fid_fid: fid,
      fid_dmid: expect.stringMatching(/^\d+$/),
      fid_dkey: 'a b',
      fid_length: '1',
      fid_classid: expect.stringMatching(/^\d+$/),
      fid_devcount: '1',
      fid_domain: domain,
      fid_class: 'one',
      checksum: 'NONE',
      devids: devid,
      [`devpath_${devid}`]: expect.stringMatching(/^http:.*\.fid$/),
    });
    expect(await client.call('file_debug', { fid })).toEqual(byKey);
  });

  test('shows an open upload, a checksum, and next to nothing for an unknown fid', async () => {
    const client = dial();
    const { fid, devid } = await client.call('create_open', { domain, key: 'open' });
    expect(await client.call('file_debug', { fid })).toEqual({
      tempfile_classid: '0',
      tempfile_dmid: expect.stringMatching(/^\d+$/),
      tempfile_dkey: 'open',
      tempfile_devids: devid,
      checksum: 'NONE',
    });
    const sum = 'MD5:9dd4e461268c8034f5c8564e155c67a6';
    const opened = await client.call('create_open', { domain, key: 'sum', class: 'sums' });
    await putBody(opened.path ?? '', 'x');
    await client.call('create_close', { ...opened, domain, key: 'sum', checksum: sum });
    expect(await client.call('file_debug', { domain, key: 'sum' })).toMatchObject({
      checksum: sum,
    });
    expect(await client.call('file_debug', { fid: 4294967290 })).toEqual({ checksum: 'NONE' });
    expect(await client.call('file_debug', { fid: 'abc' })).toEqual({ checksum: 'NONE' });
    expect(await client.code('file_debug')).toBe('no_domain');
    expect(await client.code('file_debug', { fid: 0 })).toBe('no_domain');
    expect(await client.code('file_debug', { domain, key: 'absent' })).toBe('unknown_key');
  });
});

describe('httpcopy', () => {
  test('makes a verified replica on the device that was named', async () => {
    const client = dial();
    const { fid, devid } = await storeRaw(client, { domain, key: 'cp', body: 'abc', class: 'one' });
    const target = await otherDevice(client, devid);
    expect(await client.code('httpcopy', { fid, sdevid: devid, ddevid: target })).toBe('OK');
    const debug = await client.call('file_debug', { fid });
    expect(String((await getBody(debug[`devpath_${target}`] ?? '')).body)).toBe('abc');
  });

  test('says which end failed', async () => {
    const client = dial();
    const { fid, devid } = await storeRaw(client, { domain, key: 'cp2', body: 'x', class: 'one' });
    expect(await client.code('httpcopy')).toBe('failure');
    const ask = (args: object) => client.ask(`httpcopy ${new URLSearchParams({ ...args })}\r\n`);
    const target = await otherDevice(client, devid);
    expect(await ask({ fid, sdevid: target, ddevid: devid })).toBe('ERR copy_err src_error\r\n');
    expect(await ask({ fid, sdevid: devid, ddevid: '99' })).toBe('ERR copy_err dest_error\r\n');
    expect(await ask({ fid: '4294967290', sdevid: devid, ddevid: target })).toBe(
      'ERR copy_err src_error\r\n',
    );
  });
});

describe('edit_file', () => {
  test('hands out a copy of the bytes, and the close replaces the file', async () => {
    const client = dial();
    await storeRaw(client, { domain, key: 'edit', body: 'old bytes' });
    const edit = await client.call('edit_file', { domain, key: 'edit' });
    expect(Object.keys(edit).sort()).toEqual(['class', 'devid', 'fid', 'newpath', 'oldpath']);
    expect(String((await getBody(edit.oldpath ?? '')).body)).toBe('old bytes');
    await move(edit.oldpath ?? '', edit.newpath ?? '');
    expect(await readKey(client, 'edit')).toBe('old bytes');
    await putBody(edit.newpath ?? '', 'new bytes!');
    const { fid, devid, newpath: path } = edit;
    await client.call('create_close', { domain, key: 'edit', fid, devid, path });
    expect(await readKey(client, 'edit')).toBe('new bytes!');
  });

  test('an edit that is given up leaves the file as it was (I2)', async () => {
    const client = dial();
    await storeRaw(client, { domain, key: 'kept', body: 'kept', class: 'one' });
    const edit = await client.call('edit_file', { domain, key: 'kept' });
    await move(edit.oldpath ?? '', edit.newpath ?? '');
    const { fid, devid, newpath: path } = edit;
    expect(await client.code('create_close', { domain, key: '', fid, devid, path })).toBe('OK');
    expect(await readKey(client, 'kept')).toBe('kept');
  });

  test('refuses what does not exist', async () => {
    const client = dial();
    expect(await client.code('edit_file')).toBe('no_domain');
    expect(await client.code('edit_file', { domain })).toBe('no_key');
    expect(await client.code('edit_file', { domain, key: 'absent' })).toBe('unknown_key');
  });
});

/** What the client does with the two paths; by GET and PUT, so that no DAV is needed. */
async function move(from: string, to: string): Promise<void> {
  const { status, body } = await getBody(from);
  expect(status).toBe(200);
  await putBody(to, body);
}

async function readKey(client: RawClient, key: string): Promise<string> {
  const { path1 } = await client.call('get_paths', { domain, key });
  return String((await getBody(path1 ?? '')).body);
}

async function otherDevice(client: RawClient, devid: string | undefined): Promise<string> {
  const { devices, ...fields } = await client.call('get_devices');
  const ids = Array.from({ length: Number(devices) }, (_, n) => fields[`dev${n + 1}_devid`] ?? '');
  return ids.find((id) => id !== devid) ?? '';
}
