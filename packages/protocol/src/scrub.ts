/**
 * What trackers and storage nodes say to each other about the scrub of a device: a POST of a
 * `ScrubOrder` to its scrub path, answered with a `ScrubAnswer`, both as JSON.
 */

/** Marks the POST of an order. */
export const scrubHeader = 'omgfs-scrub';

/** Where the scrub of a device is asked and steered, relative to the address of its node. */
export function scrubPath(devid: number): string {
  return `/dev${devid}/.omgfs/scrub`;
}

/** Names one finding: the same file may be found again later. */
export interface FindingId {
  /** Relative to the device. */
  name: string;
  /** ISO 8601. */
  at: string;
}

export interface Finding extends FindingId {
  /** `corrupt`: moved to the quarantine; `unreadable`: still where it was. */
  kind: string;
  reason: string;
  /** Where the file is now, relative to the device. */
  quarantine?: string;
  /** What the trackers did about it; undefined while it waits for them. */
  handled?: string;
}

export interface ScrubOrder {
  /** For each device; null is what the node was told by its own options, 0 is to stand still. */
  bytesPerSecond?: number | null;
  /** Findings that nobody needs to see to any more, and what was done. */
  handled?: readonly (FindingId & { outcome: string })[];
  /** Findings that others should come before now. */
  deferred?: readonly FindingId[];
}

export interface ScrubAnswer {
  devid: number;
  /** 0 while it stands still. */
  bytesPerSecond: number;
  /** The file that was looked at last, empty between two rounds. */
  position: string;
  /** Rounds that were finished. */
  rounds: number;
  /** ISO 8601; empty before the first. */
  startedAt: string;
  endedAt: string;
  /** Of this round. */
  totals: { files: number; bytes: number; verified: number; recorded: number };
  /** Findings that wait for the trackers. */
  waiting: number;
  /** The next of them. */
  pending: Finding[];
  /** The newest that were handled. */
  recent: Finding[];
}

export const scrubLimits = {
  /** Findings in an answer, and in each list of an order. */
  findingsMax: 50,
  /** An answer is to be read whole by those who read no more than 64 KiB. */
  findingBytesMax: 40 * 1024,
  orderBytesMax: 256 * 1024,
} as const;
