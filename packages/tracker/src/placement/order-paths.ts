/** Orders the replicas of a file for a reader (spec §5.7). Pure; randomness is passed in. */
import { weightedOrder } from './weighted.ts';

export interface ReadableReplica {
  devid: number;
  /** The operator's weight of the device. */
  weight: number;
  /** The device is being emptied: used when nothing else is left. */
  draining: boolean;
  /** I/O utilisation in percent as the side channel sent it, for example `12.5`. */
  utilization: string | undefined;
}

/** Idle devices come out a little above the neutral device weight of 100 (spec §5.7). */
const idleWeight = 102;
/** A device that the operator weighed 0 is still read, but after the others. */
const leastWeight = 1e-6;

/**
 * Devids in the order to try them: idle devices tend to come first, or those with a high weight
 * where utilisation is unknown; draining devices come last.
 */
export function orderPaths(
  replicas: readonly ReadableReplica[],
  { random }: { random: () => number },
): number[] {
  if (replicas.length < 2) return replicas.map(({ devid }) => devid);
  const settled = replicas.filter(({ draining }) => !draining);
  const draining = replicas.filter((replica) => replica.draining);
  return [settled, draining]
    .flatMap((group) => weightedOrder(group, { weightOf: readWeight, random }))
    .map(({ devid }) => devid);
}

function readWeight({ weight, utilization }: ReadableReplica): number {
  // The original takes whole numbers only, so that iostat's decimals never count (§11.1 no. 14).
  if (utilization !== undefined && /^\d+(\.\d+)?$/.test(utilization)) {
    return idleWeight - Math.min(100, Number(utilization));
  }
  return Math.max(leastWeight, weight);
}
