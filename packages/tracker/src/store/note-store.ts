/**
 * Why the jobs could not finish with a file last, readable from every tracker. It is kept in a
 * table of ours, which may be missing: an account without the right to create it goes on without.
 */
/** A note of `scrub` says what it found of a file, whether or not the file waits for anything. */
export type NotedJob = 'replicate' | 'delete' | 'scrub';

export interface Note {
  fid: number;
  job: NotedJob;
  /** Unix seconds. */
  utime: number;
  code: string;
  /** Half a sentence. */
  reason: string;
}

export interface NoteStore {
  /** Notes about a fid; none where the table is missing. */
  of(fid: number): Promise<Note[]>;
  /** The most frequent reasons to wait, at most `limit`; none where the table is missing. */
  top(limit: number): Promise<(Pick<Note, 'job' | 'code' | 'reason'> & { count: number })[]>;
  /**
   * Replaces what was noted of the same job and fid; makes the table when it is missing.
   * @throws FAILURE when that is not allowed.
   */
  write(notes: readonly Note[]): Promise<void>;
  remove(job: NotedJob, fids: readonly number[]): Promise<void>;
  /** Drops the oldest beyond `max`; with equal times a few more. */
  prune(max: number): Promise<void>;
}
