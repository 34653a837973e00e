/** Claims on rows of the queues: who pushes `nexttry` ahead has the row until then (spec §3.6). */

/**
 * How long a claim of ours lasts when nobody renews it, in seconds: for so long waits what a
 * tracker had in work that dies. What guards a file is the lock of its fid; a claim that ends too
 * soon costs another tracker a look at it.
 */
export const claimSeconds = 15;
/** How long a claim of the original lasts, which renews none, in seconds. */
export const originalClaimSeconds = 1000;

/** A row that somebody claimed. */
export interface Claim {
  readonly fid: number;
  /**
   * The `nexttry` that the claim gave the row, and others while a renewal is on its way; none when
   * the claim was lost or is over. A row that says anything else was enqueued again meanwhile, for
   * a reason the work may not have seen, or is somebody else's by now.
   */
  claims: readonly number[];
}

/** When a row is tried next, and after how many failures. */
export interface Wait {
  /** By the clock of the database, which claims go by too; undefined: when it is enqueued again. */
  delaySeconds: number | undefined;
  failcount: number;
  /** The work broke off, and may have left a copy that nobody knows of. */
  brokeOff?: boolean;
}
