/**
 * Goal: a domain goes to a directory or a tar archive and back unchanged, whatever its keys are and
 * whenever the command is killed; what was changed on the way, or leads elsewhere, is refused.
 * Method: the built command on a real cluster; SIGKILL while a limited rate holds it up.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { omgfsScript, runOmgfs } from '../helpers/command-line.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-export-'));
let cluster: LocalCluster;
const clients = new Map<string, Client>();

/** Keys that cannot be file names beside some that can. */
const oddKeys = [
  'a',
  'a/b',
  'a-b',
  '../up',
  '/root',
  'x//y',
  'dir/',
  '.',
  'nul\0byte',
  'line\nend',
  'line\u2028end',
  'ümläut/ключ',
  '%41 +&=',
  '"\\',
  'manifest.jsonl',
  `${'s'.repeat(250)}/long`,
].map((key) => Buffer.from(key));
oddKeys.push(Buffer.from([0xff, 0xfe, 0x2f, 0x80]), Buffer.from('l'.repeat(255)));

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 2, domain: 'odd' });
  const admin = createAdmin({ trackers: cluster.trackers });
  await admin.createDomain('many');
  await admin.createClass({ domain: 'odd', name: 'one', mindevcount: 1, hashtype: 'SHA-1' });
  await admin.close();
  const odd = clientOf('odd');
  for (const [at, key] of oddKeys.entries()) {
    await odd.put(key, at === 3 ? Buffer.alloc(0) : key, at % 2 ? { class: 'one' } : {});
  }
  // Larger than what is kept in memory, with a checksum in the tracker and without one.
  await odd.put('large/one', randomBytes(1_300_000), { class: 'one' });
  await odd.put('large/plain', randomBytes(1_200_001));
  const many = clientOf('many');
  for (let at = 0; at < 40; at += 1) await many.put(`f/${at}`, randomBytes(20_000));
});
afterAll(async () => {
  for (const client of clients.values()) await client.close();
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function clientOf(domain: string): Client {
  const client = clients.get(domain) ?? createClient({ trackers: cluster.trackers, domain });
  clients.set(domain, client);
  return client;
}

const argsOf = (args: string[]) => ['--tracker', cluster.trackers[0] ?? '', '--json', ...args];
const run = (...args: string[]) => runOmgfs(argsOf(args), { cwd: dir });

/** The last line of a command that must succeed. */
async function sum(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await run(...args);
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  return JSON.parse(String(out).trimEnd().split('\n').at(-1) ?? '');
}

/** Runs until `probe` is true, then kills it. */
async function killed(args: string[], probe: () => Promise<boolean> | boolean): Promise<void> {
  const child = spawn(process.execPath, [omgfsScript, ...argsOf(args)], {
    cwd: dir,
    // What it cannot remove any more goes away with the test.
    env: { ...process.env, TMPDIR: dir },
  });
  await until('the command to be in the middle', probe);
  child.kill('SIGKILL');
  const [code, signal] = await once(child, 'exit');
  expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' });
}

/** Class and bytes of every key. */
async function contentOf(domain: string): Promise<Map<string, string>> {
  const client = clientOf(domain);
  const content = new Map<string, string>();
  for await (const key of client.listBytes()) {
    const { class: name } = await client.info(key);
    const chunks: Buffer[] = [];
    for await (const chunk of (await client.get(key, { verify: true })).stream) chunks.push(chunk);
    content.set(key.toString('hex'), `${name} ${Buffer.concat(chunks).toString('hex')}`);
  }
  return content;
}

async function count(domain: string): Promise<number> {
  let keys = 0;
  for await (const _ of clientOf(domain).list()) keys += 1;
  return keys;
}

const lines = (path: string) => {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
};

test('keys of any bytes go out and in, with their classes', async () => {
  const files = oddKeys.length + 2;
  expect(await sum('export', 'odd', 'odd', '--dry-run')).toMatchObject({ files });
  expect(existsSync(join(dir, 'odd'))).toBe(false);
  expect(await sum('export', 'odd', 'odd')).toMatchObject({ files, unchanged: 0, failed: 0 });
  expect(readdirSync(join(dir, 'odd')).sort()).toEqual(['files', 'keys', 'manifest.jsonl']);
  expect(readFileSync(join(dir, 'odd/files/manifest.jsonl'), 'utf8')).toBe('manifest.jsonl');
  expect(await sum('import', 'odd', 'back')).toMatchObject({ files, unchanged: 0 });
  expect(await contentOf('back')).toEqual(await contentOf('odd'));
  const admin = createAdmin({ trackers: cluster.trackers });
  const domains = await admin.domains();
  await admin.close();
  const classesOf = (domain: string) => domains.find(({ name }) => name === domain)?.classes;
  expect(classesOf('back')).toEqual(classesOf('odd'));
});

test('an export that is run again takes what is new', async () => {
  const client = clientOf('odd');
  await client.put('a-b', Buffer.from('A'));
  await client.put('later', Buffer.from('l'));
  await client.delete('x//y');
  const before = oddKeys.length + 2;
  expect(await sum('export', 'odd', 'odd')).toMatchObject({ files: 2, unchanged: before - 2 });
  expect(readFileSync(join(dir, 'odd/files/a-b'), 'utf8')).toBe('A');
  const refused = await run('import', 'odd', 'back');
  expect(refused.code).toBe(1);
  expect(refused.err).toContain("cannot import 'a-b': there is another file at the target");
  // What was deleted stays in the export.
  const total = before + 1;
  expect(await sum('import', '--overwrite', 'odd', 'back')).toMatchObject({
    files: 1,
    unchanged: total - 1,
  });
  const other = await run('export', 'many', 'odd');
  expect(other.err).toContain("odd is an export of '' of domain odd; name another one");
  expect(other.code).toBe(2);
});

test('an export that was killed goes on, and so does an import', async () => {
  const manifest = join(dir, 'many/manifest.jsonl');
  await killed(['export', 'many', 'many', '--bandwidth', '50K'], () => lines(manifest) > 3);
  const early = lines(manifest) - 1;
  expect(early).toBeLessThan(40);
  // As if the last write had been cut in two.
  appendFileSync(manifest, '{"key":"f/');
  const refused = await run('import', 'many', 'again');
  expect(refused.code).toBe(2);
  expect(refused.err).toContain('many was not finished');
  const { files, unchanged } = await sum('export', 'many', 'many');
  expect(Number(files) + Number(unchanged)).toBe(40);
  expect(Number(unchanged)).toBeGreaterThanOrEqual(early - 8);
  expect(lines(manifest)).toBe(42);
  expect(readdirSync(join(dir, 'many/files/f'))).toHaveLength(40);

  await killed(['import', 'many', 'again', '--bandwidth', '50K'], async () => {
    return (await count('again').catch(() => 0)) > 3;
  });
  const there = await count('again');
  expect(there).toBeLessThan(40);
  const rest = await sum('import', 'many', 'again');
  // What was under way may have been committed after the kill.
  expect(Number(rest.unchanged)).toBeGreaterThanOrEqual(there);
  expect(Number(rest.files) + Number(rest.unchanged)).toBe(40);
  expect(await contentOf('again')).toEqual(await contentOf('many'));
});

test('a changed file, a link and a manifest that points elsewhere are refused', async () => {
  await sum('export', 'many', 'bad', '--prefix', 'f/1');
  const [one, two] = [join(dir, 'bad/files/f/10'), join(dir, 'bad/files/f/11')];
  writeFileSync(one, Buffer.concat([readFileSync(one).subarray(1), Buffer.from('x')]));
  writeFileSync(join(dir, 'secret'), readFileSync(two));
  rmSync(two);
  symlinkSync(join(dir, 'secret'), two);
  writeFileSync(join(dir, 'bad/files/f/12'), 'short');
  const { code, err } = await run('import', 'bad', 'bad');
  expect(code).toBe(1);
  expect(err).toContain("cannot import 'f/10': the bytes have the checksum");
  expect(err).toContain("cannot import 'f/11': files/f/11 is a symbolic link");
  expect(err).toContain("cannot import 'f/12': there are 5 bytes where 20000 belong");
  const stored = [...(await contentOf('bad')).keys()].map((key) => Buffer.from(key, 'hex'));
  expect(stored.map(String)).toEqual(expect.not.arrayContaining(['f/10', 'f/11', 'f/12']));

  expect((await run('import', '.', 'worse')).err).toContain('is no export');
  const occupied = await run('export', 'many', '.');
  expect(occupied.err).toContain('is not empty and is no export');
});

test('an archive is an export for every tar', async () => {
  const files = await count('odd');
  expect(await sum('export', 'odd', 'odd.tar')).toMatchObject({ files });
  // GNU tar unpacks it without a word, and packs it again in its own way.
  mkdirSync(join(dir, 'unpacked'));
  const tar = (...args: string[]) => spawnSync('tar', args, { cwd: dir, encoding: 'utf8' });
  expect(tar('-xf', 'odd.tar', '-C', 'unpacked').stderr).toBe('');
  expect(await sum('import', '--dry-run', 'unpacked', 'none')).toMatchObject({ files });
  expect(tar('-cf', 'gnu.tar', '-C', 'unpacked', '.').stderr).toBe('');
  expect(await sum('import', 'gnu.tar', 'from-gnu')).toMatchObject({ files });
  expect(await sum('import', 'odd.tar', 'from-gnu')).toMatchObject({ unchanged: files });
  expect(await contentOf('from-gnu')).toEqual(await contentOf('odd'));
});

test('an archive goes through a pipe', async () => {
  const files = await count('odd');
  const { code, out: archive, err } = await run('export', 'odd', '-');
  expect(code).toBe(0);
  expect(JSON.parse(err.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ files });
  const load = (input: Buffer, ...args: string[]) =>
    runOmgfs(argsOf(['import', '-', ...args]), { cwd: dir, input });
  const cut = await load(archive.subarray(0, archive.length / 2), 'piped');
  expect({ code: cut.code, err: cut.err }).toEqual({
    code: 2,
    err: expect.stringContaining('standard input: it is cut off'),
  });
  const last = async (input: Buffer) => {
    const ran = await load(input, 'piped');
    return { ...ran, sum: JSON.parse(String(ran.out).trimEnd().split('\n').at(-1) ?? '') };
  };
  expect((await last(archive)).sum).toMatchObject({ failed: 0 });
  expect(await contentOf('piped')).toEqual(await contentOf('odd'));
  // A byte of the large file whose checksum follows it.
  const plain = await clientOf('odd').get('large/plain');
  const first = (await plain.stream.iterator().next()).value as Buffer;
  plain.stream.destroy();
  archive[archive.indexOf(first.subarray(0, 64))]! ^= 1;
  await clientOf('piped').delete('large/plain');
  const bad = await last(archive);
  expect({ code: bad.code, err: bad.err }).toEqual({
    code: 1,
    err: expect.stringContaining("cannot import 'large/plain': the bytes have the checksum"),
  });
  expect(bad.sum).toMatchObject({ files: 0, unchanged: files - 1, failed: 1 });
  await expect(clientOf('piped').info('large/plain')).rejects.toThrow('No file');
});

test('an archive that was killed goes on', async () => {
  const part = join(dir, 'many.tar.part/archive');
  const size = () => (existsSync(part) ? statSync(part).size : 0);
  await killed(['export', 'many', 'many.tar', '--bandwidth', '50K'], () => size() > 80_000);
  expect(existsSync(join(dir, 'many.tar'))).toBe(false);
  expect((await run('export', 'odd', 'many.tar')).err).toContain('of domain many; remove it');
  const { files, unchanged } = await sum('export', 'many', 'many.tar');
  expect(Number(unchanged)).toBeGreaterThan(0);
  expect(Number(files) + Number(unchanged)).toBe(40);
  expect(existsSync(join(dir, 'many.tar.part'))).toBe(false);
  await sum('import', 'many.tar', 'from-part');
  expect(await contentOf('from-part')).toEqual(await contentOf('many'));
});
