/**
 * What fsck keeps in the database (spec §3.5, §5.5). The rows of the original are kept as it keeps
 * them, so that its trackers and tools start, stop and read our runs and we theirs; what is beyond
 * it is in rows named `omg_…`, which it ignores.
 *
 * How a run works: one tracker, the holder of the lease, reads the files in the order of fids and
 * looks at them. A file it can vouch for costs nothing more. One that needs a closer look, or that
 * cannot be judged now, becomes a row of `file_to_queue` (type 1), which any tracker works off. The
 * position moves in the transaction that writes those rows, so a crash neither skips nor repeats.
 */
import type { Checksum } from '@omgfs/protocol';
import type { Claim } from './claim.ts';

/** What a fsck finds and does (spec §5.5). */
export type FsckCode =
  | 'NOPA'
  | 'POVI'
  | 'MISS'
  | 'BLEN'
  | 'GONE'
  | 'SRCH'
  | 'FOND'
  | 'REPL'
  | 'BCNT'
  | 'BSUM'
  | 'NSUM'
  | 'MSUM'
  | 'BALG';

/** Only MISS and BLEN name a device. */
export interface FsckEvent {
  code: FsckCode;
  devid?: number;
}

/** A run looks at the files of a domain only, or of a class in it, or below a prefix of keys. */
export interface FsckLimits {
  dmid?: number;
  classid?: number;
  prefix?: string;
}

export interface FsckState {
  /** The tracker a run belongs to; undefined when none runs. */
  host: string | undefined;
  policyOnly: boolean;
  limits: FsckLimits;
  /** All fids up to here were looked at or are queued. */
  position: number;
  /** Where the run ends; later files are none of its business. */
  end: number;
  /** Where the run began or went on. */
  startFid: number;
  /** Files looked at since then. */
  checked: number;
  /** Unix seconds by the clock of the database, as are the next ones; 0 when there is none. */
  startTime: number;
  stopTime: number;
  now: number;
  /** Setting `fsck_checksum`: off, MD5 or SHA-1; undefined leaves it to the classes. */
  checksums: string | undefined;
  skipDevcount: boolean;
  /** How fast it gets on; undefined before the first step, and in a run of the original. */
  pace: FsckPace | undefined;
  /** Settings `queue_rate_for_fsck` and `queue_size_for_fsck`, where they are positive numbers. */
  ratePerSecondMax: number | undefined;
  queueMax: number | undefined;
}

/** Of the time in which the run was driven: not while it rests or waits for another tracker. */
export interface FsckPace {
  /** Since its start. */
  filesPerSecond: number;
  /** Of late. */
  filesPerSecondNow: number;
  /** How fast the position moves of late. */
  fidsPerSecondNow: number;
}

/** A file as a fsck looks at it. */
export interface FsckFile {
  fid: number;
  dmid: number;
  classid: number;
  length: number;
  devcount: number;
  devids: number[];
}

/** A claimed row of the queue. */
export interface FsckRow extends Claim {
  failcount: number;
  /** Its findings are in the log already; only its end is not. */
  reported: boolean;
  /** Its devices are to be asked, also while a run goes on that asks none. */
  asksDevices: boolean;
}

/** A check that waits, for a closer look now or for a device. */
export interface FsckWait {
  fid: number;
  /** Seconds from now. */
  delaySeconds: number;
  /** The device waited for, and why. */
  devid?: number;
  reason?: string;
  failcount?: number;
  reported?: boolean;
  /** As in a row, which keeps it until its end. */
  asksDevices?: boolean;
}

/** What is corrected of a file. All of it is written in one transaction, or nothing. */
export interface FsckChange {
  events: readonly FsckEvent[];
  /** Replicas that are no good; their rows go, their bytes stay. */
  forget: readonly number[];
  /** Where the file was found. */
  found?: number;
  /** Kept if there is none yet. */
  checksum?: Checksum;
  replicate: boolean;
  recount: boolean;
}

/** What came of a closer look. */
export interface FsckRepair extends FsckChange {
  row: FsckRow;
  /** The check is not over; otherwise the row is done with. */
  wait?: FsckWait;
}

