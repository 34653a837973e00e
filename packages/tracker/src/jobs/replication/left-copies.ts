/**
 * Copies that are on a disk without being replicas: whoever made them got no last word, or died
 * before the replica was recorded. They are noted, and another job looks at them.
 */
import type { Stray } from '../../store/stray-store.ts';
import { forEachOf } from '../fsck/slots.ts';
import type { JobServices } from '../services.ts';

/** Devices asked at once for one file. */
const atOnce = 8;

/**
 * After work on a file that broke off, with its tracker or its database: nobody knows which device
 * was being copied to, so all are asked that may have been. The caller holds the lock of the fid.
 */
export async function noteLeftCopies(
  services: Pick<JobServices, 'store' | 'topology' | 'devices' | 'log'>,
  fid: number,
): Promise<void> {
  const { store, topology, devices } = services;
  const [file] = await store.filesByFid([fid]);
  const others = [...topology.devices()].filter(({ devid }) => {
    return topology.canDeleteFrom(devid) && !file?.devids.includes(devid);
  });
  const left: Stray[] = [];
  await forEachOf(others, atOnce, async ({ devid }) => {
    const url = topology.readUrl({ devid, fid });
    // One that is away is asked when it is back.
    const isAsked = url !== undefined && topology.isReadable(devid);
    const size = isAsked ? await devices.size(url, { background: true }) : undefined;
    if (size?.state !== 'missing') left.push({ fid, devid });
  });
  await noteStrays(services, left);
}

/** Without the table for it they stay where they are. */
export async function noteStrays(
  { store, log }: Pick<JobServices, 'store' | 'log'>,
  strays: readonly Stray[],
): Promise<void> {
  if (strays.length === 0) return;
  await store.strays.add(strays).catch((error: unknown) => {
    log.warn({ strays, err: error }, 'stray.unknown');
  });
}
