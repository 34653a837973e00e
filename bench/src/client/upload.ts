/** Uploads of one large file by the client library beside `curl -T` to the same storage node. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { JobSite } from '../jobs/job-site.ts';
import { type Comparison, compareRates } from './compare.ts';
import { clientOf } from './files.ts';
import { transfer, writeLarge } from './transfer.ts';

const run = promisify(execFile);

/** @param site with one storage node. */
export async function measureUploads(
  site: JobSite,
  { mebibytes, rounds }: { mebibytes: number; rounds: number },
): Promise<Comparison> {
  const file = join(site.dir, 'large');
  await writeLarge(file, mebibytes);
  const [host] = site.cluster.hosts;
  const url = `http://${host?.ip}:${host?.httpPort}/dev${host?.devids[0]}/9/999/999/9999999999.fid`;
  const client = clientOf(site);
  const ours = async () => {
    const { seconds } = await transfer(site, 'put of a file', file);
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
    return await compareRates(about, { ours, bare });
  } finally {
    await client.close();
  }
}
