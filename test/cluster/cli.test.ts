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
import { startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { omgfsScript, type Ran, runOmgfs } from '../helpers/command-line.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-cli-'));

function run(args: string[], input: Buffer = Buffer.alloc(0)): Promise<Ran> {
  return runOmgfs(args, { cwd: dir, input });
}

interface Up {
  child: ChildProcess;
  /** Of the tracker and the storage nodes. */
  pids: number[];
  said: () => string;
}

/** Starts `omgfs up` in the directory and waits until it says that it is up. */
async function up(...more: string[]): Promise<Up> {
  const args = ['--json', 'up', '--hosts', '2', '--devices', '1', '--port-base', '0', ...more];
  const child = spawn(process.execPath, [omgfsScript, ...args], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  await once(child.stdout, 'data');
  return { child, pids: childrenOf(child), said: () => said };
}

function childrenOf({ pid }: ChildProcess): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.split(' ').filter(Boolean).map(Number);
}

async function down({ child }: Pick<Up, 'child'>): Promise<number | null> {
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  const [code] = await ended;
  return code as number | null;
}

function linesOf(text: Buffer | string): string[] {
  return text.toString().trim().split('\n');
}

/** A process that has ended but was not collected by its parent has no command line. */
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

/** Has the command hold itself when it has started daemons that cannot be up yet. */
const holdsItself = `
  import processes from 'node:child_process';
  import { syncBuiltinESMExports } from 'node:module';
  const { spawn } = processes;
  let isFirst = true;
  processes.spawn = (...args) => {
    if (isFirst) process.nextTick(() => process.kill(process.pid, 'SIGSTOP'));
    isFirst = false;
    return spawn(...args);
  };
  syncBuiltinESMExports();`;

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
    expect((await run(['put', 'photo.bin', '--key', 'album/1.bin'])).code).toBe(0);
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
    const nowhere = await run(['get', 'album/2.bin', 'no/such/folder/x']);
    expect(nowhere).toMatchObject({ code: 1 });
    expect(nowhere.err).toMatch(/cannot write .*ENOENT.*check that its directory exists/);
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

  test('a tree, and several files', async () => {
    await mkdir(join(dir, 'tree/deep'), { recursive: true });
    writeFileSync(join(dir, 'tree/a'), 'A');
    writeFileSync(join(dir, 'tree/deep/b'), '');
    const stored = await run(['--json', 'put', '-r', 'tree', 'photo.bin', '--prefix', 'backup/']);
    const keys = linesOf(stored.out).map((line) => (JSON.parse(line) as { key: string }).key);
    expect(keys.sort()).toEqual(['backup/a', 'backup/deep/b', 'backup/photo.bin']);
    expect((await run(['get', 'backup/deep/b', '-'])).out.length).toBe(0);
    expect((await run(['get', 'backup/photo.bin', 'tree/deep'])).code).toBe(0);
    expect(readFileSync(join(dir, 'tree/deep/photo.bin')).equals(body)).toBe(true);
    const listed = await run(['--json', 'ls', '-l', 'backup/a']);
    expect(JSON.parse(listed.out.toString())).toMatchObject({ key: 'backup/a', length: 1 });
    await run(['rm', ...keys]);
  });

  test('what cannot be meant is refused before a byte is stored', async () => {
    writeFileSync(join(dir, 'one.jpg'), '1');
    writeFileSync(join(dir, 'two.jpg'), '2');
    // A shell that expands *.jpg must never give the second file's name to the first.
    expect((await run(['put', 'one.jpg', 'two.jpg'])).code).toBe(0);
    expect((await run(['get', 'two.jpg', '-'])).out.toString()).toBe('2');
    await run(['rm', 'one.jpg', 'two.jpg']);
    const wrong: [string[], RegExp][] = [
      [['one.jpg', 'album/1.jpg'], /cannot read album\/1\.jpg: .*--key/],
      [['one.jpg', 'two.jpg', '--key', 'both'], /--prefix/],
      [['one.jpg', 'tree/../one.jpg'], /would both become 'one\.jpg'/],
      [['tree'], /--recursive/],
      [['-'], /omgfs put - KEY/],
      [['-', 'key', 'other'], /omgfs put - KEY/],
    ];
    for (const [args, message] of wrong) {
      const { code, err } = await run(['put', ...args]);
      expect({ args, code, err }).toEqual({ args, code: 2, err: expect.stringMatching(message) });
    }
    expect((await run(['ls'])).out.toString()).toBe('');
  });

  test('failures name the key, have a code and advice, and leave no file', async () => {
    const missing = await run(['get', 'nothing', 'nothing.bin']);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(/cannot fetch 'nothing': .*\[UNKNOWN_KEY\]\n.*omgfs ls/);
    expect(readdirSync(dir).filter((name) => name.startsWith('nothing'))).toEqual([]);
    const json = await run(['--json', 'rm', 'nothing', 'neither']);
    expect(linesOf(json.err).map((line) => JSON.parse(line))).toMatchObject([
      { error: { code: 'UNKNOWN_KEY', retry: 'never', key: 'nothing' } },
      { error: { code: 'UNKNOWN_KEY', retry: 'never', key: 'neither' } },
      { error: { code: 'FAILURE', message: '2 of 2 failed' } },
    ]);
    expect((await run(['rm', '-f', 'nothing'])).code).toBe(0);
    const domain = await run(['-d', 'elsewhere', 'ls']);
    expect(domain.err).toMatch(/no domain 'elsewhere' \[UNREG_DOMAIN\]/);
    const nobody = await run(['-t', '127.0.0.1:1', '-d', 'x', 'ls']);
    expect({ code: nobody.code, up: nobody.err.includes('omgfs up') }).toEqual({
      code: 1,
      up: true,
    });
  });

  test('an interrupted get leaves no part of a file', async () => {
    await run(['put', '-', 'big'], randomBytes(30_000_000));
    const parts = () => readdirSync(dir).filter((name) => /^big\.bin|\.part$/.test(name));
    const interrupted = async () => {
      const args = [omgfsScript, 'get', 'big', 'big.bin'];
      const child = spawn(process.execPath, args, { cwd: dir, stdio: 'ignore' });
      const ended = once(child, 'exit');
      await until('the first bytes on disk', () => parts().length > 0, { everyMs: 1 });
      child.kill('SIGINT');
      const [code] = await ended;
      // It may have been done before the signal arrived, also when that was its end.
      if (parts().join() !== 'big.bin') return [code, parts()];
      rmSync(join(dir, 'big.bin'));
      return undefined;
    };
    expect(await until('one cut off in the middle', interrupted)).toEqual([130, []]);
    await run(['rm', 'big']);
  });

  test('wrong usage is exit code 2, help is 0 and teaches', async () => {
    expect((await run(['nonsense'])).code).toBe(2);
    expect((await run(['put'])).code).toBe(2);
    expect((await run(['ls', '-n', 'many'])).code).toBe(2);
    const json = await run(['--json', 'mv', 'only-one']);
    expect({ code: json.code, error: JSON.parse(json.err) }).toMatchObject({
      code: 2,
      error: { error: { code: 'BAD_ARGS' } },
    });
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    expect(help.out.toString()).toMatch(/Examples:[\s\S]*omgfs put/);
  });
});

