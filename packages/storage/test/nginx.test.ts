/**
 * Goal: with nginx as data plane a node behaves to trackers and clients as without.
 * Method: the same requests, to a node of each kind with the same files; the answers are compared.
 * nginx is the real one; it is killed, and its node as well, with SIGKILL.
 */
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rmdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../../test/helpers/ports.ts';
import { until } from '../../../test/helpers/wait.ts';
import { createStorageNode } from '../src/index.ts';
import {
  type Answer,
  ask,
  askRaw,
  createDocroot,
  filesOf,
  launch,
  nginxOptions,
  put,
  quiet,
  startNode,
  startWithNginx,
} from './helpers.ts';

const fid = '/dev1/0/000/000/0000000042.fid';
const empty = '/dev1/0/000/000/0000000043.fid';
const large = '/dev1/0/000/001/0000001044.fid';
const largeBody = Buffer.alloc(700_000, 'abcdefghij');
const writtenAt = new Date('2026-01-02T03:04:05Z');

async function fill({ url, docroot }: { url: string; docroot: string }): Promise<void> {
  for (const [path, body] of [
    [fid, 'hello world'],
    [empty, ''],
    [large, largeBody],
    ['/dev1/readme', 'a name of another kind'],
    ['/dev1/0/000/001/0000000042.fid', 'not where it belongs'],
    ['/dev1/1/2/42.fid', 'nor this'],
  ] as const) {
    expect((await put(`${url}${path}`, body)).status).toBe(200);
    await utimes(join(docroot, path), writtenAt, writtenAt);
  }
}

/** What trackers and clients look at. */
function essence({ status, headers, body }: Answer) {
  // The words of a refusal are for people.
  if (status >= 400) return { status, range: headers['content-range'] };
  const names = ['content-length', 'content-range', 'etag', 'last-modified'];
  // A part says by itself that parts are to be had.
  if (status === 200) names.push('accept-ranges');
  const seen = Object.fromEntries(names.map((name) => [name, headers[name]]));
  return { status, ...seen, type: headers['content-type'], body: body.toString('base64') };
}

