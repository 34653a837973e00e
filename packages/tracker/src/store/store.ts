/**
 * The one door to the database. `mysql/` and `sqlite/` implement this interface and pass the same
 * suite. Keys and names are byte strings (latin1 code units 0–255, see protocol/wire.ts).
 *
 * Promises: a resolved write is committed and durable; a rejected write has not happened, or its
 * outcome was looked up first. Deadlocks and lost connections are retried inside where that is
 * safe. Calls marked *batched* that arrive while one of their kind is in flight are carried by the
 * next statement or transaction together; a request that cannot be carried fails alone.
 *
 * Every method throws OmgfsError DB_DOWN when the database cannot be reached.
 */
import type { Checksum } from '@omgfs/protocol';
import type { Device, DeviceStatus, FileClass, Host, HostStatus } from '../placement/model.ts';
import type { Claim, Wait } from './claim.ts';
import type { DescriptionStore } from './description-store.ts';
import type { FsckStore } from './fsck-store.ts';
import type { NoteStore } from './note-store.ts';
import type { RateStore } from './rate-store.ts';
import type { RebalanceStore } from './rebalance-store.ts';
import type { StrayStore } from './stray-store.ts';
import type { UpkeepStore } from './upkeep-store.ts';
import type { UploadStore } from './upload-store.ts';

/** `nexttry` of a row that waits for an operator (spec §3.6). */
export const endOfTime = 2_147_483_647;

/** Everything that trackers keep in memory, read in one go. */
export interface TopologyRows {
  domains: { dmid: number; name: string }[];
  classes: FileClass[];
  hosts: Host[];
  devices: Device[];
  settings: { field: string; value: string }[];
}

export interface FileRow {
  fid: number;
  dmid: number;
  dkey: string;
  length: number;
  classid: number;
  devcount: number;
}

/** A file and where its replicas are, as one lookup returns it. */
export interface FileWithReplicas extends FileRow {
  devids: number[];
}

export interface TempfileRow {
  fid: number;
  /** Unix seconds, by the clock of the database. */
  createtime: number;
  classid: number;
  dmid: number;
  dkey: string;
  devids: number[];
}

export interface OpenRequest {
  dmid: number;
  dkey: string;
  classid: number;
  /** Devices offered to the client; kept so that an abandoned upload can be cleaned up. */
  devids: readonly number[];
  /** A fid the client insists on. */
  fid?: number;
}

export interface CloseRequest {
  fid: number;
  dmid: number;
  dkey: string;
  classid: number;
  /** Devices that hold the verified bytes. */
  devids: readonly number[];
  length: number;
  checksum?: Checksum;
  /**
   * Queue the fid for replication in the same transaction. A class instead: only if that of the
   * file is not like it in the database, because by its policy the devices are enough.
   */
  replicate: boolean | Pick<FileClass, 'mindevcount' | 'replpolicy'>;
  /** Store only when the key stands for this fid then; 0 for a key that is free. */
  replacing?: number | undefined;
  /**
   * Id of the upload in parts that becomes this file in the same transaction; only when it has not
   * become one before. Its table is there.
   */
  upload?: string | undefined;
}

/** `stored`; or why nothing changed. */
export type CloseOutcome =
  | 'stored'
  | 'no_temp_file'
  | 'fid_exists'
  | 'unreg_domain'
  | 'other_file'
  | 'no_upload';

export interface ReplicationRow {
  fid: number;
  nexttry: number;
  fromdevid: number | null;
  failcount: number;
  flags: number;
}

export interface DeletionRow {
  fid: number;
  nexttry: number;
  failcount: number;
}

/** `brokeOff`: who worked on it last has not said how that ended; its tracker may have died. */
export type ClaimedReplication = ReplicationRow & Claim & { brokeOff: boolean };
export type ClaimedDeletion = DeletionRow & Claim;

/** A row of `file_to_queue`: type 1 is fsck, 2 rebalance (spec §3.2). */
export interface QueuedWork {
  fid: number;
  type: number;
  devid: number | null;
  nexttry: number;
  failcount: number;
  flags: number;
  arg: string | null;
}

