/**
 * Removes copies that nobody vouches for, unless they have become replicas since. A few at a time,
 * because one that is large is compared with the replicas of its file before it goes.
 */
import { fidLock } from '../../store/fid-lock.ts';
import type { Stray } from '../../store/stray-store.ts';
import { Job } from '../job.ts';
import { isStillOurs } from '../replication/still-ours.ts';
import { verifiedReplicas } from '../replication/trim.ts';
import type { JobServices } from '../services.ts';

export interface StraysOptions {
  concurrency: number;
  idleMs: number;
  /** How long a claim lasts when its tracker dies. */
  claimSeconds: number;
}

const busyDelaySeconds = 5;
const openDelaySeconds = 60;
const awayDelaySeconds = 300;
const failedDelaySeconds = 600;
/** A device that hangs is waited for once in a while, not for each of its files. */
const failedPauseMs = 30_000;

export function createStraysJob(services: JobServices, options: StraysOptions): Job<Stray> {
  const { store, log } = services;
  const { claimSeconds } = options;
  const failedAtMs = new Map<number, number>();
  return new Job<Stray>({
    name: 'strays',
    log,
    concurrency: options.concurrency,
    idleMs: options.idleMs,
    claimSeconds,
    claim: (limit) => store.strays.claim(limit, claimSeconds),
    renew: (strays) => store.strays.postpone(strays, claimSeconds),
    putOff: (stray) => store.strays.postpone([stray], failedDelaySeconds),
    work: async (stray, stopping) => {
      const after = await store.withLock(fidLock(stray.fid), (lost) =>
        settle(services, stray, { signals: [lost, stopping], failedAtMs }),
      );
      const delaySeconds = after ?? busyDelaySeconds;
      log.debug({ ...stray, delaySeconds }, 'stray.looked-at');
      if (delaySeconds === 0) await store.strays.remove(stray);
      else await store.strays.postpone([stray], delaySeconds);
      return delaySeconds === 0 ? 0 : 1;
    },
  });
}

/** @returns 0 when nothing is left to do, else after how long to look again, in seconds. */
async function settle(
  services: JobServices,
  { fid, devid }: Stray,
  { signals, failedAtMs }: { signals: readonly AbortSignal[]; failedAtMs: Map<number, number> },
): Promise<number> {
  const { store, topology, devices, log } = services;
  const failedMs = failedAtMs.get(devid) ?? Number.NEGATIVE_INFINITY;
  if (performance.now() - failedMs < failedPauseMs) return failedDelaySeconds;
  const status = topology.device(devid)?.status;
  if (status === undefined || status === 'dead') return 0;
  // It may be closed once more, with this copy.
  if ((await store.findTempfile(fid)) !== undefined) return openDelaySeconds;
  // Only now, because from here on no close makes the copy a replica any more (I2).
  const [file] = await store.filesByFid([fid]);
  if (file?.devids.includes(devid)) return 0;
  const url = topology.writeUrl({ devid, fid });
  if (url === undefined || !topology.canDeleteFrom(devid)) return failedDelaySeconds;
  if (!topology.isReadable(devid)) return awayDelaySeconds;
  // While no replica can be verified, it may be the last copy (I2).
  const verified = file && (await verifiedReplicas(services, file, signals));
  if (verified?.length === 0) return failedDelaySeconds;
  if (!(await isStillOurs(signals))) return busyDelaySeconds;
  const outcome = await devices.remove(url);
  if (typeof outcome === 'object') {
    failedAtMs.set(devid, performance.now());
    return failedDelaySeconds;
  }
  log.info({ fid, devid, outcome }, 'stray.deleted');
  return 0;
}
