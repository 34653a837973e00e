/**
 * The tour behind `npm start`: boots a cluster, stores a directory tree, waits for the second
 * copies, stops a storage node, reads everything back while it is down, starts it again, and says
 * what was measured.
 */
import { basename, resolve } from 'node:path';
import { type Client, createClient } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { clusterLines, warn } from '../commands/up.ts';
import { stateDirDefault } from '../config.ts';
import { untilAborted, withInterrupt } from '../interrupt.ts';
import { type LocalCluster, startLocalCluster } from '../local-cluster/local-cluster.ts';
import { formatBytes, printable, printLine } from '../output.ts';
import { type TreeFile, walkTree } from '../tree.ts';
import { readBack } from './read-back.ts';
import { untilReplicated } from './replication.ts';
import { storeAll } from './store.ts';

export interface DemoOptions {
  /** What to store; by default the current directory without what nobody wants stored. */
  tree: string | undefined;
  once?: boolean;
  dir: string;
  hosts: number;
  devices: number;
  domain: string;
  portBase: number;
}

/** What the directory of a project holds besides its own files. */
const notItsOwn = new Set(['node_modules', 'dist', '.git', '.build', stateDirDefault]);

interface Tour {
  cluster: LocalCluster;
  client: Client;
  signal: AbortSignal;
}

/**
 * @throws FAILURE naming the keys that did not come back as they were sent; BAD_ARGS; Interrupted
 * when a Ctrl-C came before the end of the tour.
 */
export async function demoCommand(options: DemoOptions): Promise<void> {
  const { hosts, devices: devicesPerHost, dir, domain, portBase } = options;
  if (hosts < 2) {
    const message = 'the demo needs --hosts 2 or more: it reads every file with a host stopped';
    throw new OmgfsError('BAD_ARGS', { message });
  }
  const tree = resolve(options.tree ?? '.');
  const files = await findFiles(tree, options);
  printLine(`Booting 1 tracker and ${hosts} storage nodes with ${devicesPerHost} devices each ...`);
  await withInterrupt(async (signal) => {
    const wish = { dir, hosts, devicesPerHost, domain, portBase, signal, onUnexpectedEnd: warn };
    await using cluster = await startLocalCluster(wish);
    const client = createClient({ trackers: cluster.trackers, domain });
    try {
      const keys = await takeTour({ cluster, client, signal }, { tree, files });
      printLine('\nEvery file came back byte for byte.');
      if (options.once) return;
      printLine('');
      for (const line of await tryLines({ cluster, client, signal }, keys)) printLine(line);
      printLine('\nThe cluster stays up; stop it with Ctrl-C.');
      await untilAborted(signal);
      printLine('\nStopping.');
    } finally {
      await client.close();
    }
  });
}

/** A tree that is named is stored whole, except for the state directory, which grows meanwhile. */
async function findFiles(tree: string, options: DemoOptions): Promise<TreeFile[]> {
  const state = resolve(options.dir);
  const { files } = await walkTree(tree, {
    skip: (path) => path === state || (options.tree === undefined && notItsOwn.has(basename(path))),
  }).catch((cause: Error) => {
    throw new OmgfsError('BAD_ARGS', { message: `cannot read ${tree}: ${cause.message}`, cause });
  });
  if (files.length > 0) return files;
  throw new OmgfsError('BAD_ARGS', { message: `there are no files below ${tree}` });
}

/** @returns the keys that are stored. */
async function takeTour(
  tour: Tour,
  { tree, files }: { tree: string; files: readonly TreeFile[] },
): Promise<readonly string[]> {
  const { cluster, client, signal } = tour;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  printLine(`Storing ${files.length} files, ${formatBytes(total)}, from ${tree} ...`);
  const storing = stopwatch();
  const { sent, gone, refused } = await storeAll(client, files, signal);
  const storedSeconds = storing();

  printLine('Waiting until every file has two replicas on two hosts ...');
  await untilReplicated(cluster, client, sent, signal);
  const replicatedSeconds = storing();

  const victim = cluster.hosts[0];
  printLine(`Killing ${victim?.name} and reading everything back without it ...`);
  await victim?.kill('SIGKILL');
  const reading = stopwatch();
  const { wrong, changed } = await readBack(client, sent, signal);
  const readSeconds = reading();
  await victim?.start();
  printLine(`${victim?.name} is up again.`);

  const bytes = sent.reduce((sum, file) => sum + file.bytes, 0);
  printLine('');
  printLine(`  files              ${sent.length} (${formatBytes(bytes)})`);
  printLine(`  stored in          ${storedSeconds.toFixed(1)} s, ${rate(bytes, storedSeconds)}`);
  printLine(`  fully replicated   ${replicatedSeconds.toFixed(1)} s after the first byte`);
  printLine(`  read back in       ${readSeconds.toFixed(1)} s, ${rate(bytes, readSeconds)}`);
  printKeys('Changed on disk since they were stored; the replicas hold what was sent:', changed);
  printKeys('Removed from the disk before they could be stored:', gone);
  const failures = [...refused, ...wrong];
  if (failures.length === 0) return sent.map(({ key }) => key);
  throw new OmgfsError('FAILURE', {
    message:
      `${refused.length} of ${files.length} files could not be stored, ${wrong.length} did not ` +
      `come back as they were sent:\n${failures.map((line) => `  ${printable(line)}`).join('\n')}`,
  });
}

function printKeys(title: string, keys: readonly string[]): void {
  if (keys.length === 0) return;
  printLine(`\n${title}`);
  for (const key of keys) printLine(`  ${printable(key)}`);
}

/** Lines to copy and paste, with a key that is really there. */
async function tryLines({ cluster, client }: Tour, keys: readonly string[]): Promise<string[]> {
  const key = keys.find((name) => /^[\w./-]+$/.test(name)) ?? keys[0] ?? '';
  const [path] = await client.paths(key, { verify: true });
  return [
    ...clusterLines(cluster),
    `  curl -s ${path} | head -c 300`,
    `  npx omgfs --tracker ${cluster.trackers[0]} --domain ${cluster.domain} ls -l`,
  ];
}

function rate(bytes: number, seconds: number): string {
  return `${(bytes / 1e6 / seconds).toFixed(1)} MB/s`;
}

function stopwatch(): () => number {
  const startedMs = performance.now();
  return () => (performance.now() - startedMs) / 1000;
}