describe('the same answers', () => {
  let own: Awaited<ReturnType<typeof startNode>>;
  let behind: Awaited<ReturnType<typeof startNode>>;

  async function both(method: string, path: string, headers: Record<string, string> = {}) {
    const [one, two] = await Promise.all(
      [own, behind].map(({ url }) => ask(`${url}${path}`, { method, headers })),
    );
    expect(essence(two as Answer)).toEqual(essence(one as Answer));
    return one as Answer;
  }

  test('to reads, conditions, ranges and everything else', async () => {
    own = await startNode();
    behind = await startWithNginx();
    await Promise.all([fill(own), fill(behind)]);
    const { headers } = await both('GET', fid);
    const etag = headers.etag ?? '';
    expect(etag).toBe('"42-11"');
    const date = headers['last-modified'] ?? '';
    for (const method of ['GET', 'HEAD']) {
      for (const path of [fid, empty, large, '/dev1/readme', `${fid}?a=b`, '/fid/42', '/fid/7']) {
        await both(method, path);
      }
      for (const path of ['/', '/dev1', '/dev1/', '/dev1/0/000', '/dev9/0/000/000/1.fid']) {
        await both(method, path);
      }
      for (const path of [
        '/dev1/0/000/000/0000000099.fid',
        '/nothing',
        '/dev1/.tmp/x',
        '/dev1/%',
      ]) {
        await both(method, path);
      }
      for (const range of [
        'bytes=0-0',
        'bytes=3-',
        'bytes=-4',
        'bytes=5-100',
        'bytes=99-',
        'x=1',
      ]) {
        await both(method, fid, { range });
      }
      await both(method, large, { range: 'bytes=699999-' });
      await both(method, fid, { range: `bytes=${'0-0,'.repeat(33)}` });
      for (const [name, value] of [
        ['if-none-match', etag],
        ['if-none-match', '"other"'],
        ['if-none-match', '*'],
        ['if-match', etag],
        ['if-match', '"other"'],
        ['if-modified-since', date],
        ['if-modified-since', 'Thu, 01 Jan 2026 00:00:00 GMT'],
        ['if-unmodified-since', 'Thu, 01 Jan 2026 00:00:00 GMT'],
      ] as const) {
        await both(method, fid, { [name]: value });
      }
      await both(method, fid, { range: 'bytes=1-2', 'if-range': etag });
      for (const condition of ['"other"', date, 'Thu, 01 Jan 2026 00:00:00 GMT']) {
        await both(method, fid, { range: 'bytes=1-2', 'if-range': condition });
      }
      // Names that only look like those of trackers have another ETag.
      for (const path of ['/dev1/0/000/001/0000000042.fid', '/dev1/1/2/42.fid']) {
        await both(method, path);
      }
    }
    const parts = { range: 'bytes=0-1,4-5' };
    for (const { url } of [own, behind]) {
      const { status, text, headers } = await ask(`${url}${fid}`, { headers: parts });
      expect([status, headers.etag]).toEqual([206, etag]);
      expect(text.match(/^(?:he|o )$/gm)).toEqual(['he', 'o ']);
    }
  });

  test('to what lies behind symbolic links, which lead nowhere', async () => {
    const outside = await createDocroot(1);
    await mkdir(join(outside, 'dev1/0/000/000'), { recursive: true });
    await writeFile(join(outside, fid), 'not of this device');
    const checked = () => startWithNginx({ nginx: { ...nginxOptions, links: 'check' } });
    for (const start of [startNode, startWithNginx, checked]) {
      const { url, docroot } = await start();
      await put(`${url}/dev1/0/001/000/0001000000.fid`, 'x');
      await symlink(join(outside, fid), join(docroot, '/dev1/0/001/000/0001000042.fid'));
      await symlink(join(outside, 'dev1/0/000'), join(docroot, 'dev1/0/000'));
      expect((await ask(`${url}/dev1/0/001/000/0001000042.fid`)).status).toBe(403);
      expect((await ask(`${url}${fid}`)).status).toBe(403);
      // That is how a disk is put into a docroot.
      await symlink(join(outside, 'dev1'), join(docroot, 'dev3'));
      const linked = `${url}${fid.replace('dev1', 'dev3')}`;
      await until('the disk is found', async () => (await ask(linked)).status === 200);
    }
  });

  test('to who asked for links to be followed, with what they lead to', async () => {
    const { url, docroot } = await startWithNginx({ nginx: { ...nginxOptions, links: 'follow' } });
    await put(`${url}/dev2${fid.slice(5)}`, 'elsewhere');
    await put(`${url}/dev1${fid.slice(5)}.other`, '');
    await symlink(join(docroot, 'dev2', fid.slice(6)), join(docroot, fid));
    expect((await ask(`${url}${fid}`)).text).toBe('elsewhere');
  });

  test('to writes', async () => {
    own = await startNode();
    behind = await startWithNginx();
    const md5 = 'XrY7u+Ae7tCTyyK7j1rNww==';
    const write = async (
      method: string,
      path: string,
      body?: string,
      headers: Record<string, string> = {},
    ) => {
      const send = { method, headers, ...(body === undefined ? {} : { body }) };
      const [one, two] = await Promise.all(
        [own, behind].map(({ url }) => ask(`${url}${path}`, send)),
      );
      expect({ method, path, status: two?.status }).toEqual({ method, path, status: one?.status });
      return one?.status;
    };
    expect(await write('PUT', fid, 'hello world')).toBe(200);
    expect(await write('PUT', fid, 'hello world', { 'content-md5': md5 })).toBeLessThan(300);
    expect(await write('PUT', fid, 'other', { 'content-md5': md5 })).toBe(400);
    expect(await write('PUT', '/dev9/x', 'x')).toBe(404);
    expect(await write('PUT', '/dev1/.hidden', 'x')).toBe(403);
    expect(await write('PUT', '/dev1/usage', 'x')).toBe(403);
    expect(await write('PUT', '/dev1/a%20b', 'x')).toBe(400);
    expect(await write('MKCOL', '/dev1/7/')).toBeLessThan(300);
    expect(await write('DELETE', fid)).toBe(204);
    expect(await write('DELETE', fid)).toBe(404);
    expect(await write('PATCH', fid, 'x')).toBe(405);
    const files = await Promise.all([own, behind].map(({ docroot }) => filesOf(docroot, 1)));
    expect(files[1]).toEqual(files[0]);
  });

  test('a cut upload leaves nothing, and a longer one than announced is refused', async () => {
    behind = await startWithNginx();
    const head = `PUT ${fid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`;
    await askRaw(behind.port, `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`);
    await askRaw(behind.port, `${head}Content-Length: abc\r\n\r\n`);
    expect(await filesOf(behind.docroot, 1)).toEqual([]);
    const { status } = await askRaw(
      behind.port,
      'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    expect(status).toBe(400);
  });
});

describe('disks and processes', () => {
  test('a device without its disk is refused, not missing (I6)', async () => {
    const { docroot, url } = await startWithNginx({ sweepMs: 100 });
    const [there, away] = ['dev1', 'away'].map((name) => join(docroot, name)) as [string, string];
    await put(`${url}${fid}`, 'hello');
    await rename(there, away);
    await mkdir(there);
    await until('the missing disk is noticed', async () => {
      return (await ask(`${url}${fid}`)).status === 503;
    });
    expect((await put(`${url}${fid}`, 'x')).status).toBe(503);
    expect((await ask(`${url}/dev2/0/000/000/0000000042.fid`)).status).toBe(404);
    await rmdir(there);
    await rename(away, there);
    await until('it is back', async () => (await put(`${url}${fid}`, 'again')).status === 200);
    expect((await ask(`${url}${fid}`)).text).toBe('again');
  });

  test('of another disk in its place is read what it has, and not what the other had', async () => {
    const { docroot, url } = await startWithNginx({ sweepMs: 100 });
    const other = fid.replace('42.fid', '43.fid');
    await put(`${url}${fid}`, 'on the first');
    // Its usage file is just being written, perhaps.
    const filter = (path: string) => !path.endsWith('/.tmp');
    await cp(join(docroot, 'dev1'), join(docroot, 'spare'), { recursive: true, filter });
    await rename(join(docroot, 'spare', fid.slice(6)), join(docroot, 'spare', other.slice(6)));
    await rename(join(docroot, 'dev1'), join(docroot, 'away'));
    await rename(join(docroot, 'spare'), join(docroot, 'dev1'));
    await until('the first is let go', async () => (await ask(`${url}${fid}`)).status === 404);
    expect((await ask(`${url}${other}`)).text).toBe('on the first');
  });

  test('nginx is started again when its master is killed, without the old workers', async () => {
    const { docroot, url } = await startWithNginx();
    await put(`${url}${fid}`, 'hello');
    const killed = nginxPid(docroot);
    const workers = childrenOf(killed);
    expect(workers.length).toBe(1);
    process.kill(killed, 'SIGKILL');
    await until('another nginx in its place', () => {
      return existsSync(nginxPidFile(docroot)) && nginxPid(docroot) !== killed;
    });
    await until('it serves again', async () => {
      return (await ask(`${url}${fid}`).catch(() => undefined))?.status === 200;
    });
    expect(workers.filter(isAlive)).toEqual([]);
  });

  test('workers that a killed node and a killed master left are ended at the start', async () => {
    const docroot = await createDocroot(1);
    const [port, management] = [await freePort(), await freePort()];
    const flags = [
      ...['--server', 'nginx', '--httplisten', `127.0.0.1:${port}`],
      ...['--mgmtlisten', `127.0.0.1:${management}`],
    ];
    const { child } = await launch(docroot, ...flags);
    const master = nginxPid(docroot);
    const workers = childrenOf(master);
    expect(workers.length).toBeGreaterThan(0);
    child.kill('SIGKILL');
    process.kill(master, 'SIGKILL');
    await until('both to be gone', () => !isAlive(master) && !isAlive(child.pid ?? 0));
    expect(workers.filter(isAlive)).toEqual(workers);
    const { url } = await launch(docroot, ...flags);
    expect(workers.filter(isAlive)).toEqual([]);
    expect((await put(`${url}${fid}`, 'hello')).status).toBe(200);
  });

  test('a killed node leaves an nginx behind, which its successor ends', async () => {
    const docroot = await createDocroot(1);
    const [port, management] = [await freePort(), await freePort()];
    const flags = [
      ...['--server', 'nginx', '--httplisten', `127.0.0.1:${port}`],
      ...['--mgmtlisten', `127.0.0.1:${management}`],
    ];
    const { child, url } = await launch(docroot, ...flags);
    await put(`${url}${fid}`, 'hello');
    const left = nginxPid(docroot);
    child.kill('SIGKILL');
    await until('it to be gone', () => !isAlive(child.pid ?? 0));
    expect((await ask(`${url}${fid}`)).text).toBe('hello');
    await launch(docroot, ...flags);
    expect(nginxPid(docroot)).not.toBe(left);
    expect(isAlive(left)).toBe(false);
    expect((await ask(`${url}${fid}`)).text).toBe('hello');
  });

  test('what cannot work is said at the start', async () => {
    const docroot = await createDocroot(1);
    const nginx = { ...nginxOptions, program: '/nonexistent/nginx' };
    const common = { docroot, httpHost: '127.0.0.1', server: 'nginx', nginx } as const;
    await expect(createStorageNode({ ...common, httpPort: 0 }, { log: quiet })).rejects.toThrow(
      /needs a port/,
    );
    const node = await createStorageNode({ ...common, httpPort: await freePort() }, { log: quiet });
    await expect(node.listen()).rejects.toThrow(/could not be started/);
    await node.close();
  });

  test('a port of somebody else is told, not taken for nginx', async () => {
    const taken = await startNode();
    const docroot = await createDocroot(1);
    const common = { docroot, httpHost: '127.0.0.1', server: 'nginx' } as const;
    const options = { ...common, nginx: nginxOptions, httpPort: taken.port };
    const node = await createStorageNode(options, { log: quiet });
    await expect(node.listen()).rejects.toThrow(/Address already in use/);
    await node.close();
  });

  test.each(['0.0.0.0', '::'])('%s serves 127.0.0.1', async (httpHost) => {
    const { port } = await startWithNginx({ httpHost });
    expect((await ask(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });

  test('a node that stops at once, or cannot start, takes its nginx along', async () => {
    const docroot = await createDocroot(1);
    const [port, management] = [await freePort(), await freePort()];
    const flags = (mgmtPort: number) => [
      ...['--server', 'nginx', '--httplisten', `127.0.0.1:${port}`],
      ...['--mgmtlisten', `127.0.0.1:${mgmtPort}`],
    ];
    const other = await startNode();
    await expect(launch(docroot, ...flags(other.port))).rejects.toThrow(/EADDRINUSE/);
    await until('nothing serves', () => isClosed(port));
    await launch(docroot, ...flags(management));
    const socket = connect({ host: '127.0.0.1', port: management });
    socket.on('error', () => {}).write('shutdown\r\n');
    await until('nothing serves', () => isClosed(port));
  });

  test('server = none serves nothing and keeps the usage files', async () => {
    const { docroot } = await startNode({ server: 'none' });
    expect(await readFile(join(docroot, 'dev1', 'usage'), 'utf8')).toMatch(/^available: \d+$/m);
  });
});

/** Whether nothing accepts connections there. */
function isClosed(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', () => resolve(true)).once('connect', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

function nginxPidFile(docroot: string): string {
  return join(docroot, '.omgfs-nginx/nginx.pid');
}

function nginxPid(docroot: string): number {
  return Number(readFileSync(nginxPidFile(docroot), 'utf8'));
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** Not when it has ended and waits for its parent to notice. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
