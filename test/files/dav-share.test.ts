/**
 * Goal: a domain is a WebDAV share that real programs can use like a disk, whatever its keys look
 * like, and no request ends or grows the tracker. Method: a real cluster; rclone, cadaver and
 * litmus; request sequences as desktops send them; raw sockets.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSqlite } from '../../packages/tracker/src/store/sqlite/driver.ts';
import {
  bodies,
  malformedAt,
  raw,
  requestOf,
  sendMutations,
  usageOf,
} from '../helpers/hostile-dav.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { DavSite } from './dav-site.ts';

const exec = promisify(execFile);
let cluster: LocalCluster;
let client: RawClient;
let directory: string;
let port: number;
let share: DavSite;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'omgfs-share-'));
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    trackers: 2,
    domain: 'main',
    extraTrackerArgs: ['--http_dav', 'full'],
  });
  client = new RawClient(cluster.trackers[0] ?? '');
  port = Number(new URL(cluster.apis[0] ?? '').port);
  share = new DavSite(port, client);
});

afterAll(async () => {
  await client?.close();
  await cluster?.stop();
  await rm(directory, { recursive: true, force: true });
});

const url = (path: string) => share.url(path);
const dav = (...request: Parameters<DavSite['dav']>) => share.dav(...request);
const putKey = (key: string, body: string) => share.putKey(key, body);
const keys = (prefix: string) => share.keys(prefix);
const members = (path: string) => share.members(path);

const rclone = async (...args: string[]) => {
  const { stderr } = await exec('rclone', ['--config', '/dev/null', ...args]);
  return stderr;
};
const remote = (path: string) => `:webdav,url='${url('/')}':${path}`;

describe('programs', () => {
  test.each(['basic', 'copymove', 'props', 'locks', 'http'])('litmus passes: %s', async (suite) => {
    const env = { ...process.env, TESTS: suite };
    const { stdout } = await exec('litmus', [url('/')], { cwd: directory, env });
    expect(stdout).toMatch(/ 0 failed/);
    expect(stdout).not.toMatch(/FAIL|WARNING/);
  });

  test('rclone copies a tree in and out unchanged, checks, moves, syncs and purges', async () => {
    const source = join(directory, 'source');
    const files = {
      'a folder/50% off #1?.txt': 'percent',
      'a folder/deep/er/est': 'deep',
      'ünï/日本/ß 🙂': 'unicode',
      'semi;colon&amp\'quote"+plus': 'signs',
      'a folder/(file)': 'a name that has a meaning here',
      'a folder/deep/(empty)': 'another one',
      zero: '',
    };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(source, name)), { recursive: true });
      await writeFile(join(source, name), text);
    }
    await writeFile(join(source, 'large'), randomBytes(20 * 1024 * 1024));
    await mkdir(join(source, 'empty/inner'), { recursive: true });
    const whole = '--create-empty-src-dirs';
    await rclone('copy', whole, source, remote('tree'));
    await rclone('check', '--download', source, remote('tree'));
    await rclone('moveto', remote('tree'), remote('moved'));
    await rclone('copy', whole, remote('moved'), join(directory, 'back'));
    await exec('diff', ['-r', source, join(directory, 'back')]);
    await rm(join(source, 'a folder'), { recursive: true });
    await rclone('sync', source, remote('moved'));
    expect(await rclone('check', '--download', source, remote('moved'))).toMatch(/ 0 differences/);
    await rclone('purge', remote('moved'));
    expect(await members('/')).not.toContain('moved/');
    expect(await keys('moved')).toEqual([]);
  });

  test('rclone gets the times back that it gave', async () => {
    const source = join(directory, 'dated');
    await mkdir(source);
    await writeFile(join(source, 'f'), 'one');
    await utimes(join(source, 'f'), 1_000_000_000, 1_000_000_000);
    const owncloud = `:webdav,vendor=owncloud,url='${url('/')}':dated`;
    await rclone('copy', source, owncloud);
    const { stdout } = await exec('rclone', ['--config', '/dev/null', 'lsjson', owncloud]);
    expect(new Date(JSON.parse(stdout)[0].ModTime).getTime()).toBe(1_000_000_000_000);
    await writeFile(join(source, 'f'), 'two');
    await rclone('sync', source, owncloud);
    expect((await dav('GET', '/dated/f')).text).toBe('two');
  });

  test('cadaver lists, puts, locks, sets a property, moves and deletes', async () => {
    const file = join(directory, 'file');
    await writeFile(file, 'cadaver');
    const script = [
      ...[`open ${url('/')}`, 'mkcol c', `put ${file} c/f`, 'lock c/f', 'unlock c/f'],
      ...['propset c/f colour blue', 'propget c/f colour', 'move c/f c/g', 'copy c/g c/h'],
      ...[`get c/h ${join(directory, 'got')}`, 'ls c', 'delete c/g', 'rmcol c', 'quit'],
    ];
    const running = exec('cadaver', [], { env: { ...process.env, HOME: directory } });
    running.child.stdin?.end(`${script.join('\n')}\n`);
    const { stdout } = await running;
    expect(stdout).not.toMatch(/failed|error/i);
    expect(stdout).toMatch(/blue/);
    expect(await readFile(join(directory, 'got'), 'utf8')).toBe('cadaver');
  });
});

const lockBody =
  '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>' +
  '<D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>';

describe('desktops', () => {
  test('Windows: an empty file or a lock first, then its times, then the bytes', async () => {
    const root = await fetch(new URL('/', url('/')), { method: 'OPTIONS' });
    expect(root.headers.get('dav')).toBe('1, 2');
    const windows = { Translate: 'f', 'User-Agent': 'Microsoft-WebDAV-MiniRedir/10.0' };
    const time = 'Sat, 21 Nov 2026 10:00:00 GMT';
    const property =
      '<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>' +
      '<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>' +
      `<Z:Win32LastModifiedTime>${time}</Z:Win32LastModifiedTime>` +
      '</D:prop></D:set></D:propertyupdate>';
    for (const [path, first] of Object.entries({ '/new.doc': 201, '/locked.doc': 0 })) {
      expect((await dav('PROPFIND', path, { ...windows, Depth: '0' })).status).toBe(404);
      if (first !== 0) expect((await dav('PUT', path, windows, '')).status).toBe(first);
      const lock = await dav('LOCK', path, { ...windows, Timeout: 'Second-3600' }, lockBody);
      expect(lock.status).toBe(first === 0 ? 201 : 200);
      const token = lock.headers.get('lock-token') ?? '';
      const locked = { ...windows, If: `(${token})` };
      expect((await dav('PROPPATCH', path, locked, property)).text).toContain('200 OK');
      expect((await dav('HEAD', path)).headers.get('content-length')).toBe('0');
      expect((await dav('PUT', path, {}, 'of another')).status).toBe(423);
      const again = await dav('LOCK', path, { ...locked, Timeout: 'Second-60' });
      expect([again.status, again.text]).toEqual([200, expect.stringContaining('Second-60')]);
      expect((await dav('PUT', path, locked, 'the text')).status).toBe(204);
      expect((await dav('PROPFIND', path, { Depth: '0' })).text).toContain(time);
      expect((await dav('UNLOCK', path, { 'Lock-Token': token })).status).toBe(204);
      expect((await dav('GET', path)).text).toBe('the text');
    }
    const part = await dav('GET', '/new.doc', { Range: 'bytes=4-' });
    expect([part.status, part.text]).toEqual([206, 'text']);
  });

  test('macOS: bytes in chunks, and what belongs to a file in one beside it', async () => {
    const head = 'HTTP/1.1\r\nHost: x\r\nUser-Agent: WebDAVFS/3.0.0\r\nConnection: close\r\n';
    const chunked = `${head}Transfer-Encoding: chunked\r\nX-Expected-Entity-Length: 8\r\n\r\n`;
    for (const name of ['._mac.txt', 'mac.txt', '.DS_Store']) {
      const chunks = '4\r\nfour\r\n4\r\nmore\r\n0\r\n\r\n';
      const put = await raw(port, `PUT /dav/main/${name} ${chunked}${chunks}`);
      expect(put).toMatch(/^HTTP\/1\.1 201 /);
      expect((await dav('GET', `/${name}`)).text).toBe('fourmore');
    }
  });

  test('editors: a lock makes the file, a temporary name is moved over it', async () => {
    await dav('MKCOL', '/office/');
    const lock = await dav('LOCK', '/office/report.odt', {}, lockBody);
    expect(lock.status).toBe(201);
    const token = lock.headers.get('lock-token') ?? '';
    await dav('PUT', '/office/report.odt', { If: `(${token})` }, 'old');
    await dav('UNLOCK', '/office/report.odt', { 'Lock-Token': token });
    await dav('PUT', '/office/.tmp1', {}, 'new');
    const Destination = url('/office/report.odt');
    const kept = await dav('MOVE', '/office/.tmp1', { Destination, Overwrite: 'F' });
    expect(kept.status).toBe(412);
    expect((await dav('MOVE', '/office/.tmp1', { Destination })).status).toBe(204);
    expect((await dav('GET', '/office/report.odt')).text).toBe('new');
    expect(await members('/office/')).toEqual(['report.odt']);
  });

  test('a file that is replaced by a move is there at every moment (I3)', async () => {
    await dav('PUT', '/always', {}, 'version 0');
    let done = false;
    const seen = new Set<string>();
    const reader = (async () => {
      while (!done) {
        const { status, text } = await dav('GET', '/always');
        seen.add(`${status} ${text.replace(/\d+/, 'n')}`);
      }
    })();
    for (let round = 1; round <= 15; round += 1) {
      await dav('PUT', '/next', {}, `version ${round}`);
      const moved = await dav('MOVE', '/next', { Destination: url('/always') });
      expect(moved.status).toBe(204);
    }
    done = true;
    await reader;
    expect([...seen]).toEqual(['200 version n']);
  });
});

describe('keys', () => {
  test('of an application are files and folders at once', async () => {
    for (const key of ['twin', 'twin/x', 'twin-b', 'app/deep/file']) await putKey(key, key);
    expect(await members('/')).toEqual(expect.arrayContaining(['twin/', 'twin-b', 'app/']));
    expect(await members('/')).not.toContain('twin');
    expect(await members('/twin/')).toEqual(['(file)', 'x']);
    for (const path of ['/twin', '/twin/(file)']) {
      expect((await dav('GET', path)).text, path).toBe('twin');
    }
    expect((await dav('PUT', '/twin', {}, 'x')).status).toBe(405);
    await dav('PUT', '/twin/(file)', {}, 'changed');
    expect((await dav('COPY', '/twin', { Destination: url('/copied') })).status).toBe(201);
    expect((await dav('MOVE', '/twin', { Destination: url('/renamed') })).status).toBe(201);
    expect(await keys('twin')).toEqual(['twin-b']);
    expect(await keys('renamed')).toEqual(['renamed', 'renamed/x']);
    expect((await dav('GET', '/renamed/(file)')).text).toBe('changed');
    expect(await keys('copied')).toEqual(['copied', 'copied/', 'copied/x']);
    expect((await dav('DELETE', '/renamed')).status).toBe(204);
    expect(await keys('renamed')).toEqual([]);
  });

  test('with names that no path can have are listed, read, moved and deleted', async () => {
    const odd = [
      'odd//a',
      'odd/./b',
      'odd/../c',
      'odd/(dot)',
      'odd/\xff\xfe',
      'odd/x/',
      'odd/x/y/',
    ];
    for (const key of odd) await putKey(key, `of ${key.length}`);
    expect(await members('/odd/')).toEqual(
      expect.arrayContaining(['(empty)/', '(dot)/', '(dotdot)/', '((dot))', '%FF%FE', 'x/']),
    );
    expect(await members('/odd/x/')).toEqual(['(empty)', 'y/']);
    const paths = ['(empty)/a', '(dot)/b', '(dotdot)/c', '((dot))', '%FF%FE', 'x/(empty)'];
    for (const [at, path] of paths.entries()) {
      expect((await dav('GET', `/odd/${path}`)).text, path).toBe(`of ${odd[at]?.length}`);
    }
    await dav('MOVE', '/odd', { Destination: url('/even') });
    expect(await keys('odd')).toEqual([]);
    expect(new Set(await keys('even'))).toEqual(new Set(odd.map((key) => `even${key.slice(3)}`)));
    expect((await dav('DELETE', '/even/%FF%FE')).status).toBe(204);
    await dav('DELETE', '/even');
    expect(await keys('even')).toEqual([]);
  });

  test('an empty folder lasts, an implied one goes with its last key', async () => {
    expect((await dav('MKCOL', '/made')).status).toBe(201);
    expect((await dav('MKCOL', '/made')).status).toBe(405);
    expect(await members('/made/')).toEqual([]);
    const elsewhere = new URL('/dav/main/made/', cluster.apis[1]);
    const seen = await fetch(elsewhere, { method: 'PROPFIND', headers: { Depth: '0' } });
    expect(seen.status).toBe(207);
    await dav('PUT', '/made/x', {}, 'x');
    await dav('DELETE', '/made/x');
    expect(await members('/')).toContain('made/');
    await putKey('implied/x', 'x');
    await dav('DELETE', '/implied/x');
    expect(await members('/')).not.toContain('implied/');
    await dav('DELETE', '/made/');
    expect(await keys('made')).toEqual([]);
    expect((await dav('PUT', '/implied/x', {}, 'x')).status).toBe(409);
  });

  test('a folder is renamed whole or not at all', async () => {
    for (let n = 0; n < 5; n += 1) await putKey(`whole/${n}`, 'x');
    const longest = `whole/${'n'.repeat(249)}`;
    await putKey(longest, 'x');
    const before = await keys('whole/');
    const failed = await dav('MOVE', '/whole', { Destination: url('/longer') });
    expect([failed.status, failed.text]).toEqual([400, expect.stringContaining('KEY_TOO_LONG')]);
    expect(await keys('whole/')).toEqual(before);
    expect(await keys('longer')).toEqual([]);
  });

  test('a folder is whole when the tracker that renames it is killed', async () => {
    const database = await openSqlite(join(cluster.dir, 'omgfs.sqlite'));
    database.exec('PRAGMA busy_timeout = 20000');
    const rows = Array.from({ length: 5000 }, (_, at) => {
      return `(${900_000 + at}, (SELECT MIN(dmid) FROM domain), 'm0/${at}', 1, 0, 1)`;
    });
    const columns = 'fid, dmid, dkey, length, classid, devcount';
    database.exec(`INSERT INTO file (${columns}) VALUES ${rows.join()}`);
    const count = (folder: string) => {
      const sql = `SELECT COUNT(*) AS n FROM file WHERE substr(dkey, 1, 3) = '${folder}/'`;
      return Number(database.prepare(sql).all()[0]?.n);
    };
    let folder = 'm0';
    for (const target of ['m1', 'm2']) {
      const at = (name: string) => new URL(`/dav/main/${name}`, cluster.apis[1]);
      const headers = { Destination: at(target).href };
      const moved = fetch(at(folder), { method: 'MOVE', headers }).catch(() => {});
      // What comes first is another thing in each round, and on each machine.
      if (target === 'm2') await dav('PROPFIND', '/', { Depth: '0' });
      await cluster.trackerDaemons[1]?.kill('SIGKILL');
      await moved;
      const counts = [count(folder), count(target)];
      expect(counts.toSorted((one, two) => one - two)).toEqual([0, 5000]);
      if (counts[1] === 5000) folder = target;
      await cluster.trackerDaemons[1]?.start();
    }
    database.close();
  });

  test('a move onto a folder that cannot be made leaves that folder as it is', async () => {
    // Fits where it is, and not below the longer name.
    await putKey(`source/${'n'.repeat(247)}`, 'x');
    await putKey('precious/x', 'x');
    const failed = await dav('MOVE', '/source', { Destination: url('/precious') });
    expect(failed.status).toBe(400);
    expect(await keys('precious')).toEqual(['precious/x']);
    await putKey('small/y', 'y');
    expect((await dav('MOVE', '/small', { Destination: url('/precious') })).status).toBe(204);
    expect(await keys('precious')).toEqual(['precious/y']);
  });

  test('an upload that is cut off is never seen', async () => {
    await dav('PUT', '/kept', {}, 'whole');
    const put = 'PUT /dav/main/kept HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n';
    const socket = connect(port, '127.0.0.1');
    socket.end(put + 'y'.repeat(50_000));
    socket.resume();
    await once(socket, 'close');
    expect((await dav('GET', '/kept')).text).toBe('whole');
  });
});

describe('borders', () => {
  test('domains and what is above them stay as they are', async () => {
    await dav('PUT', '/f', {}, 'x');
    for (const path of ['/dav/main/', '/dav/', '/']) {
      const gone = await fetch(new URL(path, url('/')), { method: 'DELETE' });
      expect([403, 404], path).toContain(gone.status);
    }
    const over = await dav('COPY', '/f', { Destination: new URL('/dav/main', url('/')).href });
    expect(over.status).toBe(403);
    for (const path of ['/dav/other', '/dav/other/x', '/dav/main/f/(file)/x']) {
      const made = await fetch(new URL(path, url('/')), { method: 'MKCOL' });
      expect([403, 409], path).toContain(made.status);
    }
    expect((await dav('GET', '/f')).text).toBe('x');
  });

  const malformed = malformedAt('/dav/main').map((line) => [line.slice(0, 60), line]);
  test.each(malformed)('is refused: %s', async (_name, line = '') => {
    expect(await raw(port, requestOf(line))).toMatch(/^HTTP\/1\.1 [45]\d\d/);
  });

  test.each(Object.entries(bodies))('body is refused: %s', async (_name, body) => {
    for (const line of [
      'PROPFIND /dav/main/|Depth: 0',
      'PROPPATCH /dav/main/f',
      'LOCK /dav/main/',
    ]) {
      expect(await raw(port, requestOf(line, body)), line).toMatch(/^HTTP\/1\.1 4\d\d/);
    }
  });

  test('a thousand mutated requests neither end nor grow it', async () => {
    const pid = Number(cluster.trackerDaemons[0]?.pid);
    await sendMutations(port, '/dav/main', 200);
    const before = usageOf(pid);
    await sendMutations(port, '/dav/main', 1000);
    expect((await dav('PROPFIND', '/', { Depth: '0' })).status).toBe(207);
    expect(cluster.trackerDaemons[0]?.pid).toBe(pid);
    const after = usageOf(pid);
    expect(after.descriptors).toBeLessThan(before.descriptors + 50);
    expect(after.kilobytes).toBeLessThan(before.kilobytes + 100_000);
  });
});
