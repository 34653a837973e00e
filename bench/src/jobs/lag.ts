/** How long a file that was just stored waits for its second copy, at a steady rate. */
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@omgfs/client';
import type { RowDataPacket } from 'mysql2/promise';
import { Histogram } from '../load/histogram.ts';
import { domain, type JobSite } from './job-site.ts';

/** How exactly a lag is known. */
const pollMs = 20;

export interface Lag {
  /** Files a second that were really stored. */
  rate: number;
  p50Ms: number;
  p99Ms: number;
  files: number;
}

export async function measureLag(
  site: JobSite,
  options: { rate: number; seconds: number; bytes: number },
): Promise<Lag> {
  const client = createClient({ trackers: site.cluster.trackers, domain });
  const waiting = new Map<number, number>();
  const lags = new Histogram();
  const body = Buffer.alloc(options.bytes, 'x');
  const startMs = performance.now();
  let storing = true;
  const store = async (number: number) => {
    const { fid } = await client.put(`lag/${number}`, body);
    waiting.set(fid, performance.now());
  };
  const load = async () => {
    const puts: Promise<void>[] = [];
    const count = Math.floor(options.rate * options.seconds);
    for (let number = 0; number < count; number += 1) {
      // Each has its time, whether the one before is stored or not.
      const waitMs = startMs + (number * 1000) / options.rate - performance.now();
      if (waitMs > 1) await delay(waitMs);
      puts.push(store(number));
    }
    await Promise.all(puts);
    storing = false;
    return count / ((performance.now() - startMs) / 1000);
  };
  const watch = async () => {
    while (storing || waiting.size > 0) {
      await delay(pollMs);
      if (waiting.size === 0) continue;
      const [rows] = await site.sql.query<RowDataPacket[]>(
        'SELECT fid FROM file WHERE devcount >= 2 AND fid IN (?)',
        [[...waiting.keys()]],
      );
      const nowMs = performance.now();
      for (const { fid } of rows) {
        lags.record((nowMs - (waiting.get(Number(fid)) ?? nowMs)) * 1000);
        waiting.delete(Number(fid));
      }
    }
  };
  try {
    const [rate] = await Promise.all([load(), watch()]);
    const ms = (share: number) => lags.quantile(share) / 1000;
    return { rate, p50Ms: ms(0.5), p99Ms: ms(0.99), files: lags.count };
  } finally {
    await client.close();
  }
}
