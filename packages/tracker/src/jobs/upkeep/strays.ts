/**
 * Removes copies that nobody vouched for when their upload was closed, unless they have become
 * replicas since. Two trackers that do so at once only do it twice, one after the other.
 */
import { fidLock } from '../../store/fid-lock.ts';
import type { Stray } from '../../store/stray-store.ts';
import { verifiedReplicas } from '../replication/trim.ts';
import type { JobServices } from '../services.ts';

const rowsPerStep = 50;
const busyDelaySeconds = 5;
const openDelaySeconds = 60;
const awayDelaySeconds = 30;
const failedDelaySeconds = 600;

export class Strays {
  readonly #services: JobServices;
  readonly #stopping: AbortSignal;

  constructor(services: JobServices, stopping: AbortSignal) {
    this.#services = services;
    this.#stopping = stopping;
  }

  async step(): Promise<void> {
    const { store } = this.#services;
    // A device that hangs is waited for once, not for each of its files.
    const failed = new Set<number>();
    for (const stray of await store.strays.due(rowsPerStep)) {
      if (this.#stopping.aborted) return;
      const settle = (lost: AbortSignal) => this.#settle(stray, { lost, failed });
      const after = await store.withLock(fidLock(stray.fid), settle);
      const delaySeconds = after ?? busyDelaySeconds;
      if (delaySeconds === 0) await store.strays.remove(stray);
      else await store.strays.postpone(stray, delaySeconds);
    }
  }

  /** @returns 0 when nothing is left to do, else after how long to look again, in seconds. */
  async #settle(
    { fid, devid }: Stray,
    { lost, failed }: { lost: AbortSignal; failed: Set<number> },
  ): Promise<number> {
    if (failed.has(devid)) return failedDelaySeconds;
    const { store, topology, devices, log } = this.#services;
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
    const signals = [lost, this.#stopping];
    const verified = file && (await verifiedReplicas(this.#services, file, signals));
    if (signals.some(({ aborted }) => aborted)) return busyDelaySeconds;
    if (verified?.length === 0) return failedDelaySeconds;
    const outcome = await devices.remove(url);
    if (typeof outcome === 'object') {
      failed.add(devid);
      return failedDelaySeconds;
    }
    log.info({ fid, devid, outcome }, 'stray.deleted');
    return 0;
  }
}
