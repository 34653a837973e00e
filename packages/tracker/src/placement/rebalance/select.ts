/** Which devices a rebalance empties and which it fills (spec §7.1). Pure. */
import type { DeviceFilter, RebalancePolicy } from './policy.ts';

export interface RebalanceDevice {
  devid: number;
  hostid: number;
  mbTotal: number | null;
  mbUsed: number | null;
  /** Replicas may be deleted there. */
  deletable: boolean;
  /** It may be given replicas now. */
  takesFiles: boolean;
}

export const bytesPerMb = 2 ** 20;

export function usedBytes({ mbUsed }: RebalanceDevice): number {
  return (mbUsed ?? 0) * bytesPerMb;
}

/** Devids in ascending order. */
export function selectSources(
  policy: RebalancePolicy,
  devices: readonly RebalanceDevice[],
): number[] {
  const sources = devices.filter((one) => one.deletable && passes(policy.from, one));
  return sources.map(({ devid }) => devid).sort((a, b) => a - b);
}

/** Devids; never one that is, was or will be a source of the same run. */
export function selectTargets(
  policy: RebalancePolicy,
  devices: readonly RebalanceDevice[],
  sources: readonly number[],
): number[] {
  const { to } = policy;
  const targets = devices.filter(
    (one) =>
      one.takesFiles &&
      passes(to, one) &&
      !to.notHosts.includes(one.hostid) &&
      !to.notDevices.includes(one.devid) &&
      !sources.includes(one.devid),
  );
  return targets.map(({ devid }) => devid).sort((a, b) => a - b);
}

function passes(filter: DeviceFilter, device: RebalanceDevice): boolean {
  const { hosts, devices } = filter;
  if (hosts.length > 0 && !hosts.includes(device.hostid)) return false;
  if (devices.length > 0 && !devices.includes(device.devid)) return false;
  const { mbTotal, mbUsed } = device;
  const known = mbTotal !== null && mbUsed !== null && mbTotal > 0;
  const used = known ? (100 * mbUsed) / mbTotal : 0;
  return (
    isAbove(used, filter.percentUsed) &&
    isAbove(known ? 100 - used : undefined, filter.percentFree) &&
    isAbove(mbUsed ?? 0, filter.spaceUsed) &&
    isAbove(known ? mbTotal - mbUsed : undefined, filter.spaceFree)
  );
}

function isAbove(value: number | undefined, bound: number | undefined): boolean {
  return bound === undefined || (value !== undefined && value > bound);
}

/** Up to `count` of the values in random order. */
export function shuffled(values: readonly number[], count: number, random: () => number): number[] {
  const left = values.slice();
  const chosen: number[] = [];
  while (left.length > 0 && chosen.length < count) {
    chosen.push(...left.splice(Math.floor(random() * left.length), 1));
  }
  return chosen;
}
