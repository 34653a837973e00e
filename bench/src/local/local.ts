/**
 * A run on a system of its own: private MariaDB, a tracker on it and three storage nodes on
 * loopback, all below one directory that is removed afterwards.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startLocalCluster } from '@omgfs/cli';
import { type RunHooks, runBench } from '../bench.ts';
import { Cleanup } from '../cleanup.ts';
import type { Options } from '../options.ts';
import type { NamedProcess } from '../report/processes.ts';
import type { Report } from '../report/report.ts';
import { startMariaDb } from './mariadb.ts';

const run = promisify(execFile);
const hosts = 3;
const database = 'omgfs_bench';

/** Starts everything, measures and removes it. @throws Error of what does not start. */
export async function runLocal(options: Options, hooks: RunHooks): Promise<Report> {
  const cleanup = new Cleanup();
  try {
    hooks.progress('starting MariaDB, the tracker and the storage nodes');
    const dir = await mkdtemp(join(options.dir ?? tmpdir(), 'omgfs-bench-'));
    cleanup.add(() => rm(dir, { recursive: true, force: true }));
    await leaveDeletedNeighbours(dir);
    const server = await startMariaDb(dir);
    cleanup.add(() => server.stop());
    await server.createDatabase(database);
    const cluster = await startLocalCluster({
      dir: join(dir, 'cluster'),
      hosts,
      devicesPerHost: 1,
      domain: options.domain,
      dsn: `DBI:mysql:${database};host=127.0.0.1;port=${server.port}`,
      dbUser: server.user,
      dbPass: server.password,
      portBase: 0,
    });
    cleanup.add(() => cluster.stop());
    const [host = '', port = ''] = (cluster.trackers[0] ?? '').split(':');
    const processes: NamedProcess[] = [
      ...cluster.trackerDaemons.map(({ pid }) => ({ name: 'tracker', pid: pid ?? 0 })),
      ...cluster.hosts.map(({ pid }) => ({ name: 'storage', pid: pid ?? 0 })),
      { name: 'mariadb', pid: server.pid },
    ];
    const tracker = { host, port: Number(port) };
    const docroots = cluster.hosts.map(({ docroot }) => docroot);
    const mysql = server.uri(database);
    return await runBench({ ...options, tracker, mysql, docroots, nginx: true, processes }, hooks);
  } finally {
    await cleanup.run();
  }
}

/**
 * Lets ext4 put the directories below `dir` into block groups of their own. It passes over inodes
 * that were deleted a short while ago one by one, so that creating a file near the remains of an
 * earlier run costs 600 µs instead of 30 (measured 2026-11-21). Other file systems need nothing.
 */
async function leaveDeletedNeighbours(dir: string): Promise<void> {
  await run('chattr', ['+T', dir]).catch(() => {});
}
