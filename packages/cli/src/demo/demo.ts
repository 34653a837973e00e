/**
 * The tour behind `npm start`: boots a cluster, stores a directory tree, waits for the second
 * copies, stops a storage node, reads everything back while it is down, starts it again, and says
 * what was measured.
 */
import { resolve } from 'node:path';
import { type Client, createClient } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { clusterLines, untilInterrupted } from '../commands/up.ts';
import { stateDirDefault } from '../config.ts';
import { type LocalCluster, startLocalCluster } from '../local-cluster/local-cluster.ts';
import { createProgress, formatBytes, printLine } from '../output.ts';
import { inParallel, type TreeFile, walkTree } from '../tree.ts';
import { readBack } from './read-back.ts';
import { untilReplicated } from './replication.ts';

export interface DemoOptions {
  tree: string | undefined;
  once?: boolean;
  dir: string;
  hosts: number;
  devices: number;
  domain: string;
  portBase: number;
}

/** A stored file and the digest of the bytes that were sent. */
export interface SentFile {
  key: string;
  bytes: number;
  sha1: string;
}

/** What a tree holds that nobody wants stored. */
const skipped = new Set(['node_modules', 'dist', '.git', '.build', stateDirDefault]);
const filesAtOnce = 16;

/** @throws FAILURE naming the keys that did not come back as they were sent. */
export async function demoCommand(options: DemoOptions): Promise<void> {
  const tree = resolve(options.tree ?? '.');
  const files = await walkTree(tree, { skip: skipped });
  if (files.length === 0) {
    throw new OmgfsError('BAD_ARGS', { message: `there are no files below ${tree}` });
  }
  const { dir, hosts, devices: devicesPerHost, domain, portBase } = options;
  printLine(`Booting 1 tracker and ${hosts} storage nodes with ${devicesPerHost} devices each ...`);
  await using cluster = await startLocalCluster({ dir, hosts, devicesPerHost, domain, portBase });
  const client = createClient({ trackers: cluster.trackers, domain });
  try {
    const keys = await tour(cluster, client, { tree, files });
    printLine('\nEvery file came back byte for byte.\n');
    for (const line of await tryLines(cluster, client, keys)) printLine(line);
    if (options.once) return;
    printLine('\nThe cluster stays up; stop it with Ctrl-C.');
    await untilInterrupted();
    printLine('\nStopping.');
  } finally {
    await client.close();
  }
}

async function tour(
  cluster: LocalCluster,
  client: Client,
  { tree, files }: { tree: string; files: readonly TreeFile[] },
): Promise<readonly string[]> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  printLine(`Storing ${files.length} files, ${formatBytes(total)}, from ${tree} ...`);
  const storing = stopwatch();
  const sent = await storeAll(client, files);
  const storedSeconds = storing();
  const sentBytes = sent.reduce((sum, { bytes }) => sum + bytes, 0);

  printLine('Waiting until every file has two replicas on two hosts ...');
  await untilReplicated(cluster, client, sent);
  const replicatedSeconds = storing();

  const victim = cluster.hosts[0];
  printLine(`Stopping ${victim?.name} and reading everything back without it ...`);
  await victim?.kill('SIGKILL');
  const reading = stopwatch();
  const wrong = await readBack(client, sent);
  const readSeconds = reading();
  await victim?.start();
  printLine(`${victim?.name} is up again.`);
  if (wrong.length > 0) {
    throw new OmgfsError('FAILURE', {
      message: `${wrong.length} of ${sent.length} files did not come back:\n${wrong.join('\n')}`,
    });
  }
  const rate = (bytes: number, seconds: number) =>
    `${(bytes / 1024 ** 2 / seconds).toFixed(1)} MiB/s`;
  printLine('');
  printLine(`  files              ${sent.length} (${formatBytes(sentBytes)})`);
  printLine(
    `  stored in          ${storedSeconds.toFixed(1)} s, ${rate(sentBytes, storedSeconds)}`,
  );
  printLine(`  fully replicated   ${replicatedSeconds.toFixed(1)} s after the first byte`);
  printLine(`  read back in       ${readSeconds.toFixed(1)} s, ${rate(sentBytes, readSeconds)}`);
  return sent.map(({ key }) => key);
}

async function storeAll(client: Client, files: readonly TreeFile[]): Promise<SentFile[]> {
  const sent: SentFile[] = [];
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = createProgress({ label: 'storing', unit: 'bytes', total, json: false });
  try {
    await inParallel(files, { concurrency: filesAtOnce }, async ({ path, name }) => {
      const stored = await client.put(name, { file: path }, { checksum: 'SHA-1' });
      sent.push({ key: name, bytes: stored.bytes, sha1: stored.checksum?.hex ?? '' });
      progress.add({ bytes: stored.bytes });
    });
  } finally {
    progress.stop();
  }
  return sent;
}

/** Lines to copy and paste, with a key that is really there. */
async function tryLines(
  cluster: LocalCluster,
  client: Client,
  keys: readonly string[],
): Promise<string[]> {
  const key = keys.find((name) => /^[\w./-]+$/.test(name)) ?? keys[0] ?? '';
  const [path] = await client.paths(key, { verify: true });
  return [
    ...clusterLines(cluster),
    `  curl -s ${path} | head -c 300`,
    `  npx omgfs --tracker ${cluster.trackers[0]} --domain ${cluster.domain} ls -l`,
  ];
}

function stopwatch(): () => number {
  const startedMs = performance.now();
  return () => (performance.now() - startedMs) / 1000;
}
