/**
 * A tracker beside a large database: what reaping a dead device does to readers, and the memory it
 * takes while a long queue is worked off. Every file has its three replicas on record, and wants
 * two once the device of the third has died: its policy stays met, and no bytes are needed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Histogram } from '../load/histogram.ts';
import { readCosts } from '../report/processes.ts';
import { domain, hasQueuedCopies, insertFiles, type JobSite, numberOf } from './job-site.ts';

/** Rows that the first INSERT makes; each further statement doubles them. */
const seedRows = 1000;
const readersAtOnce = 4;
/** The reaper waits so long before it takes the first row, in seconds; and some more. */
const graceSeconds = 60;

/** Fills the database up to so many files, each on all devices. */
export async function fillRows(site: JobSite, rows: number): Promise<void> {
  const { sql } = site;
  const devids = site.cluster.hosts.flatMap((host) => host.devids);
  await wantCopies(site, devids.length);
  await insertFiles(site, { first: 1, count: Math.min(seedRows, rows), bytes: 0, devids });
  for (let have = seedRows; have < rows; have *= 2) {
    const more = Math.min(have, rows - have);
    await sql.query(
      `INSERT INTO file (fid, dmid, dkey, length, classid, devcount)
       SELECT fid + ${have}, dmid, CONCAT('bench/', fid + ${have}), 0, 0, devcount
       FROM file WHERE fid <= ${more}`,
    );
    await sql.query(
      `INSERT INTO file_on (fid, devid)
       SELECT fid + ${have}, devid FROM file_on WHERE fid <= ${more}`,
    );
  }
}

async function wantCopies({ tracker }: JobSite, mindevcount: number): Promise<void> {
  await tracker.request('update_class', { domain, class: 'default', mindevcount });
}

export interface Reaping {
  idleP99Ms: number;
  reapingP99Ms: number;
  /** Rows that went meanwhile, a second. */
  reapedPerSecond: number;
  rows: number;
}

/** Latency of `get_paths` before and while the last device is reaped. */
export async function measureReaping(
  site: JobSite,
  options: { rows: number; seconds: number },
): Promise<Reaping> {
  const { rows, seconds } = options;
  const host = site.cluster.hosts.at(-1);
  const devid = host?.devids[0] ?? 0;
  const left = () => numberOf(site, `SELECT COUNT(*) FROM file_on WHERE devid = ${devid}`);
  await readPaths(site, { rows, seconds: seconds / 4 });
  const idleP99Ms = await readPaths(site, { rows, seconds });
  await site.tracker.request('set_state', { host: host?.name ?? '', device: devid, state: 'dead' });
  await wantCopies(site, site.cluster.hosts.length - 1);
  const deadline = performance.now() + graceSeconds * 1000;
  while ((await left()) === rows) {
    if (performance.now() > deadline) throw new Error('the reaper does not begin');
    await delay(500);
  }
  const before = await left();
  const startMs = performance.now();
  const reapingP99Ms = await readPaths(site, { rows, seconds });
  const tookSeconds = (performance.now() - startMs) / 1000;
  const reapedPerSecond = (before - (await left())) / tookSeconds;
  return { idleP99Ms, reapingP99Ms, reapedPerSecond, rows };
}

/** The p99 in milliseconds. */
async function readPaths(
  { tracker }: JobSite,
  { rows, seconds }: { rows: number; seconds: number },
): Promise<number> {
  const latencies = new Histogram();
  const end = performance.now() + seconds * 1000;
  const reader = async () => {
    while (performance.now() < end) {
      const key = `bench/${1 + Math.floor(Math.random() * rows)}`;
      const startMs = performance.now();
      await tracker.request('get_paths', { domain, key, noverify: 1 });
      latencies.record((performance.now() - startMs) * 1000);
    }
  };
  await Promise.all(Array.from({ length: readersAtOnce }, reader));
  return latencies.quantile(0.99) / 1000;
}

export interface Memory {
  files: number;
  queued: number;
  /** The largest resident memory seen, in MiB. */
  trackerMib: number;
  drainSeconds: number;
}

/** Resident memory while a queue of files that need nothing is worked off. */
export async function measureMemory(
  site: JobSite,
  options: { rows: number; queued: number },
): Promise<Memory> {
  const { rows, queued } = options;
  const startMs = performance.now();
  await site.sql.query(
    `INSERT IGNORE INTO file_to_replicate (fid, nexttry)
     SELECT fid, 0 FROM file WHERE fid <= ${queued}`,
  );
  let resident = 0;
  do {
    await delay(250);
    const costs = readCosts([{ name: 'tracker', pid: site.trackerPid }]);
    resident = Math.max(resident, costs.get('tracker')?.residentBytes ?? 0);
  } while ((await hasQueuedCopies(site)) && performance.now() - startMs < 180_000);
  const drainSeconds = (performance.now() - startMs) / 1000;
  return { files: rows, queued, trackerMib: resident / 2 ** 20, drainSeconds };
}