/** A queue at a glance. */
export interface QueueStats {
  name: 'replicate' | 'delete' | 'fsck' | 'rebalance';
  total: number;
  /** Rows that may be worked on now. */
  due: number;
  /** Rows that somebody has claimed. */
  working: number;
  /** Rows that wait for an operator. */
  parked: number;
  /** Rows that failed at least once. */
  failed: number;
  /** How long the oldest due row has been due. */
  oldestDueSeconds: number;
  /** When the next of the waiting rows becomes due; undefined when none waits. */
  nextInSeconds: number | undefined;
}

/** All rows about one fid; what is undefined has no row. */
export interface FidRecords {
  file: FileWithReplicas | undefined;
  tempfile: TempfileRow | undefined;
  devids: number[];
  checksum: Checksum | undefined;
  replication: ReplicationRow | undefined;
  deletion: DeletionRow | undefined;
  rebalance: QueuedWork | undefined;
  fsck: QueuedWork | undefined;
}

export interface DeviceUsage {
  devid: number;
  mbTotal: number;
  mbUsed: number;
  mbAsof: number;
}

export interface HostFields {
  status?: HostStatus;
  hostip?: string;
  httpPort?: number;
  httpGetPort?: number | null;
  altip?: string | null;
  altmask?: string | null;
}

export interface ClassFields {
  mindevcount?: number;
  /** null clears the policy. */
  replpolicy?: string | null;
  hashtype?: Checksum['type'] | null;
}

export interface FilesStore {
  /**
   * Allocates a fid and records the upload. *Batched.* The fid is above every fid in use (§3.4).
   * @throws FID_IN_USE when `fid` is given and taken; nothing is left behind.
   */
  openTempfile(request: OpenRequest): Promise<number>;
  /** *Batched.* */
  findTempfile(fid: number): Promise<TempfileRow | undefined>;
  /**
   * Makes an upload the current file of its key, in one transaction: claims the tempfile row,
   * inserts the replicas, replaces the key's row, queues the fid it replaces for deletion, keeps
   * the checksum and queues replication (design section 4). *Batched.* Readers see the old or the
   * new version at any time (I3).
   */
  closeTempfile(request: CloseRequest): Promise<CloseOutcome>;
  /**
   * Gives an upload up: claims the tempfile row, notes `devids` as replicas and queues the fid for
   * deletion so that its bytes go away (spec §2.6).
   * @returns false when the row was not there.
   */
  abandonTempfile(request: { fid: number; devids: readonly number[] }): Promise<boolean>;
  /** Tempfile rows created at least `ageSeconds` ago by the database's clock, oldest first. */
  staleTempfiles(request: { ageSeconds: number; limit: number }): Promise<TempfileRow[]>;
  /** Drops a tempfile row whose fid is a current file already. @returns false when it is not. */
  dropClosedTempfile(fid: number): Promise<boolean>;

