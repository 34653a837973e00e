/** The lock that everything that adds or removes replicas of a fid shares (spec §3.7). */
export function fidLock(fid: number): { name: string; waitMs: number } {
  return { name: `mgfs:fid:${fid}:replicate`, waitMs: 1000 };
}
