/**
 * Goal: the tour behind `npm start` ends well, on a new state and again on the kept one, and tells
 * what is wrong with a replica from what changed on disk.
 * Method: the built command as a child process on small trees.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';

const omgfs = fileURLToPath(new URL('../../packages/cli/dist/bin/omgfs.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'omgfs-demo-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Demo {
  child: ChildProcess;
  said: () => string;
  /** The exit code, when everything it said has been read. */
  code: Promise<unknown>;
}

/** Has the demo hold itself, but not its cluster, when it says what it begins. */
const holdsItselfAt = (word: string) => `
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text, ...rest) => {
    const goOn = write(text, ...rest);
    if (String(text).startsWith('${word}')) process.kill(process.pid, 'SIGSTOP');
    return goOn;
  };`;

function demo(...args: string[]): Demo {
  return start([omgfs, 'demo', ...args]);
}

/** One that stands still before it stores, or between storing and reading. */
async function heldDemo(at: 'Storing' | 'Waiting', ...args: string[]): Promise<Demo> {
  const first = `data:text/javascript,${encodeURIComponent(holdsItselfAt(at))}`;
  const held = start(['--import', first, omgfs, 'demo', ...args]);
  const stat = `/proc/${held.child.pid}/stat`;
  await until('it to stand still', () => readFileSync(stat, 'utf8').includes(') T '));
  return held;
}

function start(args: string[]): Demo {
  const child = spawn(process.execPath, [...args, '--port-base', '0'], { cwd: dir });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  return { child, said: () => said, code: once(child, 'close').then(([code]) => code) };
}

function makeTree(name: string, files: Record<string, Buffer>): string {
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(join(dir, name, path, '..'), { recursive: true });
    writeFileSync(join(dir, name, path), bytes);
  }
  return join(dir, name);
}

/** The replicas on a node of a demo that uses the default state directory. */
function fidFilesOf(node: string): string[] {
  const below = readdirSync(join(dir, '.omgfs', node), { recursive: true, encoding: 'utf8' });
  return below
    .filter((path) => path.endsWith('.fid'))
    .map((path) => join(dir, '.omgfs', node, path));
}

test('every file comes back, twice', async () => {
  const files: Record<string, Buffer> = { large: randomBytes(9_000_000) };
  for (let count = 0; count < 60; count += 1) {
    files[count % 2 === 0 ? `file ${count}` : `deep/${count}`] = randomBytes(count * 1500);
  }
  // A tree that is named is stored whole.
  const tree = makeTree('tree', { ...files, 'dist/built': Buffer.from('x') });
  for (const run of ['first', 'second']) {
    const { said, code } = demo(tree, '--once');
    expect([await code, `${run} ${said()}`]).toEqual([
      0,
      expect.stringMatching(/62 \(.*fully replicated.*Every file came back/s),
    ]);
  }
});

test('what changed on disk meanwhile is no corruption', async () => {
  const tree = makeTree('live', {
    changed: randomBytes(2_000_000),
    removed: randomBytes(2_000_000),
    same: randomBytes(10),
  });
  const { child, said, code } = await heldDemo('Waiting', tree, '--once');
  writeFileSync(join(tree, 'changed'), 'other');
  rmSync(join(tree, 'removed'));
  child.kill('SIGCONT');
  expect(await code).toBe(0);
  expect(said()).toMatch(
    /Changed on disk.*\n {2}changed\n {2}removed\n[\s\S]*Every file came back/,
  );
});

test('a replica with other bytes is named, and the demo fails', async () => {
  rmSync(join(dir, '.omgfs'), { recursive: true });
  // One file alone, so that every .fid is a replica of it.
  const tree = makeTree('rotten', { 'bad apple': randomBytes(5_000_000) });
  const { child, said, code } = await heldDemo('Waiting', tree, '--once');
  const replicas = await until('both replicas', () => {
    const found = ['node1', 'node2', 'node3'].flatMap(fidFilesOf);
    return found.length === 2 && found;
  });
  for (const replica of replicas) {
    const file = openSync(replica, 'r+');
    writeSync(file, Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]), 0, 8, 4_000_000);
    closeSync(file);
  }
  child.kill('SIGCONT');
  expect(await code).toBe(1);
  expect(said()).toMatch(/1 did not come back as they were sent:\n {2}bad apple: other bytes/);
});

test('a file that cannot be stored is named, the others are stored', async () => {
  const long = `${'d'.repeat(150)}/${'f'.repeat(150)}`;
  const tree = makeTree('long', { [long]: Buffer.from('1'), short: Buffer.from('2') });
  const { said, code } = demo(tree, '--once');
  expect(await code).toBe(1);
  expect(said()).toMatch(/files {14}1 \(1 B\)[\s\S]*1 of 2 files could not be stored/);
  expect(said()).toContain(long);
});

test('a Ctrl-C in the middle stops everything', async () => {
  const files = Array.from({ length: 200 }, (_, count) => [`f${count}`, randomBytes(50_000)]);
  const tree = makeTree('many', Object.fromEntries(files));
  const { child, said, code } = await heldDemo('Storing', tree, '--once');
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
  expect(children.split(' ').length).toBe(4);
  child.kill('SIGINT');
  child.kill('SIGCONT');
  expect([await code, said()]).toEqual([130, expect.stringMatching(/omgfs: interrupted\n$/)]);
  const left = children.split(' ').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
    } catch {
      return false;
    }
  });
  expect(left).toEqual([]);
});

test('wrong usage is told before anything starts', async () => {
  const tree = makeTree('one', { file: Buffer.from('x') });
  for (const [args, message] of [
    [[tree, '--hosts', '1'], /--hosts 2/],
    [[join(dir, 'missing')], /cannot read .*missing/],
    [[makeTree('none', { 'sub/x': Buffer.from('') }), '--dir', join(dir, 'none/sub')], /no files/],
  ] as [string[], RegExp][]) {
    const { said, code } = demo(...args, '--once');
    expect([await code, said()]).toEqual([2, expect.stringMatching(message)]);
  }
});
