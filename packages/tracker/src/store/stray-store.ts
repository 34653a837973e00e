/**
 * Copies of a file that nobody vouches for: whoever wrote them got no answer, or the device gave
 * none when the upload was closed, so that they may be on a disk without being replicas. Kept until
 * a job has looked. In a table of ours, made when it is first needed.
 */

export interface Stray {
  fid: number;
  devid: number;
}

export interface StrayStore {
  /** Notes them for now; what is noted already stays. @throws FAILURE without a table. */
  add(strays: readonly Stray[]): Promise<void>;
  /** Those that are to be looked at now, at most `limit`. */
  due(limit: number): Promise<Stray[]>;
  postpone(stray: Stray, delaySeconds: number): Promise<void>;
  remove(stray: Stray): Promise<void>;
}
