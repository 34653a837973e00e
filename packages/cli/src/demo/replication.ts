/** Waits until files have their second replica on another host. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { LocalCluster } from '../local-cluster/local-cluster.ts';
import { createProgress } from '../output.ts';
import { inParallel } from '../tree.ts';
import type { SentFile } from './store.ts';

const lookupsAtOnce = 16;
const lookEveryMs = 100;
/** Without one more replicated file in this time something is wrong. */
const standstillMsMax = 60_000;

/**
 * @throws FAILURE when replication stands still, with some of the keys that wait; the reason of the
 * signal.
 */
export async function untilReplicated(
  cluster: LocalCluster,
  client: Client,
  sent: readonly SentFile[],
  signal: AbortSignal,
): Promise<void> {
  const hostOf = new Map(
    cluster.hosts.flatMap(({ name, devids }) => devids.map((devid) => [devid, name] as const)),
  );
  const progress = createProgress({
    label: 'replicating',
    unit: 'items',
    total: sent.length,
    json: false,
  });
  let waiting = sent;
  let progressedAtMs = performance.now();
  try {
    while (waiting.length > 0) {
      const still: SentFile[] = [];
      await inParallel(waiting, { concurrency: lookupsAtOnce }, async (file) => {
        const { devids } = await client.info(file.key, { signal });
        const hosts = new Set(devids.map((devid) => hostOf.get(devid)));
        if (hosts.size < 2) still.push(file);
      });
      progress.add({ items: waiting.length - still.length });
      if (still.length < waiting.length) progressedAtMs = performance.now();
      else if (performance.now() - progressedAtMs > standstillMsMax) throw standstill(still);
      waiting = still;
      if (waiting.length > 0) await delay(lookEveryMs, undefined, { signal });
    }
  } finally {
    progress.stop();
  }
}

function standstill(waiting: readonly SentFile[]): OmgfsError {
  const keys = waiting.slice(0, 10).map(({ key }) => key);
  return new OmgfsError('FAILURE', {
    message: `${waiting.length} files still have no second replica, for example ${keys.join(', ')}`,
  });
}
