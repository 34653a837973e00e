/**
 * What depends on a device, and whether it can be pulled: one rule for devices that are drained and
 * for all others.
 */
import { type DeviceStatus, deviceRules } from '../../placement/model.ts';
import type { MoveCounts } from '../../store/rebalance-store.ts';
import type { CommandServices } from '../services.ts';

export interface DeviceUse {
  replicas: number;
  /** Moves away from it that are queued. */
  moves: MoveCounts;
  /** Open uploads that may end on it. */
  uploads: number;
}

/** More are not counted. */
export const replicasMax = 1_000_000;
const uploadsMax = 10_000;

/** Read before `useOf`: an upload that is closed in between is then counted twice, not missed. */
export async function uploadCounts({ store }: Pick<CommandServices, 'store'>) {
  const uploads = await store.staleTempfiles({ ageSeconds: 0, limit: uploadsMax });
  return (devid: number): number => {
    // Those beyond the limit may end anywhere.
    if (uploads.length >= uploadsMax) return uploadsMax;
    return uploads.filter(({ devids }) => devids.includes(devid)).length;
  };
}

export async function useOf(
  { store }: Pick<CommandServices, 'store'>,
  devid: number,
  uploadsOn: (devid: number) => number,
): Promise<DeviceUse> {
  const moves = await store.rebalance.counts(devid);
  // Counted after the queue: a move that ends in between is then seen in neither.
  const replicas = await store.rebalance.countOn(devid, replicasMax);
  return { replicas, moves, uploads: uploadsOn(devid) };
}

/**
 * `soon`: as soon as every tracker knows of its state, which another may not yet have read when it
 * begins an upload. `not_yet`: it is empty, but its state lets files in, whatever keeps them off
 * at the moment: a full disk, a host that is down.
 */
export type PullVerdict = 'now' | 'soon' | 'not_yet' | 'in_use';

export function pullVerdict(
  { topology, settleSeconds }: Pick<CommandServices, 'topology' | 'settleSeconds'>,
  device: { devid: number; status: DeviceStatus | undefined },
  { replicas, moves, uploads }: DeviceUse,
): PullVerdict {
  const { devid, status } = device;
  if (replicas > 0 || moves.queued > 0 || uploads > 0) return 'in_use';
  if (status === undefined || deviceRules[status].newFiles) return 'not_yet';
  return topology.hasKept({ devid, status, seconds: settleSeconds }) ? 'now' : 'soon';
}
