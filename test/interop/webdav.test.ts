/**
 * Goal: WebDAV clients and the litmus suite work against the real `mogstored`, and no malformed
 * request ends, hangs or grows it.
 * Method: one process for all tests; real clients and raw sockets.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  bodies,
  malformedAt,
  raw,
  requestOf,
  sendMutations,
  usageOf,
} from '../helpers/hostile-dav.ts';

const exec = promisify(execFile);
const program = fileURLToPath(new URL('../../packages/storage/bin/mogstored.js', import.meta.url));
let directory = '';
let node: ChildProcess;
let port = 0;
const url = (path: string) => `http://127.0.0.1:${port}${path}`;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'omgfs-dav-'));
  await mkdir(join(directory, 'docroot/dev1'), { recursive: true });
  await mkdir(join(directory, 'docroot/dev2'));
  const options = ['--docroot', join(directory, 'docroot'), '--httplisten', '127.0.0.1:0'];
  const more = ['--mgmtlisten', '127.0.0.1:0', '--dav', 'full', '--free-reserve-mb', '0'];
  node = spawn(process.execPath, [program, '--skipconfig', ...options, ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  port = await new Promise<number>((resolve, reject) => {
    let text = '';
    const read = (chunk: Buffer) => {
      text += chunk;
      const found = /"httpPort":(\d+)/.exec(text)?.[1];
      if (found !== undefined) resolve(Number(found));
    };
    node.stdout?.on('data', read);
    node.stderr?.on('data', read);
    node.once('exit', () => reject(new Error(`mogstored ended: ${text}`)));
  });
});

afterAll(async () => {
  const ended = new Promise((resolve) => node.once('exit', resolve));
  node.kill('SIGTERM');
  await ended;
  await rm(directory, { recursive: true, force: true });
});

/** One request; the name of the method may be anything. */
async function dav(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
) {
  const answer = await fetch(url(path), { method, headers, ...(body ? { body } : {}) });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}

test.each(['basic', 'copymove', 'props', 'locks', 'http'])('litmus passes: %s', async (suite) => {
  const { stdout } = await exec('litmus', [url('/dev1/')], {
    cwd: directory,
    env: { ...process.env, TESTS: suite },
  });
  expect(stdout).toMatch(/ 0 failed/);
  expect(stdout).not.toMatch(/FAIL/);
});

test('rclone copies in and out, checks, moves and purges', async () => {
  const source = join(directory, 'source');
  await mkdir(join(source, 'a folder'), { recursive: true });
  for (let n = 0; n < 20; n += 1) await writeFile(join(source, 'a folder', `ä ${n}`), `${n}`);
  await writeFile(join(source, 'large'), Buffer.alloc(3_000_000, 7));
  const remote = (path: string) => `:webdav,url='${url('/dev1/')}':${path}`;
  const config = ['--config', '/dev/null'];
  await exec('rclone', [...config, 'copy', source, remote('r')]);
  await exec('rclone', [...config, 'check', '--download', source, remote('r')]);
  await exec('rclone', [...config, 'moveto', remote('r/a folder'), remote('r/moved')]);
  await exec('rclone', [...config, 'copy', remote('r'), join(directory, 'back')]);
  expect(readdirSync(join(directory, 'back/moved'))).toHaveLength(20);
  await exec('rclone', [...config, 'purge', remote('r')]);
  expect((await dav('PROPFIND', '/dev1/r', { Depth: '0' })).status).toBe(404);
});

test('cadaver lists, puts, locks, sets a property, moves and deletes', async () => {
  const file = join(directory, 'file');
  await writeFile(file, 'cadaver');
  const script = [
    `open ${url('/dev1/')}`,
    'mkcol c',
    `put ${file} c/f`,
    'lock c/f',
    'unlock c/f',
    'propset c/f colour blue',
    'propget c/f colour',
    'move c/f c/g',
    `get c/g ${join(directory, 'got')}`,
    'ls c',
    'delete c/g',
    'rmcol c',
    'quit',
  ];
  const running = exec('cadaver', [], { env: { ...process.env, HOME: directory } });
  running.child.stdin?.end(`${script.join('\n')}\n`);
  const { stdout } = await running;
  expect(stdout).not.toMatch(/failed|error/i);
  expect(stdout).toMatch(/blue/);
  expect(readFileSync(join(directory, 'got'), 'utf8')).toBe('cadaver');
});

