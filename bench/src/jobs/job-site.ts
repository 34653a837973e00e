/** A system of its own for the measurements of the jobs: MariaDB, a tracker and storage nodes. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createTrackerPool, type TrackerPool } from '@omgfs/client';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import type { Cleanup } from '../cleanup.ts';
import { startMariaDb } from '../local/mariadb.ts';

const run = promisify(execFile);
const database = 'omgfs_jobs';
/** Rows of one INSERT. */
const insertRows = 1000;

export const domain = 'd';

export interface JobSite {
  dir: string;
  cluster: LocalCluster;
  tracker: TrackerPool;
  trackerPid: number;
  mariadbPid: number;
  sql: Connection;
}

/** Starts everything below a fresh directory; `cleanup` ends and removes it. */
export async function startJobSite(
  cleanup: Cleanup,
  options: { dir: string | undefined; hosts: number; extraStorageArgs?: readonly string[] },
): Promise<JobSite> {
  const dir = await mkdtemp(join(options.dir ?? tmpdir(), 'omgfs-jobs-bench-'));
  cleanup.add(() => rm(dir, { recursive: true, force: true }));
  // Without this ext4 searches through recently deleted inodes (see local.ts).
  await run('chattr', ['+T', dir]).catch(() => {});
  const server = await startMariaDb(dir);
  cleanup.add(() => server.stop());
  await server.createDatabase(database);
  const cluster = await startLocalCluster({
    dir: join(dir, 'cluster'),
    hosts: options.hosts,
    devicesPerHost: 1,
    domain,
    dsn: `DBI:mysql:${database};host=127.0.0.1;port=${server.port}`,
    dbUser: server.user,
    dbPass: server.password,
    // A node whose bytes nginx serves needs a port by number.
    portBase: options.extraStorageArgs?.includes('nginx') ? 17_000 : 0,
    extraStorageArgs: options.extraStorageArgs ?? [],
  });
  cleanup.add(() => cluster.stop());
  const tracker = createTrackerPool({ trackers: cluster.trackers, requestTimeoutMs: 30_000 });
  cleanup.add(() => tracker.close());
  const sql = await createConnection(server.uri(database));
  cleanup.add(() => sql.end());
  const trackerPid = cluster.trackerDaemons[0]?.pid ?? 0;
  return { dir, cluster, tracker, trackerPid, mariadbPid: server.pid, sql };
}

/** Rows of `file` and `file_on` for the fids from `first` on, each on all of the devices. */
export async function insertFiles(
  { sql }: JobSite,
  files: { first: number; count: number; bytes: number; devids: readonly number[] },
): Promise<void> {
  const { first, count, bytes, devids } = files;
  for (let at = first; at < first + count; at += insertRows) {
    const last = Math.min(at + insertRows, first + count);
    const fids = Array.from({ length: last - at }, (_, index) => at + index);
    const rows = fids.map((fid) => `(${fid}, 1, 'bench/${fid}', ${bytes}, 0, ${devids.length})`);
    await sql.query(
      `INSERT INTO file (fid, dmid, dkey, length, classid, devcount) VALUES ${rows.join()}`,
    );
    const places = fids.flatMap((fid) => devids.map((devid) => `(${fid}, ${devid})`));
    await sql.query(`INSERT INTO file_on (fid, devid) VALUES ${places.join()}`);
  }
}

/** One number that a query gives. */
export async function numberOf({ sql }: JobSite, query: string): Promise<number> {
  const [rows] = await sql.query<RowDataPacket[]>(query);
  return Number(Object.values(rows[0] ?? {})[0]);
}

/** Costs the server nothing, however many wait. */
export async function hasQueuedCopies(site: JobSite): Promise<boolean> {
  return (await numberOf(site, 'SELECT EXISTS (SELECT 1 FROM file_to_replicate)')) > 0;
}
