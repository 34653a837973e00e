/** How long a file waits for its next replication after so many failures (spec §5.2). Pure. */
const delaysSeconds = [15, 60, 300, 1800, 3600, 7200, 14_400, 28_800];
const delaySecondsMax = 86_400;

/** Seconds to wait, spread by a fifth either way so that files that failed together part. */
export function replicationDelaySeconds(failcount: number, random: () => number): number {
  return Math.round((delaysSeconds[failcount] ?? delaySecondsMax) * (0.8 + 0.4 * random()));
}
