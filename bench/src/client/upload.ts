/** Uploads of one large file by the client library beside `curl -T` to the same storage node. */
import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { domain, type JobSite } from '../jobs/job-site.ts';
import { type Comparison, compareRates } from './compare.ts';
import { clientOf, oneCopyClass } from './files.ts';

const run = promisify(execFile);
const mebibyte = 1024 * 1024;

export interface UploadRates extends Comparison {
  /** The most that the process of a client held in memory. */
  peakMebibytes: { stored: number; fetched: number };
}

/** What `put-and-get` prints. */
interface Told {
  seconds: number;
  peakBytes: { stored: number; fetched: number };
}

/** @param site with one storage node. */
export async function measureUploads(
  site: JobSite,
  { mebibytes, rounds }: { mebibytes: number; rounds: number },
): Promise<UploadRates> {
  const file = join(site.dir, 'large');
  await writeLarge(file, mebibytes);
  const [host] = site.cluster.hosts;
  const url = `http://${host?.ip}:${host?.httpPort}/dev${host?.devids[0]}/9/999/999/9999999999.fid`;
  const client = clientOf(site);
  const peakMebibytes = { stored: 0, fetched: 0 };
  const ours = async () => {
    const script = fileURLToPath(new URL('../bin/put-and-get.js', import.meta.url));
    const args = [script, domain, site.cluster.trackers[0] ?? '', oneCopyClass, file];
    const { stdout } = await run(process.execPath, args);
    const { seconds, peakBytes } = JSON.parse(stdout) as Told;
    for (const when of ['stored', 'fetched'] as const) {
      peakMebibytes[when] = Math.max(peakMebibytes[when], peakBytes[when] / mebibyte);
    }
    await client.delete('large');
    return mebibytes / seconds;
  };
  const bare = async () => {
    const args = ['-sS', '-f', '-o', '/dev/null', '-w', '%{time_total}', '-T', file, url];
    const { stdout } = await run('curl', args);
    await run('curl', ['-sS', '-f', '-X', 'DELETE', url]);
    return mebibytes / Number(stdout);
  };
  try {
    const about = { name: `upload of ${mebibytes} MiB`, unit: 'MiB', target: 0.8, rounds };
    return { ...(await compareRates(about, { ours, bare })), peakMebibytes };
  } finally {
    await client.close();
  }
}

async function writeLarge(path: string, mebibytes: number): Promise<void> {
  const file = await open(path, 'w');
  const piece = Buffer.alloc(mebibyte, 'a line of text\n');
  for (let at = 0; at < mebibytes; at += 1) await file.write(piece);
  await file.close();
}
