/**
 * Chooses the devices for a new file (spec §5.7): weighted by free space, and spread over hosts.
 * Pure; the caller passes devices that get new files and the randomness.
 */
import { attraction, mostAttractive, type WeighedDevice, weightedOrder } from './weighted.ts';

export interface Candidate extends WeighedDevice {
  mbTotal: number | null;
  mbUsed: number | null;
}

const bytesPerMb = 1024 * 1024;

/**
 * Up to `count` devices, best first, each on a host of its own as long as there are enough hosts
 * (the original compares device ids with host ids, spec §11.1 no. 2). With `sizeBytes` above 0 only
 * devices that have more free.
 * @returns devids; none when nothing can take the file.
 */
export function chooseDestinations(
  candidates: readonly Candidate[],
  options: { count: number; sizeBytes?: number; random: () => number },
): number[] {
  const { count, random } = options;
  const sizeBytes = options.sizeBytes ?? 0;
  let left = candidates.filter((device) => sizeBytes === 0 || freeBytes(device) > sizeBytes);
  const usedHosts = new Set<number>();
  const chosen: number[] = [];
  while (chosen.length < count) {
    const elsewhere = mostAttractive(left.filter(({ hostid }) => !usedHosts.has(hostid)));
    const pool = elsewhere.length > 0 ? elsewhere : mostAttractive(left);
    const [next] = weightedOrder(pool, { weightOf: attraction, random });
    if (next === undefined) break;
    chosen.push(next.devid);
    usedHosts.add(next.hostid);
    left = left.filter((device) => device !== next);
  }
  return chosen;
}

function freeBytes({ mbTotal, mbUsed }: Candidate): number {
  return mbTotal === null || mbUsed === null ? 0 : (mbTotal - mbUsed) * bytesPerMb;
}
