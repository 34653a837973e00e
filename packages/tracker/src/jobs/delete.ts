/**
 * Deletes the bytes of fids that were deleted, replaced or given up (spec §5.3). A fid stays queued
 * until each of its replicas is gone; one that cannot be deleted now waits, with a reason in the
 * log.
 */

import { fidLock } from '../store/fid-lock.ts';
import type { ClaimedDeletion } from '../store/store.ts';
import { Job } from './job.ts';
import type { Notes } from './notes.ts';
import type { JobServices } from './services.ts';

export interface DeleteOptions {
  concurrency: number;
  idleMs: number;
  /** How long a claim lasts when its tracker dies. */
  claimSeconds: number;
  notes: Notes;
  /** Reads the topology again; resolves with a reading that began after the call. */
  reloadTopology: () => Promise<void>;
}

/** Why a replica stays for now, and for how long at least. */
interface Obstacle {
  reason: string;
  delaySeconds: number;
}

const busyDelaySeconds = 1;
const errorDelaySeconds = 15;
const liveDelaySeconds = 86_400;

export function createDeleteJob(
  services: JobServices,
  options: DeleteOptions,
): Job<ClaimedDeletion> {
  const { store, log } = services;
  const { claimSeconds } = options;
  return new Job<ClaimedDeletion>({
    name: 'delete',
    log,
    concurrency: options.concurrency,
    idleMs: options.idleMs,
    claimSeconds,
    claim: (limit) => store.claimDeletions(limit, claimSeconds),
    renew: (rows) => store.renewDeletions(rows, claimSeconds),
    putOff: (row) => postpone(row, { delaySeconds: errorDelaySeconds, failures: 1 }),
    work: async (row) => {
      const { fid, failcount } = row;
      const waiting = await store.withLock(fidLock(fid), async () => {
        const obstacle = await deleteReplicas(services, options, row);
        if (obstacle === undefined) {
          options.notes.settled('delete', row);
          return 0;
        }
        log.warn({ fid, failcount, ...obstacle }, 'deletion.postponed');
        const code = 'cannot_delete';
        options.notes.failed('delete', fid, { code, reason: obstacle.reason });
        await postpone(row, { delaySeconds: obstacle.delaySeconds, failures: 1 });
        return 1;
      });
      if (waiting !== undefined) return waiting;
      await postpone(row, { delaySeconds: busyDelaySeconds, failures: 0 });
      return 1;
    },
  });

  function postpone(
    row: ClaimedDeletion,
    by: { delaySeconds: number; failures: number },
  ): Promise<void> {
    const { delaySeconds, failures } = by;
    return store.postponeDeletion(row, { delaySeconds, failcount: row.failcount + failures });
  }
}

/** @returns what is in the way, the soonest to try again if there are several. */
async function deleteReplicas(
  services: JobServices,
  options: DeleteOptions,
  row: ClaimedDeletion,
): Promise<Obstacle | undefined> {
  const { store } = services;
  const { fid } = row;
  // A row for a current file is the trace of a defect, for example that of spec §11.1 no. 25 (I2).
  const [live] = await store.filesByFid([fid]);
  if (live !== undefined) {
    return { reason: 'the fid is a current file', delaySeconds: liveDelaySeconds };
  }
  const devids = (await store.replicasOf([fid])).get(fid) ?? [];
  const outcomes = await Promise.all(
    devids.map((devid) => deleteReplica(services, options, { ...row, devid })),
  );
  const obstacles = outcomes.filter((outcome) => outcome !== undefined);
  if (obstacles.length === 0) {
    await store.finishDeletions([fid]);
    return undefined;
  }
  return obstacles.reduce((soonest, other) =>
    other.delaySeconds < soonest.delaySeconds ? other : soonest,
  );
}

/** Deletes one replica and its row. @returns why not, if not. */
async function deleteReplica(
  { store, topology, devices, log }: JobServices,
  { reloadTopology }: DeleteOptions,
  { fid, devid, failcount }: ClaimedDeletion & { devid: number },
): Promise<Obstacle | undefined> {
  // Another tracker may have created the device a moment ago.
  if (topology.device(devid) === undefined) await reloadTopology();
  const device = topology.device(devid);
  const url = topology.writeUrl({ devid, fid });
  if (device === undefined || device.status === 'dead') {
    // Of an unknown device nobody can ever delete anything (spec §11.1 no. 10).
    if (device === undefined) log.warn({ fid, devid }, 'replica.device_unknown');
    await store.removeReplica({ fid, devid });
    return undefined;
  }
  if (url === undefined || !topology.canDeleteFrom(devid)) {
    const reason = `the status of dev${devid} or its host allows no deletes`;
    return { reason, delaySeconds: 3600 * (1 + failcount) };
  }
  // A full device cannot be written, and deleting is what it needs.
  if (!topology.isReadable(devid)) {
    return { reason: `dev${devid} cannot be reached`, delaySeconds: 60 * (10 + failcount) };
  }
  const outcome = await devices.remove(url);
  if (typeof outcome === 'object') {
    const reason = `dev${devid}: ${outcome.failed}`;
    return { reason, delaySeconds: 1800 * (1 + failcount) };
  }
  await store.removeReplica({ fid, devid });
  log.debug({ fid, devid, outcome }, 'replica.deleted');
  return undefined;
}