describe('up', () => {
  test('a second one in the same directory is refused', async () => {
    const second = await run(['up', '--port-base', '0']);
    expect(second.code).toBe(1);
    expect(second.err).toMatch(/in use by process \d+: stop that, or name another/);
  });

  test('of two that start at the same time one is refused', async () => {
    const start = () => {
      const args = ['--json', 'up', '--port-base', '0', '--dir', 'shared'];
      return spawn(process.execPath, [omgfsScript, ...args], { cwd: dir });
    };
    const children = [start(), start()];
    const fates = children.map(async (child) => {
      const refusal = buffer(child.stderr);
      const isUp = once(child.stdout, 'data').then(() => 'up');
      const code = once(child, 'exit').then(async ([code]) => `${code}: ${await refusal}`);
      return Promise.race([isUp, code]);
    });
    const [one = '', two = ''] = (await Promise.all(fates)).sort();
    expect(one).toMatch(/^1: .*in use by process/);
    expect(two).toBe('up');
    for (const child of children.filter(({ exitCode }) => exitCode === null)) {
      expect(await down({ child })).toBe(0);
    }
  });

  test('a node that dies by itself is reported', async () => {
    const lone = await up('--dir', 'lone');
    process.kill(lone.pids[0] ?? 0, 'SIGKILL');
    await until('the report', () => /node1 ended unexpectedly \(SIGKILL\)/.test(lone.said()));
    expect(await down(lone)).toBe(0);
  });

  test('a Ctrl-C while it starts leaves nothing behind', async () => {
    const first = `data:text/javascript,${encodeURIComponent(holdsItself)}`;
    const args = [omgfsScript, 'up', '--port-base', '0', '--dir', 'early'];
    const child = spawn(process.execPath, ['--import', first, ...args], {
      cwd: dir,
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    const stat = `/proc/${child.pid}/stat`;
    await until('it to stand still', () => readFileSync(stat, 'utf8').includes(') T '));
    const pids = childrenOf(child);
    expect(pids.length).toBeGreaterThan(1);
    child.kill('SIGINT');
    child.kill('SIGCONT');
    expect((await ended)[0]).toBe(130);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(readdirSync(join(dir, 'early'))).not.toContain('lock');
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
    await run(['put', 'photo.bin', '--key', 'kept.bin']);
    expect(cluster.pids.filter(isAlive).length).toBe(3);
    expect(await down(cluster)).toBe(0);
    expect(cluster.pids.filter(isAlive)).toEqual([]);
    // More of everything than before is added to it.
    cluster = await up('--hosts', '3', '--devices', '2');
    expect(cluster.pids.length).toBe(4);
    const devices = readdirSync(join(dir, '.omgfs/node1')).filter((name) => /^dev/.test(name));
    expect(devices).toEqual(['dev1', 'dev3']);
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
