/** Removes a replica that a file has too many, under invariant I2. */
import { underAny } from '../../devices/any-signal.ts';
import type { FileWithReplicas } from '../../store/store.ts';
import type { JobServices } from '../services.ts';
import { askAbout } from './question.ts';
import { isStillOurs } from './still-ours.ts';
import { findReplicaFault } from './verify.ts';

/**
 * Removes one replica. All the others are verified on their devices right before, and it goes only
 * if the policy is content with the verified ones alone; so what cannot be read now counts as lost.
 * @returns why none was removed, or undefined when one was.
 */
export async function trim(
  services: JobServices,
  file: FileWithReplicas,
  signals: readonly AbortSignal[],
): Promise<{ removed: number } | { obstacle: string }> {
  const { fid } = file;
  const verified = await verifiedReplicas(services, file, signals);
  for (const devid of leastWantedFirst(services, file)) {
    const others = verified.filter((other) => other !== devid);
    const { verdict } = askAbout(services, file, { holding: others });
    if (others.length === 0 || (verdict !== 'met' && verdict !== 'over')) continue;
    if (!(await isStillOurs(signals))) return { obstacle: 'stopped' };
    const obstacle = await removeReplica(services, { fid, devid, kept: others });
    return obstacle === undefined ? { removed: devid } : { obstacle };
  }
  const obstacle = 'more copies than wanted, but too few of them can be verified now to remove one';
  return { obstacle };
}

/**
 * Deletes the bytes, then the row. The caller has verified the replicas that are kept.
 * @returns why it was not removed, or undefined when it was.
 */
export async function removeReplica(
  { store, topology, devices, log }: JobServices,
  { fid, devid, kept }: { fid: number; devid: number; kept: readonly number[] },
): Promise<string | undefined> {
  const url = topology.writeUrl({ devid, fid });
  if (url === undefined) return `dev${devid}: its host is unknown`;
  const outcome = await devices.remove(url);
  if (typeof outcome === 'object') return `dev${devid}: ${outcome.failed}`;
  await store.removeReplica({ fid, devid });
  log.info({ fid, devid, kept }, 'replica.trimmed');
  return undefined;
}

/**
 * Those replicas that their devices show right now, by length, or checksum where there is one. When
 * a signal fires, what was not shown yet does not count.
 */
export async function verifiedReplicas(
  { store, topology, devices, slots, log }: JobServices,
  { fid, length, devids }: FileWithReplicas,
  signals: readonly AbortSignal[],
): Promise<number[]> {
  const checksum = await store.findChecksum(fid);
  const readable = devids.filter((devid) => topology.isReadable(devid));
  const checked = await Promise.all(
    readable.map(async (devid) => {
      const url = topology.readUrl({ devid, fid });
      if (url === undefined) return [];
      const bytes = checksum === undefined ? 0 : length;
      const fault = await slots.run({ devids: [devid], bytes, signals }, () =>
        underAny(signals, (signal) => findReplicaFault(devices, { url, length, checksum, signal })),
      );
      if (fault === undefined) return [devid];
      if (signals.some(({ aborted }) => aborted)) return [];
      log.warn({ fid, devid, reason: fault }, 'replica.faulty');
      return [];
    }),
  );
  return checked.flat();
}

/**
 * Replicas that may be deleted: those on devices being emptied first, then the newest device. The
 * order depends on nothing that changes by the minute: should two trackers ever work on one fid,
 * for example because a lock was lost, they take the same replica and never one each (I2).
 */
function leastWantedFirst({ topology }: JobServices, { devids }: FileWithReplicas): number[] {
  const isDraining = (devid: number): number => {
    return topology.device(devid)?.status === 'drain' ? 1 : 0;
  };
  return devids
    .filter((devid) => topology.canDeleteFrom(devid) && topology.isReadable(devid))
    .sort((a, b) => isDraining(b) - isDraining(a) || b - a);
}
