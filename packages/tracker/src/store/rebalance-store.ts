/**
 * What rebalance and drains keep in the database (spec §3.5, §3.6, §7). The rows `rebal_…` are as
 * trackers of the original keep them, so that they and mogadm read and steer our runs and we
 * theirs; what is beyond them is in rows named `omg_rebal…`, which the original ignores. A move is
 * a row of `file_to_queue` with type 2, `devid` the source, `arg` the list of targets.
 */
import type { DeviceStatus } from '../placement/model.ts';
import type { Claim } from './claim.ts';

/** Names in `server_settings`. */
export const rebalanceField = {
  policy: 'rebal_policy',
  state: 'rebal_state',
  host: 'rebal_host',
  signal: 'rebal_signal',
  /** What we know of a run beyond `rebal_state`, as JSON. */
  own: 'omg_rebal',
  /** Devices that are being emptied, as JSON. */
  drains: 'omg_rebal_drains',
  lease: 'omg_rebal_lease',
  rate: 'queue_rate_for_rebal',
  size: 'queue_size_for_rebal',
  fsckHost: 'fsck_host',
} as const;

export type RebalanceField = (typeof rebalanceField)[keyof typeof rebalanceField];

export interface RebalanceRecords {
  /** Unix seconds by the clock of the database. */
  now: number;
  settings: ReadonlyMap<string, string>;
  /** As stored; a status this version does not know is missing. */
  statuses: ReadonlyMap<number, DeviceStatus>;
}

/** Why a move waits; the number is kept in `file_to_queue.flags`, which the original ignores. */
export const moveReasons = {
  would_worsen: 1,
  no_target: 2,
  source_down: 3,
  copy_error: 4,
  not_verified: 5,
  delete_failed: 6,
  policy_no_suggestions: 7,
  busy: 8,
  error: 9,
} as const;
export type MoveReason = keyof typeof moveReasons;

export interface MoveRow {
  readonly fid: number;
  devid: number;
  /** Devices that may take the copy; empty for any. */
  targets: number[];
}

export interface ClaimedMove extends MoveRow, Claim {
  failcount: number;
  /** Who worked on it last has not said how that ended; its tracker may have died. */
  brokeOff: boolean;
}

/** A file on the device that is emptied. `isFile` is false for one that was deleted. */
export interface FileOnDevice {
  fid: number;
  length: number;
  isFile: boolean;
}

/** All of it is done, in one transaction, or nothing. */
export interface RebalanceChange {
  /** Rows that must still say this; undefined for no row. */
  expect: Partial<Record<RebalanceField, string | undefined>>;
  /** Rows to write; undefined removes one. */
  settings?: Partial<Record<RebalanceField, string | undefined>>;
  /** A device that is in another state by then keeps it. */
  statuses?: readonly { devid: number; from: DeviceStatus; to: DeviceStatus }[];
  /** Moves to queue; a fid that has one keeps it. */
  moves?: readonly MoveRow[];
  /** Devices that nothing is to be moved away from any more; a move in work is not cut off. */
  dropped?: readonly number[];
}

export interface MoveCounts {
  /** Rows of `file_to_queue`. */
  queued: number;
  /** Those among them that failed and wait for their next attempt. */
  waiting: { reason: MoveReason; count: number; nexttry: number; fid: number }[];
}

export interface RebalanceStore {
  records(): Promise<RebalanceRecords>;
  /** @returns false when something else than expected was there: nothing changed. */
  change(change: RebalanceChange): Promise<boolean>;
  /** Takes or renews the lease of the driver. @returns false while another tracker holds it. */
  lease(request: { owner: string; seconds: number }): Promise<boolean>;
  release(owner: string): Promise<void>;

  /** Files on a device in the order of fids, from `after` on, or down from it. */
  filesOn(request: {
    devid: number;
    /** 0 for the start. */
    after: number;
    limit: number;
    newestFirst: boolean;
  }): Promise<FileOnDevice[]>;
  /** Replicas on a device, counted up to `max`. */
  countOn(devid: number, max: number): Promise<number>;
  /** Bytes of the files on each device. Reads all of `file_on`: only on an operator's demand. */
  bytesByDevice(): Promise<Map<number, number>>;

  /** Claims due moves (spec §3.6), of this type only (§11.1 no. 6). */
  claim(request: { limit: number; seconds: number }): Promise<ClaimedMove[]>;
  /** Begins those claims anew that still hold, and notes it in the rows. */
  renew(rows: readonly ClaimedMove[], seconds: number): Promise<void>;
  finish(move: ClaimedMove): Promise<void>;
  putOff(
    move: ClaimedMove,
    wait: { delaySeconds: number; failcount: number; reason: MoveReason },
  ): Promise<void>;
  /** Makes every move due that failed before. */
  hasten(): Promise<void>;
  /** Of one source, or of all. */
  counts(devid?: number): Promise<MoveCounts>;
}
