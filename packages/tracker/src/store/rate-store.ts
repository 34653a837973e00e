/**
 * How much the jobs of all trackers get through, so that each of them can tell. It is kept in a
 * table of ours, which may be missing: an account that may not create it goes on without.
 */
export interface RateStore {
  /**
   * What the jobs of one tracker get through, in units a second, in place of what it said before;
   * makes the table when it is missing. @throws FAILURE when that is not allowed.
   */
  write(tracker: string, rates: ReadonlyMap<string, number>): Promise<void>;
  /** The sums over all trackers that wrote within the last minute, by job. */
  total(): Promise<Map<string, number>>;
}
