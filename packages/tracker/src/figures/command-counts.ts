/** How often each command ran, how long it took and how often it failed: figures for `/metrics`. */

/** Upper ends of the histogram's buckets in seconds; what takes longer is in one more. */
export const bucketSeconds = [0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5] as const;

/** Plain data, because it travels between processes. */
export interface CommandCount {
  command: string;
  /** Answered with an error, whoever is to blame. */
  failed: number;
  /** Time of all together. */
  seconds: number;
  /** By duration, one more than `bucketSeconds`; each is counted in one bucket only. */
  buckets: number[];
}

export class CommandCounts {
  readonly #counts = new Map<string, CommandCount>();

  /** `command` is one of the table or a constant: names that clients make up would never end. */
  add(command: string, { seconds, failed }: { seconds: number; failed: boolean }): void {
    let count = this.#counts.get(command);
    if (count === undefined) {
      count = emptyCount(command);
      this.#counts.set(command, count);
    }
    let bucket = 0;
    while (bucket < bucketSeconds.length && seconds > (bucketSeconds[bucket] ?? 0)) bucket += 1;
    count.buckets[bucket] = (count.buckets[bucket] ?? 0) + 1;
    count.seconds += seconds;
    if (failed) count.failed += 1;
  }

  entries(): CommandCount[] {
    return [...this.#counts.values()];
  }
}

/** Of several processes, the sum for each command. */
export function sumCounts(all: readonly CommandCount[]): CommandCount[] {
  const sums = new Map<string, CommandCount>();
  for (const { command, failed, seconds, buckets } of all) {
    const sum = sums.get(command) ?? emptyCount(command);
    sums.set(command, {
      command,
      failed: sum.failed + failed,
      seconds: sum.seconds + seconds,
      buckets: sum.buckets.map((count, at) => count + (buckets[at] ?? 0)),
    });
  }
  return [...sums.values()];
}

function emptyCount(command: string): CommandCount {
  return { command, failed: 0, seconds: 0, buckets: new Array(bucketSeconds.length + 1).fill(0) };
}
