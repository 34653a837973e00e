/**
 * Goal: the black-box scenarios that the tests of the original pin down (spec §10) hold here, with
 * its command lines, its environment and its patience.
 * Method: a site as those tests build it; one story, each test going on where the last one ended.
 */
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { encodeRequest } from '@omgfs/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeze } from '../helpers/freeze.ts';
import { OriginalSite } from '../helpers/original-site.ts';
import { getBody, putBody, type RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

let site: OriginalSite;
let client: RawClient;

beforeAll(async () => {
  const fake = { T_FAKE_IO_DEV1: '95', T_FAKE_IO_DEV3: '5' };
  site = await OriginalSite.start(sharedServer(), { env: fake });
  client = site.client;
});
afterAll(() => site?.stop());

/** The patience of the original many times over, because other tests run; it is asked calmly. */
const within = (seconds: number) => ({ deadlineMs: 60_000 + seconds * 5_000, everyMs: 100 });

test('domains, classes and the default class', async () => {
  await site.register({ hostA: [1, 2], hostB: [3, 4] });
  const { domain } = site;
  expect(await client.code('test', { crash: 1 })).toBe('failure');
  client.write('list_keys domain=nowhere\r\nlist_keys domain=nowhere\r\n');
  const first = await client.line();
  expect(first).toMatch(/^ERR unreg_domain /);
  expect(await client.line()).toBe(first);
  await client.call('create_domain', { domain: 'foo' });
  await client.call('delete_domain', { domain: 'foo' });
  expect(await client.code('delete_domain', { domain: 'foo' })).toBe('domain_not_found');
  await client.call('create_domain', { domain: 'hasdef' });
  await client.call('update_class', { domain: 'hasdef', class: 'default', mindevcount: 3 });
  const rows = 'SELECT COUNT(*) FROM class WHERE classid = 0';
  expect(await site.number(rows)).toBe(1);
  await client.call('delete_domain', { domain: 'hasdef' });
  expect(await site.number(rows)).toBe(0);
  await client.call('create_class', { domain, class: '2copies', mindevcount: 2 });
  await client.call('create_class', { domain, class: '1copy', mindevcount: 1 });
  expect(await client.code('delete_domain', { domain })).toBe('domain_has_classes');
  await site.untilWriteable(4);
});

test('files: empty, overwritten, on two hosts, never read from a lost replica', async () => {
  await site.store('zero', '', '2copies');
  expect((await getBody((await site.pathsOf('zero'))[0] ?? '')).body.length).toBe(0);
  await site.store('file', 'old', '2copies');
  const { fid = '' } = await site.store('file', 'x'.repeat(1000), '2copies');
  const paths = await until(
    'two copies',
    async () => {
      const seen = await site.pathsOf('file');
      return seen.length > 1 ? seen : undefined;
    },
    within(10),
  );
  expect(new Set(paths.map((path) => new URL(path).hostname)).size).toBe(2);
  await untilReplicated(10);
  const [kept = 0, lost = 0] = await site.devidsOf('file');
  for (const devid of [kept, lost]) {
    expect(statSync(site.pathOf(devid, Number(fid))).size).toBe(1000);
  }
  rmSync(site.pathOf(lost, Number(fid)));
  for (let turn = 0; turn < 10; turn += 1) {
    expect((await site.pathsOf('file'))[0]).toContain(`/dev${kept}/`);
  }
});

test('classes of files change, up and to the default', async () => {
  const { domain } = site;
  await site.store('changes', 'bytes', '1copy');
  expect(await site.devidsOf('changes')).toHaveLength(1);
  await client.call('updateclass', { domain, key: 'changes', class: '2copies' });
  await until(
    'a second copy',
    async () => (await site.devidsOf('changes')).length === 2,
    within(10),
  );
  await client.call('updateclass', { domain, key: 'changes', class: 'default' });
  expect((await client.call('file_info', { domain, key: 'changes' })).class).toBe('default');
  await client.call('rename', { domain, from_key: 'changes', to_key: 'changed' });
  await client.call('delete', { domain, key: 'changed' });
  expect(await client.code('file_info', { domain, key: 'changed' })).toBe('unknown_key');
});

test('a device nobody offered, a fid of their own, and the key 0', async () => {
  const { domain } = site;
  const opened = await client.call('create_open', { domain, key: 'odd', class: '1copy' });
  const { fid, devid, path = '' } = opened;
  const other = devid === '1' ? 2 : 1;
  await putBody(path, 'odd');
  const close = { domain, key: 'odd', fid, size: 3 };
  const elsewhere = `http://${site.addressOf('hostA')}:${site.ports.http}/dev${other}`;
  const url = path.replace(/^http:\/\/[^/]+\/dev\d+/, elsewhere);
  const wrong = { ...close, devid: other, path: url };
  expect(await client.code('create_close', wrong)).toBe('invalid_destdev');
  const explicit = { domain, key: 'fid', class: '1copy', fid: 2_147_483_632 };
  const kept = await client.call('create_open', explicit);
  expect(kept.fid).toBe('2147483632');
  await site.store('0', 'zero', '2copies');
  expect(await site.pathsOf('0')).not.toEqual([]);
  expect((await client.call('file_debug', { domain, key: '0' })).fid_dkey).toBe('0');
  await client.call('rename', { domain, from_key: '0', to_key: '00' });
  await client.call('rename', { domain, from_key: '00', to_key: '0' });
  await client.call('delete', { domain, key: '0' });
});

test('keys are listed as they are, whatever SQL thinks of them', async () => {
  const { domain } = site;
  for (const key of ['a_b', 'axb', 'a%c', 'a\\d', 'aXb']) await site.store(key, key, '1copy');
  const found = async (prefix: string) => {
    const fields = await client.call('list_keys', { domain, prefix });
    return Array.from({ length: Number(fields.key_count) }, (_, at) => fields[`key_${at + 1}`]);
  };
  await client.call('set_server_setting', { key: 'case_sensitive_list_keys', value: 1 });
  await client.call('clear_cache');
  expect(await found('a_')).toEqual(['a_b']);
  expect(await found('a%')).toEqual(['a%c']);
  expect(await found('a\\')).toEqual(['a\\d']);
  expect(await found('ax')).toEqual(['axb']);
});

test('busy disks are read last', async () => {
  await site.store('weighted', 'bytes', '2copies');
  await until('two copies', async () => (await site.devidsOf('weighted')).length === 2, within(10));
  const seen = await site.rows(
    'SELECT f.dkey, GROUP_CONCAT(o.devid ORDER BY o.devid) AS devids FROM file f JOIN file_on o ' +
      "ON o.fid = f.fid WHERE f.length > 0 GROUP BY f.fid HAVING devids = '1,3'",
  );
  let key = seen[0] === undefined ? '' : String(seen[0].dkey);
  for (let turn = 0; key === ''; turn += 1) {
    await site.store(`weighted/${turn}`, 'bytes', '2copies');
    const devids = await until('two copies', async () => {
      const now = await site.devidsOf(`weighted/${turn}`);
      return now.length === 2 ? now : undefined;
    });
    if (devids.join() === '1,3') key = `weighted/${turn}`;
  }
  let busy = 0;
  for (let turn = 0; turn < 100; turn += 1) {
    const { path1 } = await client.call('get_paths', { domain: site.domain, key, noverify: 1 });
    if (path1?.includes('/dev1/')) busy += 1;
  }
  expect(busy).toBeLessThan(20);
});

function untilReplicated(seconds: number): Promise<boolean> {
  const queued = () => site.number('SELECT COUNT(*) FROM file_to_replicate');
  return until('an empty queue', async () => (await queued()) === 0, within(seconds));
}

/** Checks everything from the start and tells what was found, in order. */
async function fsck(): Promise<string[]> {
  await client.call('fsck_stop');
  await client.call('fsck_clearlog');
  await client.call('fsck_reset');
  await client.call('fsck_start');
  await client.admin('!to fsck :wake_up');
  await until(
    'the check to be over',
    async () => {
      const fields = await client.call('fsck_status');
      const queued = await site.number('SELECT COUNT(*) FROM file_to_queue');
      return fields.running === '0' && queued === 0;
    },
    within(30),
  );
  return fsckCodes();
}

async function fsckCodes(): Promise<string[]> {
  const rows = await site.rows('SELECT evcode FROM fsck_log ORDER BY logid');
  return rows.map(({ evcode }) => String(evcode));
}

/** A file alone in the database, so that a check is about nothing else. */
async function onlyFile(key: string): Promise<number> {
  for (const { dkey } of await site.rows('SELECT dkey FROM file')) {
    await client.call('delete', { domain: site.domain, key: String(dkey) });
  }
  const { fid } = await site.store(key, 'checked bytes', '2copies');
  await until('two copies', async () => (await site.devidsOf(key)).length === 2, within(10));
  await untilReplicated(10);
  return Number(fid);
}

test('fsck: no location, too few copies, a wrong count', async () => {
  const fid = await onlyFile('checked');
  expect(await fsck()).toEqual([]);
  await site.rows(`DELETE FROM file_on WHERE fid = ${fid}`);
  expect((await fsck()).slice(0, 3)).toEqual(['NOPA', 'SRCH', 'FOND']);
  await until(
    'its copies again',
    async () => (await site.devidsOf('checked')).length === 2,
    within(10),
  );
  const [, second = 0] = await site.devidsOf('checked');
  await site.rows(`DELETE FROM file_on WHERE fid = ${fid} AND devid = ${second}`);
  expect((await fsck()).slice(0, 2)).toEqual(['POVI', 'REPL']);
  await until(
    'its copies again',
    async () => (await site.devidsOf('checked')).length === 2,
    within(10),
  );
  for (const devcount of [13, 0, 1]) {
    await site.rows(`UPDATE file SET devcount = ${devcount} WHERE fid = ${fid}`);
    expect(await fsck()).toEqual(['BCNT']);
    expect(await site.number(`SELECT devcount FROM file WHERE fid = ${fid}`)).toBe(2);
  }
});

test('fsck: a replica is missing, is cut, and then all are gone', async () => {
  const fid = await onlyFile('broken');
  const settled = () =>
    until('two copies', async () => {
      const there = await site.devidsOf('broken');
      const queued = await site.number('SELECT COUNT(*) FROM file_to_replicate');
      return there.length === 2 && queued === 0 ? there : undefined;
    });
  const [first = 0] = await settled();
  rmSync(site.pathOf(first, fid));
  expect(await fsck()).toEqual(['MISS', 'REPL']);
  const [again = 0] = await settled();
  truncateSync(site.pathOf(again, fid), 2);
  expect(await fsck()).toEqual(['BLEN', 'REPL']);
  for (const devid of await settled()) rmSync(site.pathOf(devid, fid));
  expect(await fsck()).toEqual(['MISS', 'MISS', 'SRCH', 'GONE']);
  expect(await site.number(`SELECT devcount FROM file WHERE fid = ${fid}`)).toBe(0);
  expect(await site.pathsOf('broken')).toEqual([]);
});

test('fsck: a host that hangs is waited for, and said', async () => {
  await onlyFile('waits');
  const watcher = site.dial();
  expect(await watcher.admin('!watch')).toEqual(['Added you to watcher list.\r\n']);
  await freeze(site.pidOf('hostB'));
  try {
    await client.call('fsck_stop');
    await client.call('fsck_clearlog');
    await client.call('fsck_reset');
    await client.call('fsck_start');
    const problem = async () => {
      for (;;) {
        const line = await watcher.line();
        if (line === undefined || /Connectivity problem reaching device/.test(line)) return line;
      }
    };
    expect(await problem()).toContain('Connectivity problem reaching device');
    expect(await site.number('SELECT COUNT(*) FROM file_to_queue')).toBe(1);
  } finally {
    process.kill(site.pidOf('hostB'), 'SIGCONT');
  }
  await site.untilWriteable(4);
  await until(
    'the check to be over',
    async () => (await site.number('SELECT COUNT(*) FROM file_to_queue')) === 0,
  );
  expect(await fsckCodes()).not.toContain('MISS');
});

test('checksums: kept for classes that have one, and a corrupt replica is found', async () => {
  const { domain } = site;
  await client.call('update_class', { domain, class: '2copies', mindevcount: 2, hashtype: 'MD5' });
  const fid = await onlyFile('summed');
  const { checksum } = await client.call('file_info', { domain, key: 'summed' });
  expect(checksum).toMatch(/^MD5:[0-9a-f]{32}$/);
  const [devid = 0] = await site.devidsOf('summed');
  const path = site.pathOf(devid, fid);
  writeFileSync(path, readFileSync(path).fill('!'));
  expect(await fsck()).toContain('REPL');
  await until('both copies right', async () => {
    const devids = await site.devidsOf('summed');
    const bodies = devids.map((one) => String(readFileSync(site.pathOf(one, fid))));
    return devids.length === 2 && bodies.every((body) => body === 'checked bytes');
  });
  await site.rows(`DELETE FROM checksum WHERE fid = ${fid}`);
  expect((await client.call('file_info', { domain, key: 'summed' })).checksum).toBe('MISSING');
  expect(await fsck()).toEqual(['NSUM']);
  await client.call('update_class', {
    domain,
    class: '2copies',
    mindevcount: 2,
    hashtype: 'SHA-1',
  });
  expect(await fsck()).toEqual(['BALG']);
  await client.call('update_class', { domain, class: '2copies', mindevcount: 2, hashtype: 'NONE' });
});

test('rebalance from one host to another', async () => {
  await onlyFile('anything');
  for (let n = 0; n < 10; n += 1) await site.store(`moved/${n}`, 'bytes', '2copies');
  await untilReplicated(20);
  await site.addHost('hostC', [5, 6]);
  await client.call('clear_cache');
  await site.untilWriteable(6);
  expect(await client.code('rebalance_stop')).toBe('rebal_not_started');
  expect(await client.code('rebalance_status')).toBe('no_rebal_state');
  const hosts = await site.rows('SELECT hostid, hostname FROM host');
  const idOf = (name: string) => hosts.find(({ hostname }) => hostname === name)?.hostid;
  const policy =
    `from_hosts=${idOf('hostA')} to_hosts=${idOf('hostC')} fid_age=old ` +
    'limit_type=device limit_by=none';
  await client.call('rebalance_set_policy', { policy });
  const { sdevs, ddevs } = await client.call('rebalance_test');
  expect(sdevs?.split(',').sort()).toEqual(['1', '2']);
  expect(ddevs?.split(',').sort()).toEqual(['5', '6']);
  expect((await client.call('rebalance_start')).state).toMatch(/(?:^| )source_devs=/);
  await until(
    'hostA to be empty',
    async () => {
      const left = await site.number('SELECT COUNT(*) FROM file_on WHERE devid IN (1, 2)');
      const queued = await site.number('SELECT COUNT(*) FROM file_to_queue');
      return left === 0 && queued === 0;
    },
    within(30),
  );
});

test('two dead devices: what they held is elsewhere soon', async () => {
  for (const device of [3, 4]) {
    await client.call('set_state', { host: 'hostB', device, state: 'dead' });
  }
  await until(
    'no path to name them',
    async () => {
      const all = await Promise.all([0, 5, 9].map((n) => site.pathsOf(`moved/${n}`)));
      return !all.flat().some((path) => /\/dev[34]\//.test(path));
    },
    within(10),
  );
  await until(
    'all files to have two copies elsewhere',
    async () => {
      const [row] = await site.rows(
        `SELECT (SELECT COUNT(*) FROM file_on WHERE devid IN (3, 4)) AS dead,
          (SELECT COUNT(*) FROM file f WHERE f.length > 0 AND
            (SELECT COUNT(*) FROM file_on o WHERE o.fid = f.fid) < 2 AND f.classid <> 2) AS few`,
      );
      return row?.dead === 0 && row.few === 0;
    },
    within(40),
  );
  expect(await client.code('delete_host', { host: 'hostB' })).toBe('host_not_empty');
  await client.call('update_host', { host: 'hostB', status: 'readonly' });
});

test('everything is deleted: no row and no byte is left', async () => {
  const { domain } = site;
  const files = await site.rows("SELECT fid FROM file WHERE dkey LIKE 'moved/%'");
  const names = new Set(files.map(({ fid }) => `${String(fid).padStart(10, '0')}.fid`));
  for (const { dkey } of await site.rows('SELECT dkey FROM file')) {
    client.write(encodeRequest('delete', { domain, key: String(dkey) }));
    expect(await client.line()).toBe('OK \r\n');
  }
  await until(
    'empty tables',
    async () => {
      const tables = ['file', 'file_on', 'file_to_delete', 'file_to_delete2'];
      const counts = await Promise.all(
        tables.map((table) => site.number(`SELECT COUNT(*) FROM ${table}`)),
      );
      return counts.every((count) => count === 0);
    },
    within(25),
  );
  for (const [host, devids] of [
    ['hostA', [1, 2]],
    ['hostC', [5, 6]],
  ] as const) {
    for (const devid of devids) {
      const left = readdirSync(join(site.dir, host, `dev${devid}`), { recursive: true });
      expect(left.filter((name) => names.has(basename(String(name))))).toEqual([]);
    }
  }
});

test('the node ends when the side channel says so', async () => {
  const pid = site.pidOf('hostC');
  const socket = connect({ host: site.addressOf('hostC'), port: site.ports.side });
  socket.on('error', () => {});
  socket.write('shutdown\r\n');
  await until('the node to be gone', () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
  socket.destroy();
});
