/** Large files moved by the client library, each in a process of its own. */
import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { domain, type JobSite } from '../jobs/job-site.ts';
import { oneCopyClass } from './files.ts';

const run = promisify(execFile);
const mebibyte = 1024 * 1024;

export type Way = 'put of a file' | 'put of a stream' | 'get to a file' | 'get to a digest';
const ways: Way[] = ['put of a file', 'put of a stream', 'get to a file', 'get to a digest'];

export interface Transfer {
  seconds: number;
  /** Of the client alone. */
  cpuSeconds: number;
  /** The most memory that its process ever held. */
  peakBytes: number;
}

export async function transfer(site: JobSite, way: Way, file: string): Promise<Transfer> {
  const script = fileURLToPath(new URL('../bin/transfer.js', import.meta.url));
  const args = [script, way, domain, site.cluster.trackers[0] ?? '', oneCopyClass, file];
  const { stdout } = await run(process.execPath, args);
  return JSON.parse(stdout) as Transfer;
}

export interface Memory extends Transfer {
  way: Way;
  mebibytes: number;
}

/** Every way for every size; the file of a size is there only meanwhile. */
export async function measureMemory(
  site: JobSite,
  sizesMebibytes: readonly number[],
): Promise<Memory[]> {
  const measured: Memory[] = [];
  for (const mebibytes of sizesMebibytes) {
    const file = join(site.dir, 'large');
    await writeLarge(file, mebibytes);
    for (const way of ways) {
      const target = way === 'get to a file' ? join(site.dir, 'fetched') : file;
      measured.push({ way, mebibytes, ...(await transfer(site, way, target)) });
    }
    await Promise.all(['large', 'fetched'].map((name) => rm(join(site.dir, name))));
  }
  return measured;
}

export function memoryLine({ way, mebibytes, peakBytes, cpuSeconds }: Memory): string {
  const peak = peakBytes / mebibyte;
  const cpu = ((cpuSeconds * 1024) / mebibytes).toFixed(2);
  const verdict = peak < 100 ? '' : '  MISS';
  return (
    `memory, ${way} of ${mebibytes} MiB: ${peak.toFixed(0)} MiB at most, target < 100${verdict}; ` +
    `${cpu} s of processor time a GiB`
  );
}

export async function writeLarge(path: string, mebibytes: number): Promise<void> {
  const file = await open(path, 'w');
  const piece = Buffer.alloc(mebibyte, 'a line of text\n');
  for (let at = 0; at < mebibytes; at += 1) await file.write(piece);
  await file.close();
}
