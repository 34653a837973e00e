/** What reaping and healing ask of the database (spec §5.4, design section 6). */
export interface UpkeepStore {
  /**
   * Takes up to `limit` replicas of a dead device off the books: each file is queued for
   * replication and then forgotten there, in one transaction. A device that is not dead any more
   * loses nothing. @returns how many; 0 when none is left.
   */
  reap(request: { devid: number; limit: number }): Promise<number>;
  /** Replications that wait, except new and parked ones, counted up to `max`. */
  waitingReplications(max: number): Promise<number>;
  /** Fids with a replica on a device, above `after`, ascending. */
  fidsOn(request: { devid: number; after: number; limit: number }): Promise<number[]>;
  /** Queues fids for replication in `delaySeconds`; those already queued keep the earlier time. */
  enqueueReplications(fids: readonly number[]): Promise<void>;
  /**
   * Notes how far a walk got, in `server_settings`; undefined ends it. @returns false when the
   * setting does not say `from` any more: nothing changed.
   */
  moveSweep(request: { field: string; from: string; to: string | undefined }): Promise<boolean>;
  /** Makes deletions due now that wait for one of the devices. */
  hastenDeletions(devids: readonly number[]): Promise<void>;
}
