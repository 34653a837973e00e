/** Files of one copy for the measurements of the client: who reads them, reads them all evenly. */
import { randomBytes } from 'node:crypto';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { domain, type JobSite } from '../jobs/job-site.ts';

/** Without further copies, whose making would disturb the measurements. */
export const oneCopyClass = 'one';

export async function createOneCopyClass({ cluster }: JobSite): Promise<void> {
  const admin = createAdmin({ trackers: cluster.trackers });
  try {
    await admin.createClass({ domain, name: oneCopyClass, mindevcount: 1 });
  } finally {
    await admin.close();
  }
}

/** @returns the keys. */
export async function storeFiles(
  site: JobSite,
  { count, bytes }: { count: number; bytes: number },
): Promise<string[]> {
  const client = clientOf(site);
  const keys = Array.from({ length: count }, (_, at) => `bench/${bytes}/${at}`);
  const left = keys.values();
  const body = randomBytes(bytes);
  const store = async () => {
    for (const key of left) await client.put(key, body, { class: oneCopyClass });
  };
  try {
    await Promise.all(Array.from({ length: 16 }, store));
  } finally {
    await client.close();
  }
  return keys;
}

export function clientOf(site: JobSite, options: { connectionsMax?: number } = {}): Client {
  return createClient({ trackers: site.cluster.trackers, domain, ...options });
}
