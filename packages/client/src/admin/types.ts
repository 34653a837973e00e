/** What the admin commands say, as values of the right types. */
import type { Fields, HashType } from '@omgfs/protocol';

export type HostStatus = 'alive' | 'down' | 'dead' | 'readonly';
export type DeviceStatus = HostStatus | 'drain';

export interface ClassInfo {
  name: string;
  /** Copies wanted. */
  mindevcount: number;
  replpolicy: string;
  /** Kind of checksum that is kept; null for none. */
  hashtype: HashType | null;
}

export interface DomainInfo {
  name: string;
  classes: ClassInfo[];
}

export interface ClassChange {
  domain: string;
  name: string;
  mindevcount?: number;
  replpolicy?: string;
  hashtype?: HashType | 'NONE';
}

export interface HostInfo {
  hostid: number;
  name: string;
  status: HostStatus;
  ip: string;
  port: number;
  /** Port for reads when it is another one. */
  getport: number | null;
  altip: string | null;
  altmask: string | null;
}

export interface HostChange {
  name: string;
  ip?: string;
  port?: number;
  /** 0 clears it. */
  getport?: number;
  altip?: string;
  altmask?: string;
  status?: HostStatus;
}

export interface DeviceInfo {
  devid: number;
  host: string;
  status: DeviceStatus;
  /** `writeable`, `readable` or `unreachable`; null when it was not looked at. */
  observed: string | null;
  weight: number;
  mbTotal: number | null;
  mbUsed: number | null;
  mbFree: number | null;
  /** Percent of the time that the disk is busy. */
  utilization: number | null;
}

export interface FsckStatus {
  running: boolean;
  /** Tracker that runs it. */
  host: string | null;
  /** Highest fid that was looked at. */
  position: number;
  /** Fid it ends at. */
  end: number;
  policyOnly: boolean;
  /** Unix seconds by the clock of the tracker. */
  startTime: number | null;
  stopTime: number | null;
  now: number;
  lastLogid: number;
  /** Findings by event code (spec §5.5). */
  events: Record<string, number>;
  /** All fields of the reply: trackers of omgfs say more than those of MogileFS. */
  fields: Fields;
}

export interface FsckEvent {
  logid: number;
  utime: number;
  fid: number;
  evcode: string;
  devid: number | null;
}

export interface WaitReason {
  job: string;
  code: string;
  reason: string;
  /** Files that wait for it. */
  count: number;
}

/** A background job, on all trackers together. */
export interface JobInfo {
  name: string;
  paused: boolean;
  /** Files or rows a second of late. */
  perSecond: number;
}

export interface QueueInfo {
  name: string;
  total: number;
  /** Rows that may be worked on now. */
  due: number;
  /** Rows that somebody works on. */
  working: number;
  /** Rows that wait for an operator. */
  parked: number;
  /** Rows that failed at least once. */
  failed: number;
  oldestDueSeconds: number;
  /** When the next of the waiting rows becomes due; null when none waits. */
  nextInSeconds: number | null;
  /** Whether nobody works it off, by order of an operator. */
  paused: boolean;
  /** Rows a second that the trackers of omgfs got through of late. */
  perSecond: number;
  /** Until it is empty at this rate; null when nothing moves. */
  etaSeconds: number | null;
}

/** A device that is being emptied. */
/** What the node of a device says about reading it again from end to end. */
export interface ScrubInfo {
  devid: number;
  host: string;
  /** `none`: the node offers none. */
  state: 'on' | 'off' | 'none' | 'unreachable';
  bytesPerSecond: number;
  /** The file that was looked at last; empty between two rounds. */
  position: string;
  /** Rounds that were finished. */
  rounds: number;
  /** Looked at in this round. */
  files: number;
  bytes: number;
  etaSeconds: number | null;
  /** Findings that the trackers could not see to yet. */
  waiting: number;
  /** The last finding and what was done, or why nothing is known. */
  message: string;
}

export interface DrainInfo {
  devid: number;
  host: string;
  /** Replicas that are left on it. */
  replicas: number;
  /** Moves that are queued. */
  moves: number;
  /** Uploads that may still end there. */
  uploads: number;
  etaSeconds: number | null;
  /** Nothing depends on it any more: it can be pulled. */
  safe: boolean;
  /** What is left and what blocks, in words. */
  message: string;
}
