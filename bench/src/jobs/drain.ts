/**
 * How fast a backlog of files gets its second copies, beside one process that copies the same
 * files from one directory to another, synced and renamed, as many at a time.
 */
import { copyFile, link, mkdir, open, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fidPath } from '@omgfs/protocol';
import { readCosts } from '../report/processes.ts';
import { hasQueuedCopies, insertFiles, type JobSite, numberOf } from './job-site.ts';

const copiesAtOnce = 16;
const pollMs = 50;

export interface DrainRound {
  /** Files a second. */
  drain: number;
  bare: number;
  /** Processor time of a file in microseconds, of each process and of a bare copy. */
  costs: Record<string, number>;
}

/** The backlog of every round has files of its own, which are links to those of the first. */
export async function measureDrain(
  site: JobSite,
  options: { files: number; bytes: number; rounds: number },
): Promise<DrainRound[]> {
  const { files } = options;
  const [source] = site.cluster.hosts;
  const [devid = 0] = source?.devids ?? [];
  const pathOf = (fid: number) => join(source?.docroot ?? '', fidPath(devid, fid));
  const fids = Array.from({ length: files }, (_, index) => index + 1);
  const body = Buffer.alloc(options.bytes, 'x');
  await atOnce(fids, async (fid) => {
    await mkdir(dirname(pathOf(fid)), { recursive: true });
    await writeFile(pathOf(fid), body);
  });
  const rounds: DrainRound[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const first = 1 + round * files;
    if (round > 0) {
      await atOnce(fids, async (fid) => {
        const path = pathOf(first + fid - 1);
        await mkdir(dirname(path), { recursive: true });
        await link(pathOf(fid), path);
      });
    }
    await insertFiles(site, { first, count: files, bytes: options.bytes, devids: [devid] });
    const before = costsOf(site);
    const bare = await rateOf(files, () => copyAll(site, { fids, pathOf, round }));
    const between = costsOf(site);
    const drain = await rateOf(files, () => drainAll(site, { first, files }));
    const after = costsOf(site);
    const costs: Record<string, number> = {};
    for (const name of after.keys()) {
      const [from, to] = name === 'bare copy' ? [before, between] : [between, after];
      costs[name] = (((to.get(name) ?? 0) - (from.get(name) ?? 0)) * 1000) / files;
    }
    rounds.push({ drain, bare, costs });
  }
  return rounds;
}

/** Processor time so far, in milliseconds. */
function costsOf({ cluster, trackerPid, mariadbPid }: JobSite): Map<string, number> {
  const [from, to] = cluster.hosts;
  const costs = readCosts([
    { name: 'target', pid: to?.pid ?? 0 },
    { name: 'source', pid: from?.pid ?? 0 },
    { name: 'tracker', pid: trackerPid },
    { name: 'mariadb', pid: mariadbPid },
    { name: 'bare copy', pid: process.pid, alone: true },
  ]);
  return new Map([...costs].map(([name, { cpuMs }]) => [name, cpuMs]));
}

async function rateOf(files: number, work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (files * 1000) / (performance.now() - startMs);
}

async function copyAll(
  { dir }: JobSite,
  { fids, pathOf, round }: { fids: number[]; pathOf: (fid: number) => string; round: number },
): Promise<void> {
  const target = join(dir, `bare${round}`);
  // As many files in a directory as a storage node has there.
  const directoryOf = (fid: number) => join(target, String(Math.floor(fid / 1000)));
  for (const directory of new Set(fids.map(directoryOf))) {
    await mkdir(directory, { recursive: true });
  }
  await atOnce(fids, async (fid) => {
    const path = join(directoryOf(fid), String(fid));
    await copyFile(pathOf(fid), `${path}.tmp`);
    const file = await open(`${path}.tmp`, 'r+');
    await file.datasync();
    await file.close();
    await rename(`${path}.tmp`, path);
  });
}

async function drainAll(
  site: JobSite,
  { first, files }: { first: number; files: number },
): Promise<void> {
  await site.sql.query(
    `INSERT INTO file_to_replicate (fid, nexttry)
     SELECT fid, 0 FROM file WHERE fid BETWEEN ${first} AND ${first + files - 1}`,
  );
  await site.tracker.request('replicate_now');
  while (await hasQueuedCopies(site)) await delay(pollMs);
  const copied = await numberOf(
    site,
    `SELECT COUNT(*) FROM file
     WHERE devcount = 2 AND fid BETWEEN ${first} AND ${first + files - 1}`,
  );
  if (copied !== files) throw new Error(`${copied} of ${files} files have a second copy`);
}

async function atOnce(fids: readonly number[], work: (fid: number) => Promise<void>) {
  const left = fids.values();
  const worker = async () => {
    for (const fid of left) await work(fid);
  };
  await Promise.all(Array.from({ length: copiesAtOnce }, worker));
}
