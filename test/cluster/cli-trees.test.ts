/**
 * Goal: whole trees go in and out, `sync` stores exactly what changed, and reading needs no copy.
 * Method: the built command on a real cluster, with real directories.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { omgfsScript, runOmgfs } from '../helpers/command-line.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-trees-'));
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain: 'main' });
  for (const [name, body] of [
    ['tree/a.txt', 'aaa'],
    ['tree/deep/b.txt', 'bbbb'],
    ['tree/deep/er/c', ''],
  ] as const) {
    mkdirSync(join(dir, name, '..'), { recursive: true });
    writeFileSync(join(dir, name), body);
  }
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function run(...args: string[]) {
  const tracker = cluster.trackers[0] ?? '';
  return runOmgfs(['--tracker', tracker, '--domain', 'main', ...args], { cwd: dir });
}

/** Lines of JSON of a command that must succeed. */
async function json(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await run('--json', ...args);
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  const lines = String(out).trimEnd().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
}

const changes = async (...flags: string[]) =>
  (await json('sync', 'tree', 's/', ...flags)).map(({ action, key }) => `${action} ${key}`);

test('sync stores what changed, and only that', async () => {
  expect(await changes('--dry-run')).toEqual([
    'put s/a.txt',
    'put s/deep/b.txt',
    'put s/deep/er/c',
  ]);
  expect((await changes()).sort()).toEqual(['put s/a.txt', 'put s/deep/b.txt', 'put s/deep/er/c']);
  expect(await changes()).toEqual([]);
  writeFileSync(join(dir, 'tree/a.txt'), 'xxx');
  expect(await changes()).toEqual([]);
  expect(await changes('--checksum')).toEqual(['put s/a.txt']);
  writeFileSync(join(dir, 'tree/deep/b.txt'), 'longer');
  expect(await changes()).toEqual(['put s/deep/b.txt']);
  rmSync(join(dir, 'tree/deep/er'), { recursive: true });
  expect(await changes()).toEqual([]);
  expect(await changes('--delete')).toEqual(['delete s/deep/er/c']);
  // A key that is no text.
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  onTestFinished(() => client.close());
  await client.put(Buffer.from('s/\xff', 'latin1'), Buffer.from('odd'));
  expect(await changes('--delete')).toEqual(['delete s/\ufffd']);
  expect(await changes('--delete')).toEqual([]);
  const refused = await run('sync', 'nowhere', 's/');
  expect({ code: refused.code, err: refused.err }).toEqual({
    code: 2,
    err: expect.stringContaining('nowhere is no directory'),
  });
});

test('get -r brings a tree back', async () => {
  // As long as a file system takes them.
  writeFileSync(join(dir, 'tree', 'n'.repeat(253)), 'long');
  await json('put', '-r', 'tree', '--prefix', 't/');
  await json('get', '-r', 't/', 'back');
  execFileSync('diff', ['-r', join(dir, 'tree'), join(dir, 'back')]);
  const none = await run('get', '-r', 'typo/', 'back');
  expect({ code: none.code, err: none.err }).toEqual({
    code: 1,
    err: expect.stringContaining("no key begins with 'typo/'"),
  });
});

test('get -r makes directories of what keeps the empty folders of a share', async () => {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  for (const key of ['f/', 'f/empty/', 'f/full/', 'f/full/x']) {
    await client.put(key, Buffer.from(key.endsWith('x') ? 'x' : ''));
  }
  await client.close();
  await json('get', '-r', 'f/', 'folders');
  expect(readdirSync(join(dir, 'folders'), { recursive: true }).toSorted()).toEqual([
    'empty',
    'full',
    'full/x',
  ]);
});

test('a key cannot lead out of the directory, nor become the file of another', async () => {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  const keys = [
    'e/../../out',
    'e/ok',
    'e/dir/',
    'e/a//b',
    'e/a/./b',
    'e//twin',
    'e/twin',
    'e//alone',
  ];
  for (const key of keys) await client.put(key, Buffer.from('x'));
  await client.close();
  const { code, err } = await run('get', '-r', 'e/', 'inside');
  expect(code).toBe(1);
  expect(err).toContain("'../../out' cannot be a file below inside");
  expect(err).toContain("'e//twin' and 'e/twin' would both become one file");
  expect(err).toContain('5 of 8 failed');
  expect(readdirSync(join(dir, 'inside')).toSorted()).toEqual(['alone', 'ok', 'twin']);
});

