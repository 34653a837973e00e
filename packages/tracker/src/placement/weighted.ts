/**
 * Weighted random order and the weight of a device for new bytes. Pure; randomness is passed in.
 */
import { limits } from '@omgfs/protocol';

export interface WeighedDevice {
  devid: number;
  hostid: number;
  /** Share that is free, 0–1; 0 also when unknown. */
  freeShare: number;
  /** The operator's weight; 100 is neutral. */
  weight: number;
}

const neutralWeight = 100;

/**
 * How much a device attracts new bytes: its free space, steered by the operator's weight. Weight 0
 * takes no new files or replicas at all; the original reads 0 as 100 and ignores weights for writes
 * (spec §11.1 no. 15). A device of unknown usage attracts nothing, as in the original (§4.4).
 */
export function attraction(device: WeighedDevice): number {
  return (Math.max(0, device.freeShare) * Math.max(0, device.weight)) / neutralWeight;
}

/**
 * The devices that attract most, at most `limits.placementCandidatesMax`, most attractive first.
 */
export function mostAttractive<T extends WeighedDevice>(devices: readonly T[]): T[] {
  return devices
    .filter((device) => attraction(device) > 0)
    .sort((a, b) => attraction(b) - attraction(a))
    .slice(0, limits.placementCandidatesMax);
}

/**
 * A random order in which each position goes to an item with probability proportional to its weight
 * among those left. Weights are positive.
 */
export function weightedOrder<T>(
  items: readonly T[],
  { weightOf, random }: { weightOf: (item: T) => number; random: () => number },
): T[] {
  // Efraimidis and Spirakis: sorting by exponential variates of rate `weight` gives that order.
  const keyed = items.map((item) => ({ item, key: -Math.log(1 - random()) / weightOf(item) }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