  /** The file of a key with its replicas. *Batched.* */
  findFile(request: { dmid: number; dkey: string }): Promise<FileWithReplicas | undefined>;
  /** Files with their replicas by fid; unknown fids are missing from the answer. */
  filesByFid(fids: readonly number[]): Promise<FileWithReplicas[]>;
  /** Devices that hold each fid, whether or not it is a current file. */
  replicasOf(fids: readonly number[]): Promise<Map<number, number[]>>;
  findChecksum(fid: number): Promise<Checksum | undefined>;
  /** Every row about a fid, current file or not; never from a replica database. */
  fidRecords(fid: number): Promise<FidRecords>;
  /**
   * Keeps a checksum that was computed of a file's bytes, in place of any before it.
   * @returns false when the file is gone; nothing is kept then.
   */
  saveChecksum(request: { fid: number; checksum: Checksum }): Promise<boolean>;
  /** Rows with fid > `after` in ascending order (spec §2.1 list_fids). */
  filesAfter(request: { after: number; limit: number }): Promise<FileRow[]>;
  /**
   * Keys below a prefix, strictly after `after`, in the order of the index: bytes on schemas of
   * ours, the collation on those MogileFS made. The last key of a page is where the next begins.
   * `caseSensitive` matters only on the latter, whose comparison may ignore case.
   */
  listKeys(request: {
    dmid: number;
    prefix: string;
    after: string;
    limit: number;
    caseSensitive: boolean;
  }): Promise<string[]>;
  /**
   * Removes the key and queues its fid for deletion, in one transaction; with `fid`, only if the
   * key stands for that. @returns false when there was nothing to remove. *Batched.*
   */
  deleteKey(request: { dmid: number; dkey: string; fid?: number | undefined }): Promise<boolean>;
  /** With `replace`, a file of the other key is deleted in the same transaction. */
  renameKey(request: {
    dmid: number;
    from: string;
    to: string;
    replace?: boolean;
  }): Promise<'renamed' | 'unknown_key' | 'key_exists'>;
  /**
   * Gives all keys that begin with `from` a name that begins with `to` instead, in one transaction.
   * With `free` only while no key begins with `to`, whoever else renames.
   * @returns how many. @throws KEY_EXISTS, KEY_TOO_LONG, and TOO_MANY_KEYS for more than `max`.
   */
  renamePrefix(request: {
    dmid: number;
    from: string;
    to: string;
    max: number;
    free?: boolean;
  }): Promise<number>;
  /** Changes the class of a fid and queues it for replication, in one transaction. */
  changeClass(request: { fid: number; classid: number }): Promise<void>;
  /**
   * Records a replica and the device count. When the file is gone by now, the replica is recorded
   * and the fid queued for deletion instead, so that the bytes are not leaked.
   * @returns whether the file still exists.
   */
  addReplica(request: { fid: number; devid: number }): Promise<boolean>;
  /** Forgets a replica and corrects the device count. */
  removeReplica(request: { fid: number; devid: number }): Promise<void>;
}

export interface QueueStore {
  /**
   * Claims due rows for so many seconds by pushing their `nexttry` ahead (§3.6): no two trackers,
   * ours or Perl, get the same row while the claim lasts. Rows come with the `nexttry` they had,
   * smallest first. @param seconds by default `claimSeconds`.
   */
  claimReplications(limit: number, seconds?: number): Promise<ClaimedReplication[]>;
  /** Begins those claims anew that still hold. */
  renewReplications(rows: readonly ClaimedReplication[], seconds?: number): Promise<void>;
  /** Insert-ignore; a row that waits for later, or for an operator, is made due at `nexttry`. */
  enqueueReplication(request: { fid: number; nexttry: number; fromdevid?: number }): Promise<void>;
  /** Removes a row, unless it was enqueued again since it was claimed. *Batched.* */
  finishReplication(row: ClaimedReplication): Promise<void>;
  /** A row that was enqueued again since it was claimed keeps the time it has. */
  postponeReplication(row: ClaimedReplication, wait: Wait): Promise<void>;
  /**
   * Makes rows due now that wait longer than any claim lasts; the others may be in work and are due
   * soon (spec §2.3 replicate_now). @returns how many.
   */
  hastenReplications(): Promise<number>;
  claimDeletions(limit: number, seconds?: number): Promise<ClaimedDeletion[]>;
  renewDeletions(rows: readonly ClaimedDeletion[], seconds?: number): Promise<void>;
  postponeDeletion(row: ClaimedDeletion, wait: Wait): Promise<void>;
  /** Ends the deletion of fids that have no replicas left: queue, checksum and tempfile rows go. */
  finishDeletions(fids: readonly number[]): Promise<void>;
  /**
   * Moves up to `limit` rows of each of the delete queues of old MogileFS into the current one
   * (spec §5.3 "Legacy"). @returns how many; 0 means that there are none left.
   */
  moveLegacyDeletions(limit: number): Promise<number>;
  /** The queues at a glance; reads all of them. */
  queueStats(): Promise<QueueStats[]>;
  /** Replicas that the database knows on a device. */
  countReplicas(devid: number): Promise<number>;
  /** Rows per queue and the oldest `nexttry` among them. */
  queueDepths(): Promise<{ replicate: number; delete: number; tempfile: number }>;
}