test("the node's own names and links out of a device are neither seen nor changed", async () => {
  await symlink('/etc', join(directory, 'docroot/dev2/link'));
  const list = await dav('PROPFIND', '/dev2/', { Depth: '1' });
  expect(list.status).toBe(207);
  expect(list.text).not.toMatch(/usage|omgfs|\.tmp|link/);
  for (const path of ['/dev2', '/', '/dev2/.omgfs-device.json', '/dev2/usage', '/dev2/link']) {
    expect((await dav('DELETE', path)).status, path).toBeGreaterThanOrEqual(400);
    const moved = await dav('MOVE', path, { Destination: url('/dev1/stolen') });
    expect(moved.status, path).toBeGreaterThanOrEqual(400);
  }
  await dav('PUT', '/dev2/f', {}, 'x');
  // What cannot be removed keeps what is in it, too.
  for (const path of ['/dev2', '/']) expect((await dav('DELETE', path)).status, path).toBe(403);
  const over = await dav('COPY', '/dev1', { Destination: url('/dev2') });
  expect(over.status).toBe(403);
  expect((await dav('PROPFIND', '/dev2/f', { Depth: '0' })).status).toBe(207);
  for (const to of ['/dev2/usage', '/dev2/.tmp/x', '/dev3', '/dev2/link/x', '/dev2/../../x']) {
    const copied = await raw(
      port,
      `COPY /dev2/f HTTP/1.1\r\nHost: x\r\nDestination: ${to}\r\nConnection: close\r\n\r\n`,
    );
    expect(copied, to).toMatch(/^HTTP\/1\.1 4/);
  }
});

test('a lock keeps others from writing and deleting', async () => {
  await dav('PUT', '/dev1/locked', {}, 'one');
  const lock = await dav(
    'LOCK',
    '/dev1/locked',
    {},
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope></D:lockinfo>',
  );
  const token = lock.headers.get('lock-token') ?? '';
  expect((await dav('PUT', '/dev1/locked', {}, 'two')).status).toBe(423);
  expect((await dav('DELETE', '/dev1/locked')).status).toBe(423);
  expect((await dav('PUT', '/dev1/locked', { If: `(${token})` }, 'two')).status).toBe(200);
  expect((await dav('DELETE', '/dev1/locked', { If: `(${token})` })).status).toBe(204);
});

test('PUT of a tracker makes its directories, also in this mode', async () => {
  expect((await dav('PUT', '/dev1/0/000/000/0000000001.fid', {}, 'x')).status).toBe(200);
  expect((await dav('PUT', '/dev1/none/x', {}, 'x')).status).toBe(409);
});

const malformed = malformedAt('/dev1').map((line) => [line.slice(0, 60), line]);
test.each(malformed)('is refused: %s', async (_name, line = '') => {
  expect(await raw(port, requestOf(line))).toMatch(/^HTTP\/1\.1 [45]\d\d/);
});

test.each(Object.entries(bodies))('body is refused: %s', async (_name, body) => {
  for (const line of ['PROPFIND /dev1/|Depth: 0', 'PROPPATCH /dev1/', 'LOCK /dev1/']) {
    expect(await raw(port, requestOf(line, body)), line).toMatch(/^HTTP\/1\.1 4\d\d/);
  }
});

test('thousands of mutated requests neither end nor grow it', async () => {
  await sendMutations(port, '/dev2', 500);
  const before = usageOf(Number(node.pid));
  await sendMutations(port, '/dev2', 2500);
  expect(node.exitCode).toBeNull();
  expect((await dav('PROPFIND', '/dev1/', { Depth: '0' })).status).toBe(207);
  const after = usageOf(Number(node.pid));
  expect(after.descriptors).toBeLessThan(before.descriptors + 20);
  expect(after.kilobytes).toBeLessThan(before.kilobytes + 100_000);
});