export interface FsckLogRow {
  logid: number;
  utime: number;
  fid: number | null;
  evcode: string | null;
  devid: number | null;
}

/** Checks in the queue. */
export interface FsckQueue {
  due: number;
  /** Claimed by a tracker. */
  inWork: number;
  /** Waiting for a device. */
  waiting: number;
}

export interface FsckStore {
  state(): Promise<FsckState>;
  /** @throws FSCK_RUNNING, REBAL_RUNNING. */
  start(host: string): Promise<void>;
  stop(): Promise<void>;
  /**
   * Also while one runs, as in the original: it goes on from the new position, and what its driver
   * has read before is not written any more.
   */
  reset(request: { policyOnly: boolean; position: number; limits: FsckLimits }): Promise<void>;

  /** Findings with a higher id, oldest first. */
  log(request: { after: number; limit: number }): Promise<FsckLogRow[]>;
  /** Counters are kept. */
  clearLog(): Promise<void>;
  /** Findings of this run by code, and the highest id of the log. */
  counts(): Promise<{ byCode: Map<string, number>; logidMax: number }>;

  /**
   * Takes the lease of the run, or renews it. A run belongs to the tracker named by `fsck_host`;
   * that of a tracker of ours is free for others once its lease ran out, and any run is when
   * `abandoned` says that nobody drives it. The taker becomes `fsck_host`.
   */
  lease(request: { owner: string; host: string; abandoned: boolean }): Promise<boolean>;
  /** Lets others have the run at once. */
  release(owner: string): Promise<void>;
  /** The next files above `after`, in bounded time; `upTo` is how far that reaches. */
  range(request: {
    after: number;
    end: number;
    filesMax: number;
    limits: FsckLimits;
  }): Promise<{ files: FsckFile[]; upTo: number }>;
  /**
   * Moves the position and writes what was found on the way; device counts are compared again
   * first. @returns false when the run is no longer ours or was moved meanwhile: nothing changed.
   */
  advance(request: {
    owner: string;
    from: number;
    to: number;
    checked: number;
    /** Time the run was driven since the step before. */
    activeMs: number;
    miscounted: readonly number[];
    waits: readonly FsckWait[];
  }): Promise<boolean>;
  /** Ends the run when it is still ours and where we left it. */
  finish(request: { owner: string; from: number }): Promise<void>;

  /** Files by fid; unknown ones are missing. */
  files(fids: readonly number[]): Promise<FsckFile[]>;
  /** Those of the fids that have a checksum. */
  withChecksum(fids: readonly number[]): Promise<Set<number>>;
  /**
   * Claims due rows as in spec §3.6, of this type only (which fixes §11.1 no. 6), for so many
   * seconds.
   */
  claim(limit: number, seconds: number): Promise<FsckRow[]>;
  /** Begins those claims anew that still hold, and notes it in the rows. */
  renew(rows: readonly FsckRow[], seconds: number): Promise<void>;
  /** Files that are looked at now, beside any run. */
  enqueue(fids: readonly number[]): Promise<void>;
  /** Ends rows in whose files nothing is wrong but the device count of some. */
  settle(request: {
    rows: readonly FsckRow[];
    miscounted: readonly number[];
    waits: readonly FsckWait[];
  }): Promise<void>;
  /** @returns false when the row is claimed by another now: nothing changed. */
  repair(repair: FsckRepair): Promise<boolean>;
  /** As `repair`, for a file that no row of the queue is claimed for. */
  amend(change: FsckChange & { fid: number }): Promise<void>;
  putOff(row: FsckRow, wait: FsckWait): Promise<void>;
  /** Devices that checks wait for. */
  awaitedDevices(): Promise<number[]>;
  /** Checks that wait for a device. */
  waitingFor(devid: number): Promise<number>;
  /** Why checks wait for devices, the most frequent reasons. */
  waitReasons(limit: number): Promise<{ reason: string; count: number }[]>;
  /** Makes the checks due that wait for a device. */
  hasten(devids: readonly number[]): Promise<void>;
  /** Checks due now, counted up to `max`. */
  due(max: number): Promise<number>;
  /** All checks at one moment; the due ones counted up to `dueMax`. */
  queue(request: { dueMax: number }): Promise<FsckQueue>;
}