test('what of a tree is not stored is said', async () => {
  mkdirSync(join(dir, 'odd'));
  for (const name of ['plain', 'no text \xff']) {
    writeFileSync(Buffer.from(join(dir, 'odd', name), 'latin1'), 'x');
  }
  symlinkSync('plain', join(dir, 'odd/link'));
  for (const args of [
    ['put', '-r', 'odd', '--prefix', 'odd/'],
    ['sync', 'odd', 'odd/'],
    ['sync', '-n', 'odd'],
  ]) {
    const { code, err } = await run(...args);
    expect({ args, code }).toEqual({ args, code: 1 });
    expect(err).toContain('left out: odd/link is a symbolic link');
    expect(err).toContain("cannot store 'odd/no text \ufffd': its name is no UTF-8");
  }
  expect((await run('cat', 'odd/plain')).out.toString()).toBe('x');
});

test('output that cannot be written is a failure', () => {
  const full = openSync('/dev/full', 'w');
  const args = ['--tracker', cluster.trackers[0] ?? '', '--domain', 'main', '--json', 'ls'];
  const { status, stderr } = spawnSync(process.execPath, [omgfsScript, ...args], {
    ...{ cwd: dir, encoding: 'utf8', stdio: ['ignore', full, 'pipe'] },
  });
  closeSync(full);
  expect(status).toBe(1);
  expect(JSON.parse(stderr).error.message).toContain('cannot write to standard output: ENOSPC');
});

test('cat, paths, url and du', async () => {
  await json('put', 'tree/a.txt', '--key', 'one');
  const { out } = await run('cat', 'one', 'one');
  expect(String(out)).toBe('xxxxxx');
  const [{ paths }] = (await json('paths', 'one')) as [{ paths: string[] }];
  expect(paths).toHaveLength(1);
  const [{ url }] = (await json('url', 'one')) as [{ url: string }];
  expect(url).toBe(paths[0]);
  expect(await (await fetch(url)).text()).toBe('xxx');
  expect(await json('du', 's/')).toEqual([
    { prefix: 's/', files: 1, bytes: 3, copies: 3 },
    { prefix: 's/deep/', files: 1, bytes: 6, copies: 6 },
    { prefix: 's/', files: 2, bytes: 9, copies: 9 },
  ]);
  expect((await run('url', 'nothing')).err).toContain('[UNKNOWN_KEY]');
});

test('the configuration file names trackers and domain', () => {
  const file = join(dir, 'omgfs.conf');
  writeFileSync(file, `# mine\ntrackers = ${cluster.trackers[0]}\ndomain = main\n`);
  const ask = (env: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, [omgfsScript, 'ls', 'one'], {
      cwd: dir,
      env: { PATH: process.env.PATH, ...env },
      encoding: 'utf8',
    });
  expect(ask({ OMGFS_CONFIG: file }).stdout).toBe('one\n');
  const unset = { OMGFS_TRACKERS: '', OMGFS_DOMAIN: '' };
  expect(ask({ HOME: dir, ...unset }).stderr).toContain('no tracker is named');
  writeFileSync(join(dir, '.mogilefs.conf'), readFileSync(file));
  expect(ask({ HOME: dir }).stdout).toBe('one\n');
  expect(ask({ OMGFS_CONFIG: join(dir, 'none') }).stderr).toContain('cannot read');
});

test('bash completes commands, sub-commands and options', async () => {
  const { out } = await run('completion', 'bash');
  const complete = (...words: string[]) => {
    const script = `${out}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
      COMP_CWORD=${words.length - 1}; _omgfs; echo "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split(' ');
  };
  expect(complete('omgfs', 'sy')).toEqual(['sync']);
  expect(complete('omgfs', 'admin', 'ho')).toEqual(['host']);
  expect(complete('omgfs', 'admin', 'host', 'add', '--al')).toEqual(['--altip', '--altmask']);
  for (const shell of ['zsh', 'fish']) {
    expect(String((await run('completion', shell)).out)).toContain('omgfs');
  }
});
