/**
 * Goal: an operator can do everything with `omgfs admin`, sees what is wrong, and scripts get JSON.
 * Method: the built command against a real cluster.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createAdmin, createClient } from '@omgfs/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { omgfsScript, type Ran, runOmgfs } from '../helpers/command-line.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-admin-'));
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function run(...args: string[]): Promise<Ran> {
  const tracker = cluster.trackers[0] ?? '';
  return runOmgfs(['--tracker', tracker, ...args], { cwd: dir });
}

/** Standard output of a command that must succeed. */
async function out(...args: string[]): Promise<string> {
  const { code, out: text, err } = await run(...args);
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  return text.toString();
}

/** One JSON value a line. */
async function json(...args: string[]): Promise<Record<string, unknown>[]> {
  const lines = (await out('--json', ...args)).trimEnd().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
}

test('files by fid, all rows of one, how many there are, and findings as they come', async () => {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  const admin = createAdmin({ trackers: [...cluster.trackers] });
  for (const key of ['a', 'b', 'c']) await client.put(key, Buffer.from('four'));
  const all = await json('admin', 'fids');
  expect(all.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  const [first, second] = all;
  expect(second).toMatchObject({ domain: 'main', class: 'default', length: 4 });
  const after = ['--after', String(first?.fid)];
  expect(await json('admin', 'fids', ...after, '-n', '1')).toMatchObject([{ key: 'b' }]);
  const byFid = { fid_dkey: 'b', fid_fid: String(second?.fid), fid_domain: 'main' };
  expect(await json('admin', 'debug', `fid:${second?.fid}`)).toMatchObject([byFid]);
  expect(await json('--domain', 'main', 'admin', 'debug', 'b')).toMatchObject([byFid]);
  await until('two copies of each', async () => {
    const copies = await Promise.all(['a', 'b', 'c'].map((key) => client.paths(key)));
    return copies.every(({ length }) => length === 2);
  });
  expect(await json('admin', 'count')).toEqual([
    { domain: 'main', class: 'default', devcount: 2, files: 3, bytes: 12 },
  ]);
  const tracker = cluster.trackers[0] ?? '';
  const args = ['--tracker', tracker, '--json', 'admin', 'fsck', 'log', '--follow'];
  const follower = spawn(process.execPath, [omgfsScript, ...args], { cwd: dir });
  let found = '';
  follower.stdout.on('data', (data) => {
    found += String(data);
  });
  const [lost = ''] = await client.paths('c');
  await fetch(lost, { method: 'DELETE' });
  await admin.fsckStart();
  await until('the finding to be shown', () => found.includes('"evcode":"MISS"'));
  follower.kill('SIGINT');
  await once(follower, 'exit');
  for (const key of ['a', 'b', 'c']) await client.delete(key);
  await Promise.all([client.close(), admin.close()]);
});

describe('what there is', () => {
  test('domains and classes', async () => {
    await out('admin', 'domain', 'add', 'photos');
    await out('admin', 'class', 'add', 'photos', 'thumb', '-m', '1', '-s', 'MD5');
    await out('admin', 'class', 'modify', 'photos', 'thumb', '-p', 'MultipleDevices()');
    expect(await json('admin', 'class', 'list', 'photos')).toContainEqual({
      domain: 'photos',
      name: 'thumb',
      mindevcount: 1,
      replpolicy: 'MultipleDevices()',
      hashtype: 'MD5',
    });
    expect(await out('admin', 'class', 'list')).toMatch(
      /^DOMAIN +CLASS +COPIES +POLICY +CHECKSUM\n/,
    );
    const refused = await run('admin', 'domain', 'delete', 'photos');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('[DOMAIN_HAS_CLASSES]');
    await out('admin', 'class', 'delete', 'photos', 'thumb');
    await out('admin', 'domain', 'delete', 'photos');
    expect(await json('admin', 'domain', 'list')).toMatchObject([{ name: 'main' }]);
  });

  test('hosts and devices', async () => {
    await out('admin', 'host', 'add', 'spare', '--ip', '127.0.0.77', '--status', 'down');
    const { err } = await run('admin', 'host', 'add', 'odd', '--ip', '127.0.0');
    expect(err).toContain('It must be an IPv4 address');
    await out('admin', 'host', 'modify', 'spare', '--port', '7600');
    expect(await json('admin', 'host', 'list')).toContainEqual(
      expect.objectContaining({ name: 'spare', port: 7600, status: 'down' }),
    );
    expect((await out('admin', 'device', 'next')).trim()).toBe('3');
    await out('admin', 'device', 'add', 'spare', 'dev3', '--status', 'down');
    await out('admin', 'device', 'weight', '3', '0');
    await out('admin', 'device', 'mark', 'dev3', 'dead');
    expect(await json('admin', 'device', 'list', '--status', 'dead')).toMatchObject([
      { devid: 3, host: 'spare', weight: 0 },
    ]);
    await out('admin', 'host', 'mark', 'spare', 'dead');
    expect(await json('admin', 'device', 'summary')).toMatchObject([
      { devices: 1, writeable: 1 },
      { devices: 1, writeable: 1 },
    ]);
    expect((await run('admin', 'device', 'mark', '99', 'down')).err).toContain(
      'there is no device 99',
    );
    expect((await run('admin', 'device', 'mark', 'dev1', 'broken')).code).toBe(2);
  });

  test('settings and replica databases', async () => {
    await out('admin', 'settings', 'set', 'queue_rate_for_fsck', '77');
    expect((await out('admin', 'settings', 'get', 'queue_rate_for_fsck')).trim()).toBe('77');
    expect(await out('admin', 'settings', 'list')).toMatch(/^queue_rate_for_fsck +77$/m);
    expect((await run('admin', 'settings', 'set', 'schema_version', '1')).err).toContain(
      '[NOT_WRITABLE]',
    );
  });
});

test('replica databases keep their weight and take no name of a setting', async () => {
  const dsn = ['--dsn', 'DBI:mysql:m;host=127.0.0.1'];
  await out('admin', 'replica', 'set', 'near', ...dsn, '--weight', '0');
  await out('admin', 'replica', 'set', 'near', ...dsn, '--password', 'new');
  expect(await json('admin', 'replica', 'list')).toMatchObject([{ name: 'near', weight: '0' }]);
  for (const args of [
    ['keys', ...dsn],
    ['lag', ...dsn],
    ['a,b', ...dsn],
    ['far', ...dsn, '--weight', 'much'],
    ['far', ...dsn, '--password', 'a|b'],
  ]) {
    expect({ args, code: (await run('admin', 'replica', 'set', ...args)).code }).toEqual({
      args,
      code: 2,
    });
  }
  expect((await run('admin', 'replica', 'delete', 'keys')).code).toBe(2);
  expect(await json('admin', 'replica', 'list')).toHaveLength(1);
  await out('admin', 'replica', 'delete', 'near');
});

describe('is everything well', () => {
  test('check and status say so', async () => {
    expect(await out('admin', 'check')).toMatch(/^All 5 are well\.$/m);
    expect(await out('admin', 'status')).toMatch(/^seen +2 writeable$/m);
  });

  test('check names what is not, and ends with 1', async () => {
    const place = ['main', 'toomany'];
    await out('admin', 'class', 'add', ...place, '-m', '9');
    const wanting = await run('admin', 'check');
    expect(wanting.code).toBe(1);
    const line = /^class +toomany of main +NOT OK .* there are devices for 2 of 9 copies\.$/m;
    expect(String(wanting.out)).toMatch(line);
    await out('admin', 'class', 'delete', ...place);
    const [node] = cluster.hosts;
    await node?.stop();
    try {
      const { code, out: text, err } = await run('admin', 'check');
      expect(code).toBe(1);
      expect(String(text)).toMatch(/^host +node1 +NOT OK/m);
      expect(String(text)).toMatch(/^device +dev1 on node1 +NOT OK/m);
      expect(String(text)).toMatch(/^host +node2 +ok/m);
      expect(err).toContain('2 of 5 are not well');
    } finally {
      await node?.start();
    }
    await until('the cluster is well again', async () => {
      return (await run('admin', 'check')).code === 0;
    });
  });

  test('no tracker at all is one clear line', async () => {
    const args = ['--tracker', '127.0.0.1:1', 'admin', 'domain', 'list'];
    const { code, err } = await runOmgfs(args, { cwd: dir });
    expect(code).toBe(1);
    expect(err).toContain('[NO_TRACKER_UP]');
  });
});

test('waiting replications can be hurried', async () => {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  const admin = createAdmin({ trackers: cluster.trackers });
  try {
    await client.put('file', Buffer.from('x'));
    expect(await out('admin', 'replicate-now')).toMatch(/^\d+ files are due\.$/m);
    await out('admin', 'refresh');
    expect((await admin.call('list_keys', { domain: 'main' })).key_1).toBe('file');
  } finally {
    await client.close();
    await admin.close();
  }
});

test('the help teaches', async () => {
  expect(await out('admin', '--help')).toContain('omgfs admin host add store4 --ip 10.0.0.4');
  expect(await out('admin', 'rebalance', '--help')).toContain('from_percent_used=90');
});
