/**
 * Goal: `omgfs` does from a shell what its help says, and `omgfs up` leaves nothing behind.
 * Method: the built command as child processes, with pipes where a person has a terminal.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const omgfs = fileURLToPath(new URL('../../packages/cli/dist/bin/omgfs.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'omgfs-cli-'));

interface Ran {
  code: number | null;
  out: Buffer;
  err: string;
}

async function run(args: string[], input?: Buffer): Promise<Ran> {
  const child = spawn(process.execPath, [omgfs, ...args], { cwd: dir });
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? Buffer.alloc(0));
  const [out, err, [code]] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    once(child, 'exit'),
  ]);
  return { code, out, err: err.toString() };
}

interface Up {
  child: ChildProcess;
  pids: number[];
}

/** Starts `omgfs up` in the directory and waits until it says that it is up. */
async function up(): Promise<Up> {
  const args = ['--json', 'up', '--hosts', '2', '--devices', '1', '--port-base', '0'];
  const child = spawn(process.execPath, [omgfs, ...args], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const { hosts } = JSON.parse(String(line)) as { hosts: { pid: number }[] };
  return { child, pids: hosts.map(({ pid }) => pid) };
}

async function down({ child }: Up): Promise<number | null> {
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  const [code] = await ended;
  return code as number | null;
}

/** A process that has ended but was not collected by its parent has no command line. */
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

const body = randomBytes(300_000);
let cluster: Up;

beforeAll(async () => {
  writeFileSync(join(dir, 'photo.bin'), body);
  cluster = await up();
});
afterAll(async () => {
  if (cluster.child.exitCode === null) await down(cluster);
  rmSync(dir, { recursive: true, force: true });
});

describe('files', () => {
  test('put, info, ls, get, mv and rm', async () => {
    expect((await run(['put', 'photo.bin', 'album/1.bin'])).code).toBe(0);
    expect(JSON.parse((await run(['--json', 'info', 'album/1.bin'])).out.toString())).toMatchObject(
      {
        key: 'album/1.bin',
        length: body.length,
        class: 'default',
      },
    );
    expect((await run(['ls', 'album/'])).out.toString()).toBe('album/1.bin\n');
    expect((await run(['mv', 'album/1.bin', 'album/2.bin'])).code).toBe(0);
    expect((await run(['get', 'album/2.bin', 'back.bin'])).code).toBe(0);
    expect(readFileSync(join(dir, 'back.bin')).equals(body)).toBe(true);
    expect((await run(['rm', 'album/2.bin'])).code).toBe(0);
    expect((await run(['ls'])).out.toString()).toBe('');
  });

  test('standard input and output, of unknown length', async () => {
    const large = randomBytes(3_000_000);
    expect((await run(['put', '-', 'piped'], large)).code).toBe(0);
    const { out } = await run(['get', 'piped', '-']);
    expect(out.equals(large)).toBe(true);
    await run(['rm', 'piped']);
  });

  test('a tree', async () => {
    await mkdir(join(dir, 'tree/deep'), { recursive: true });
    writeFileSync(join(dir, 'tree/a'), 'A');
    writeFileSync(join(dir, 'tree/deep/b'), '');
    const stored = await run(['--json', 'put', '-r', 'tree', 'backup/']);
    const keys = stored.out
      .toString()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { key: string }).key);
    expect(keys.sort()).toEqual(['backup/a', 'backup/deep/b']);
    expect((await run(['get', 'backup/deep/b', '-'])).out.length).toBe(0);
    await run(['rm', ...keys]);
  });

  test('failures have a code, advice and exit code 1, and leave no file', async () => {
    const missing = await run(['get', 'nothing', 'nothing.bin']);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(/\[UNKNOWN_KEY\]\n.*omgfs ls/);
    expect(readdirSync(dir).filter((name) => name.startsWith('nothing'))).toEqual([]);
    const json = await run(['--json', 'rm', 'nothing']);
    expect(JSON.parse(json.err.split('\n')[0] ?? '')).toMatchObject({
      error: { code: 'UNKNOWN_KEY', retry: 'never' },
    });
    expect((await run(['rm', '-f', 'nothing'])).code).toBe(0);
    expect((await run(['put', 'no-such-file'])).err).toContain('no-such-file');
    expect((await run(['put', 'tree'])).err).toContain('--recursive');
    expect((await run(['put', '-'])).err).toContain('KEY');
    const nobody = await run(['-t', '127.0.0.1:1', '-d', 'x', 'ls']);
    expect({ code: nobody.code, up: nobody.err.includes('omgfs up') }).toEqual({
      code: 1,
      up: true,
    });
  });

  test('wrong usage is exit code 2, help is 0 and teaches', async () => {
    expect((await run(['nonsense'])).code).toBe(2);
    expect((await run(['put', 'x', 'y', 'z'])).code).toBe(2);
    expect((await run(['ls', '-n', 'many'])).code).toBe(2);
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    expect(help.out.toString()).toMatch(/Examples:[\s\S]*omgfs put/);
  });
});

describe('up', () => {
  test('a second one in the same directory is refused', async () => {
    const second = await run(['up', '--port-base', '0']);
    expect(second.code).toBe(1);
    expect(second.err).toMatch(/in use by process \d+/);
  });

  test('ports that something else uses are passed over', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await using cluster = await startLocalCluster({
      hosts: 1,
      devicesPerHost: 1,
      domain: 'ports',
      portBase: port - 1,
    });
    expect(cluster.trackers).not.toContain(`127.0.0.1:${port}`);
    taken.close();
  });

  test('Ctrl-C stops every process, and the next run serves the same files', async () => {
    await run(['put', 'photo.bin', 'kept.bin']);
    expect(cluster.pids.every(isAlive)).toBe(true);
    expect(await down(cluster)).toBe(0);
    expect(cluster.pids.filter(isAlive)).toEqual([]);
    cluster = await up();
    expect((await run(['get', 'kept.bin', '-'])).out.equals(body)).toBe(true);
  });

  test('what a killed run left behind does not stop the next', async () => {
    const ended = once(cluster.child, 'exit');
    cluster.child.kill('SIGKILL');
    await ended;
    expect(cluster.pids.every(isAlive)).toBe(true);
    const orphans = cluster.pids;
    cluster = await up();
    expect(orphans.filter(isAlive)).toEqual([]);
    expect((await run(['get', 'kept.bin', '-'])).out.equals(body)).toBe(true);
    expect(await down(cluster)).toBe(0);
  });
});