export interface TopologyStore {
  loadTopology(): Promise<TopologyRows>;
  /** @throws DOMAIN_EXISTS. @returns dmid. */
  createDomain(name: string): Promise<number>;
  /** @throws DOMAIN_NOT_FOUND, DOMAIN_HAS_FILES, DOMAIN_HAS_CLASSES. */
  deleteDomain(dmid: number): Promise<void>;
  /** Name `default` gets classid 0. @throws CLASS_EXISTS. @returns classid. */
  createClass(request: { dmid: number; name: string } & ClassFields): Promise<number>;
  /** Creates the row of the default class when it is missing. @throws CLASS_NOT_FOUND. */
  updateClass(request: { dmid: number; classid: number } & ClassFields): Promise<void>;
  /** @throws CLASS_NOT_FOUND, CLASS_HAS_FILES. */
  deleteClass(request: { dmid: number; classid: number }): Promise<void>;
  /**
   * One statement: a refused host leaves nothing. @throws HOST_EXISTS, DUPLICATE. @returns hostid.
   */
  createHost(
    request: { hostname: string; hostip: string; httpPort: number } & HostFields,
  ): Promise<number>;
  /** @throws HOST_NOT_FOUND, DUPLICATE. */
  updateHost(request: { hostid: number } & HostFields): Promise<void>;
  /** @throws HOST_NOT_FOUND, HOST_NOT_EMPTY. */
  deleteHost(hostid: number): Promise<void>;
  /** @throws EXISTING_DEVID. */
  createDevice(request: { devid: number; hostid: number; status: DeviceStatus }): Promise<void>;
  /** @throws NO_DEVICE. */
  setDeviceStatus(request: { devid: number; status: DeviceStatus }): Promise<void>;
  /** @throws NO_DEVICE. */
  setDeviceWeight(request: { devid: number; weight: number }): Promise<void>;
  setDeviceUsage(usage: readonly DeviceUsage[]): Promise<void>;
  /** Read from the database, not from a cache. */
  findSetting(field: string): Promise<string | undefined>;
  listSettings(): Promise<{ field: string; value: string }[]>;
  /** An undefined value deletes the row. */
  setSetting(request: { field: string; value: string | undefined }): Promise<void>;
}

export interface LockStore {
  /**
   * Runs `work` while holding a cluster-wide lock of spec §3.7. Its signal fires when the lock was
   * lost with the connection or lease: long work should stop then.
   * @returns undefined when the lock was not obtained within `waitMs`.
   */
  withLock<T>(
    request: { name: string; waitMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T | undefined>;
}

export interface Store extends FilesStore, QueueStore, TopologyStore, LockStore {
  readonly engine: 'mysql' | 'sqlite';
  /** Keys are compared and ordered byte by byte. Not so on schemas that MogileFS made. */
  readonly exactKeys: boolean;
  readonly fsck: FsckStore;
  readonly rebalance: RebalanceStore;
  readonly notes: NoteStore;
  readonly rates: RateStore;
  readonly descriptions: DescriptionStore;
  readonly uploads: UploadStore;
  readonly strays: StrayStore;
  readonly upkeep: UpkeepStore;
  /** Resolves when the database answers. */
  ping(): Promise<void>;
  /** Ends all connections; calls in progress may fail. */
  close(): Promise<void>;
}

/** What a cache of paths beside the database must not answer any more. */
export interface ChangedPaths {
  keys?: readonly { dmid: number; dkey: string }[];
  fids?: readonly number[];
}

export interface PathCache {
  readonly active: boolean;
  /** Resolves when it is done or given up; never rejects. */
  forget(changed: ChangedPaths): Promise<void>;
}

export interface StoreOptions {
  /** Copies wanted by the implicit default class (`default_mindevcount`). */
  mindevcountDefault: number;
  /** Told of changes before they are answered. */
  pathCache?: PathCache;
}
