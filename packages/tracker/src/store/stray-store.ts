/**
 * Copies of a file that nobody vouches for: whoever wrote or ordered them got no answer, or the
 * device gave none when the upload was closed, so that they may be on a disk without being
 * replicas. Kept until a job has looked. In a table of ours, made when it is first needed.
 */

export interface Stray {
  fid: number;
  devid: number;
}

export interface StrayStore {
  /** Notes them for now; what is noted already stays. @throws FAILURE without a table. */
  add(strays: readonly Stray[]): Promise<void>;
  /** Takes those that are to be looked at now, for so many seconds. */
  claim(limit: number, seconds: number): Promise<Stray[]>;
  postpone(strays: readonly Stray[], delaySeconds: number): Promise<void>;
  remove(stray: Stray): Promise<void>;
}
