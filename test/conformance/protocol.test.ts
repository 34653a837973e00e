/**
 * Goal: the tracker answers on the wire as spec §1 and §2 say, byte for byte where clients care.
 * Method: one real cluster, raw sockets, requests as the many clients of MogileFS send them.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { getBody, putBody, RawClient, storeRaw } from '../helpers/raw-client.ts';

let cluster: LocalCluster;
let domain: string;
const clients: RawClient[] = [];

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 3, devicesPerHost: 2, domain: 'conformance' });
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

describe('framing', () => {
  test.each([
    ['garbage line here\r\n'],
    ['%%%&&&===\r\n'],
    ['\0noop\r\n'],
    ['\xff\xfe\xfd\r\n'],
    [' \r\n'],
    ['h\xc3\xa9llo domain=x\r\n'],
    ['GET / HTTP/1.0\r\n'],
    ['! version\r\n'],
    ['!\r\n'],
    ['plugin_nonexistent a=b\r\n'],
    ['constructor a=b\r\n'],
  ])('%j is an unknown command', async (line) => {
    expect(await dial().ask(line)).toBe('ERR unknown_command Unknown+server+command\r\n');
  });

  test.each([
    ['noop\r\n'],
    ['noop\n'],
    ['NOOP\r\n'],
    ['  noop\r\n'],
    ['noop   a=1\r\n'],
    ['noop\t\r\n'],
    ['noop\r\r\n'],
    ['noop\0\r\n'],
    ['\r\n\r\n\n\nnoop\r\n'],
    ['noop a=b=c&&=&x\r\n'],
    ['noop a=%zz&b=%&c=%4\r\n'],
    ['noop?x=1\r\n'],
  ])('%j succeeds with a blank after OK', async (line) => {
    expect(await dial().ask(line)).toBe('OK \r\n');
  });

  test('callid is echoed in OK and in ERR', async () => {
    const client = dial();
    expect(await client.ask('noop callid=a%20b%26\r\n')).toBe('OK callid=a+b%26\r\n');
    expect(await client.ask('nosuch callid=xy1\r\n')).toBe(
      'ERR unknown_command Unknown+server+command xy1\r\n',
    );
    expect(await client.ask('get_paths callid=xy2\r\n')).toBe(
      'ERR no_domain No+domain+provided xy2\r\n',
    );
  });

  test('exact error lines that clients compare', async () => {
    const client = dial();
    expect(await client.ask('get_paths\r\n')).toBe('ERR no_domain No+domain+provided\r\n');
    expect(await client.ask(`get_paths domain=${domain}\r\n`)).toBe('ERR no_key no_key\r\n');
    expect(await client.ask(`get_paths domain=${domain}&key=no\r\n`)).toBe(
      'ERR unknown_key unknown_key\r\n',
    );
    expect(await client.ask(`list_keys domain=${domain}&prefix=no\r\n`)).toBe(
      'ERR none_match No+keys+match+that+pattern+and+after-value+%28if+any%29.\r\n',
    );
  });

  test('I4: a thousand mixed requests in one burst are answered in order', async () => {
    const client = dial();
    const ids = Array.from({ length: 1000 }, (_, i) => i);
    const kinds = ['noop ', `get_paths domain=${domain}&key=zz&`, 'bogus ', 'sleepy '];
    client.write(ids.map((id) => `${kinds[id % 4]}callid=${id}\r\n`).join(''));
    for (const id of ids) expect(await client.line()).toMatch(new RegExp(`\\b${id}\\r\\n$`));
  });

  test('a burst followed by a half-close is answered whole, then the tracker closes', async () => {
    const client = dial();
    client.socket.end(Array.from({ length: 300 }, (_, i) => `noop callid=${i}\r\n`).join(''));
    for (let i = 0; i < 300; i += 1) expect(await client.line()).toBe(`OK callid=${i}\r\n`);
    expect(await client.line()).toBeUndefined();
  });

  test('a slow command holds up its own connection and no other', async () => {
    const slow = dial();
    const quick = dial();
    slow.write('sleep duration=1\r\nnoop callid=after\r\n');
    expect(await quick.ask('noop\r\n')).toBe('OK \r\n');
    expect(await slow.line()).toBe('OK \r\n');
    expect(await slow.line()).toBe('OK callid=after\r\n');
  });
});

describe('keys', () => {
  async function roundTrip(key: string): Promise<void> {
    const client = dial();
    const body = `body of ${key.length}`;
    await storeRaw(client, { domain, key, body, class: 'one' });
    const paths = await client.call('get_paths', { domain, key, noverify: 1 });
    expect((await getBody(paths.path1 ?? '')).body.toString()).toBe(body);
    expect((await client.call('file_info', { domain, key })).key).toBe(key);
    await client.call('delete', { domain, key });
    expect(await client.code('get_paths', { domain, key })).toBe('unknown_key');
    await client.close();
  }

  test('every byte from 1 to 255 in one key of 255 bytes', async () => {
    await roundTrip(Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join(''));
  });

  test.each([
    ['0'],
    ['nul\0tail'],
    ['bad utf-8 \xc3\x28\xa0\xa1\xff'],
    ['crlf\r\nnoop\r\n'],
    ['/a//b/../c'],
    ['\'; DROP TABLE file; -- \\ " % _'],
    [' lead and trail '],
  ])('%j round-trips', (key) => roundTrip(key));

  test('case, trailing blanks and accents make different keys', async () => {
    const client = dial();
    await storeRaw(client, { domain, key: 'Case', body: 'x', class: 'one' });
    for (const key of ['case', 'Case ', 'Cas\xe9']) {
      expect(await client.code('file_info', { domain, key })).toBe('unknown_key');
    }
  });

  test('256 bytes are refused at open and nothing is cut', async () => {
    const client = dial();
    expect(await client.code('create_open', { domain, key: 'k'.repeat(256) })).toBe('db');
  });

  test('an empty key abandons the upload, and cannot be looked up', async () => {
    const client = dial();
    const { fid, devid, path } = await client.call('create_open', { domain });
    await putBody(path ?? '', 'x');
    expect(await client.code('create_close', { domain, fid, devid, path, size: 1 })).toBe('OK');
    expect(await client.code('get_paths', { domain, key: '' })).toBe('no_key');
    expect(await client.code('create_close', { domain, fid, devid, path, size: 1 })).toBe(
      'no_temp_file',
    );
  });
});

describe('file commands', () => {
  test('a close that does not fit the upload is refused with its code', async () => {
    const client = dial();
    const open = () => client.call('create_open', { domain, key: 'refused', class: 'one' });
    const close = (args: object) =>
      client.code('create_close', { domain, key: 'refused', ...args });
    expect(await close({})).toBe('no_fid');
    expect(await close({ fid: 1 })).toBe('no_devid');
    expect(await close({ fid: 1, devid: 1 })).toBe('no_path');
    expect(await close({ fid: 1, devid: 1, path: 'x', checksum: 'MD5:zz' })).toBe(
      'invalid_checksum_format',
    );
    expect(await close({ fid: 1, devid: 1, path: '/etc/passwd' })).toBe('bogus_args');

    const nothing = await open();
    expect(await close({ ...nothing, size: 5 })).toBe('size_verify_error');
    expect(await close({ ...nothing, size: 5 })).toBe('no_temp_file');

    const short = await open();
    await putBody(short.path ?? '', 'abc');
    expect(await close({ ...short, size: 5 })).toBe('size_mismatch');

    const wrong = await open();
    await putBody(wrong.path ?? '', 'abc');
    const checksum = `MD5:${'0'.repeat(32)}`;
    expect(await close({ ...wrong, size: 3, checksum, checksumverify: 1 })).toBe(
      'checksum_mismatch',
    );
    expect(await client.code('file_info', { domain, key: 'refused' })).toBe('unknown_key');
  });

  test('a checksum is kept and shown when the class keeps that kind', async () => {
    const client = dial();
    const opened = await client.call('create_open', { domain, key: 'summed', class: 'sums' });
    await putBody(opened.path ?? '', 'abc');
    const checksum = 'MD5:900150983cd24fb0d6963f7d28e17f72';
    const args = { domain, key: 'summed', ...opened, size: 3, checksum, checksumverify: 1 };
    expect(await client.code('create_close', args)).toBe('OK');
    expect((await client.call('file_info', { domain, key: 'summed' })).checksum).toBe(checksum);
  });

  test('debug_profile tells where the time went', async () => {
    const opened = await dial().call('create_open', { domain, debug_profile: 1 });
    const points = Array.from({ length: Number(opened.profpoints) }, (_, at) => at + 1);
    expect(points.length).toBeGreaterThan(1);
    const times = points.map((n) => Number(opened[`prof_${n}_time`]));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    for (const n of points) expect(opened[`prof_${n}_name`]).toMatch(/^[a-z]+$/);
  });

  test('a device that was not offered is refused, even to give up the upload', async () => {
    const client = dial();
    const { fid, devid, path = '' } = await client.call('create_open', { domain });
    const devices = await client.call('get_devices');
    const hosts = await client.call('get_hosts');
    const at = devices.dev1_devid === devid ? 2 : 1;
    const other = devices[`dev${at}_devid`] ?? '';
    const host = [1, 2, 3].find((n) => {
      return hosts[`host${n}_hostid`] === devices[`dev${at}_hostid`];
    });
    const address = `${hosts[`host${host}_hostip`]}:${hosts[`host${host}_http_port`]}`;
    const elsewhere = path.replace(/^http:\/\/[^/]+\/dev\d+/, `http://${address}/dev${other}`);
    const close = { domain, fid, devid: other, path: elsewhere, key: '' };
    expect(await client.code('create_close', close)).toBe('invalid_destdev');
    expect(await client.code('create_close', { ...close, devid, path })).toBe('no_temp_file');
  });

  test('multi_dest offers up to three devices on different hosts', async () => {
    const client = dial();
    const opened = await client.call('create_open', { domain, key: 'm', multi_dest: 1 });
    expect(opened.dev_count).toBe('3');
    const hosts = [1, 2, 3].map((n) => new URL(opened[`path_${n}`] ?? '').hostname);
    expect(new Set(hosts).size).toBe(3);
  });

  test('an explicit fid that is in use is refused and leaves the file alone', async () => {
    const client = dial();
    const { fid } = await storeRaw(client, { domain, key: 'fixed', body: 'x', class: 'one' });
    expect(await client.code('create_open', { domain, key: 'other', fid })).toBe('fid_in_use');
    expect((await client.call('file_info', { domain, key: 'fixed' })).fid).toBe(fid);
  });

  test('rename moves a key and never overwrites', async () => {
    const client = dial();
    await storeRaw(client, { domain, key: 'from', body: '1', class: 'one' });
    await storeRaw(client, { domain, key: 'taken', body: '2', class: 'one' });
    const rename = (from_key: string, to_key: string) =>
      client.code('rename', { domain, from_key, to_key });
    expect(await rename('from', 'taken')).toBe('key_exists');
    expect(await rename('from', 'from')).toBe('OK');
    expect(await rename('from', 'to')).toBe('OK');
    expect(await rename('from', 'to2')).toBe('unknown_key');
    expect(await rename('to', '')).toBe('no_key');
  });

  test('list_keys pages in byte order and takes prefixes literally', async () => {
    const client = dial();
    const keys = ['l/%a', 'l/_b', 'l/a+b(', 'l/\\c', 'l/z'].sort();
    for (const key of keys) await storeRaw(client, { domain, key, body: 'x', class: 'one' });
    const seen: string[] = [];
    let after = '';
    for (;;) {
      const line = { domain, prefix: 'l/', after, limit: 2 };
      const code = await client.code('list_keys', line);
      if (code === 'none_match') break;
      const page = await client.call('list_keys', line);
      for (let n = 1; n <= Number(page.key_count); n += 1) seen.push(page[`key_${n}`] ?? '');
      after = page.next_after ?? '';
    }
    expect(seen).toEqual(keys);
    for (const key of keys) {
      expect((await client.call('list_keys', { domain, prefix: key })).key_count).toBe('1');
    }
    const mismatch = { domain, prefix: 'l/', after: 'zzz' };
    expect(await client.code('list_keys', mismatch)).toBe('after_mismatch');
    expect(await client.code('list_keys', { domain, prefix: 'l/%z' })).toBe('none_match');
  });

  test('updateclass changes the class, with its own error codes', async () => {
    const client = dial();
    await storeRaw(client, { domain, key: 'classy', body: 'x', class: 'one' });
    const update = (args: object) => client.code('updateclass', { domain, ...args });
    expect(await update({ key: 'classy' })).toBe('no_class');
    expect(await update({ key: 'classy', class: 'nosuch' })).toBe('class_not_found');
    expect(await update({ key: 'absent', class: 'one' })).toBe('invalid_key');
    expect(await update({ key: 'classy', class: 'default' })).toBe('OK');
    expect((await client.call('file_info', { domain, key: 'classy' })).class).toBe('default');
  });
});

describe('admin commands', () => {
  test('!version, !stats and !jobs have the shape that monitoring reads', async () => {
    const client = dial();
    expect(await client.admin('!version')).toEqual(['2.73\r\n']);
    const stats = await client.admin('!stats');
    for (const name of ['uptime', 'pending_queries', 'processing_queries', 'queries']) {
      expect(stats).toContainEqual(expect.stringMatching(new RegExp(`^${name} \\d+\\r\\n$`)));
    }
    const jobs = (await client.admin('!jobs')).join('');
    for (const job of ['queryworker', 'delete', 'replicate', 'monitor', 'fsck', 'reaper']) {
      expect(jobs).toMatch(
        new RegExp(`^${job} count \\d+\\r\\n${job} desired \\d+\\r\\n${job} pids .*\\r\\n`, 'm'),
      );
    }
  });

  test('!want and !to answer in the words that the original test-suite compares', async () => {
    const client = dial();
    expect(await client.admin('!want')).toEqual(['ERROR: usage: !want <count> <jobclass>\r\n']);
    expect((await client.admin('!want 1 nonsense'))[0]).toMatch(
      /^ERROR: Invalid class 'nonsense'\. {2}Valid classes: .*queryworker/,
    );
    expect(await client.admin('!want 3 replicate')).toEqual([
      "Now desiring 3 children doing 'replicate'.\r\n",
    ]);
    expect((await client.admin('!jobs')).join('')).toContain('replicate desired 3\r\n');
    expect(await client.admin('!to nonsense hello')).toEqual(['Message sent to 0 children.\r\n']);
  });

  test('!recent shows the last requests, in order with ordinary ones', async () => {
    const client = dial();
    client.write('noop callid=p1\r\n!version\r\nnoop callid=p2\r\n');
    expect(await client.line()).toBe('OK callid=p1\r\n');
    expect(await client.line()).toBe('2.73\r\n');
    expect(await client.line()).toBe('.\r\n');
    expect(await client.line()).toBe('OK callid=p2\r\n');
    const last = (await client.admin('!recent')).at(-1);
    expect(last).toMatch(/^127\.0\.0\.1 noop callid=p2 \d+\.\d{4} \d+\.\d{4}\r\n$/);
  });

  test('!watch follows the log until it is called again', async () => {
    const client = dial();
    expect(await client.admin('!watch')).toEqual(['Added you to watcher list.\r\n']);
    await dial().ask('test crash=1\r\n');
    // Jobs may have something to say first.
    const lines = [await client.line()];
    const isLast = (line = 'command.failed') => line.includes('command.failed');
    while (!isLast(lines.at(-1))) lines.push(await client.line());
    for (const line of lines) expect(line).toMatch(/^:: /);
    expect((await client.admin('!watch')).at(-1)).toBe('Removed you from watcher list.\r\n');
  });

  test('anything else prints the help', async () => {
    const client = dial();
    client.write('!nonsense\r\n');
    let help = '';
    for (let line = await client.line(); line !== '.\r\n'; line = await client.line()) help += line;
    for (const word of ['recent', 'queue', 'stats', 'watch', 'jobs', 'shutdown', 'to', 'want']) {
      expect(help).toContain(`!${word}`);
    }
  });
});
