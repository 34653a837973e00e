/**
 * One device directory and what the node thinks of it. A request is let through only while the
 * disk in the slot is known to be the right one (I6); that is looked at again at least every
 * second while there are requests, and after every file that was not found.
 */
import type { StatsFs } from 'node:fs';
import { settleAsides } from '../dav/asides.ts';
import { DigestLog } from '../integrity/digest-log.ts';
import type { Log } from '../log.ts';
import { Directories } from './directories.ts';
import { refusal } from './failures.ts';
import { errnoOf, makeDirectories, realpath, stat, statfs } from './files.ts';
import { HotFiles } from './hot-files.ts';
import { type Identity, identityStamp, readIdentity, writeIdentity } from './identity.ts';
import { createFileSync, type FileSync, type SyncMode } from './io/file-sync.ts';
import { inTime } from './io/in-time.ts';
import { KeptFiles, type KeptShare } from './io/kept-files.ts';
import { Lane } from './io/lane.ts';
import type { Runner } from './io/runner.ts';
import { SmallFiles, type ThreadShare } from './io/small-files.ts';
import type { NodeMemory } from './node-memory.ts';
import { SharedRun } from './shared-run.ts';
import { Space } from './space.ts';
import { removeLeftovers, UsageFile } from './upkeep.ts';
import { type Mount, usageText } from './usage.ts';

/** `readable`: it could not be marked as ours, because it is full or read-only. */
type Condition =
  | { state: 'ready' }
  | { state: 'readable'; reason: string }
  | { state: 'refused'; reason: string };

export interface DeviceContext {
  docroot: string;
  memory: NodeMemory;
  log: Log;
  sync: SyncMode;
  /** System calls of one device that may be under way at once. */
  laneWidth: number;
  reserveBytes: number;
  fileThreads: ThreadShare;
  keptFiles: KeptShare;
  /** Begins the name of every temporary file of this process. */
  tempPrefix: string;
}

const tempName = '.tmp';
/** A verdict on the disk is trusted this long. */
const checkedForMs = 1000;
/** A disk that takes longer to answer a stat is refused until it has answered. */
const answerMsMax = 5000;
/** A disk on which no call ended for so long is not asked on the main thread. */
const briskMs = 30;

export class Device {
  readonly devid: number;
  readonly #slot: string;
  readonly #context: DeviceContext;
  readonly space: Space;
  readonly syncsEachFile: boolean;
  readonly hotFiles: HotFiles;
  readonly usageFile = new UsageFile();
  readonly smallFiles: SmallFiles;
  #condition: Condition = { state: 'refused', reason: 'it has not been looked at yet' };
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  #stamp = '';
  #root: string;
  readonly #lane: Lane;
  #directories: Directories;
  #digests: DigestLog;
  #fileSync: FileSync | undefined;
  #stats: StatsFs | undefined;
  #usage: string | undefined;
  #accept = false;
  #swept = false;
  #sweeping: Promise<void> | undefined;
  #probing: Promise<void> | undefined;
  #temps = 0;
  readonly #checking = new SharedRun(() => this.#check());

  constructor(devid: number, context: DeviceContext) {
    this.devid = devid;
    this.#context = context;
    this.syncsEachFile = context.sync === 'always';
    this.#slot = `${context.docroot}/dev${devid}`;
    this.#root = this.#slot;
    this.#lane = new Lane(context.laneWidth);
    this.hotFiles = new HotFiles(new KeptFiles(context.keptFiles, this.run));
    this.#directories = this.#createDirectories();
    this.#digests = new DigestLog(this.#root, this.run);
    this.smallFiles = new SmallFiles({ devid, log: context.log, share: context.fileThreads });
    this.space = new Space(context.reserveBytes);
  }

  /** The device directory without symbolic links. */
  get root(): string {
    return this.#root;
  }

  /** Of the identity file: another one when another disk is in the slot. */
  get stamp(): string {
    return this.#stamp;
  }

  get directories(): Directories {
    return this.#directories;
  }

  /** Whether calls on this disk come back at once, as far as anybody knows. */
  get brisk(): boolean {
    const stalledMs = Math.max(this.#lane.stalledMs, this.smallFiles.stalledMs);
    return this.#probing === undefined && stalledMs < briskMs;
  }

  /** Makes a written file durable, as the node is told to; undefined when it is not. */
  get sync(): ((fd: number) => Promise<void>) | undefined {
    return this.#fileSync?.sync;
  }

  /** Where system calls on this device take their turn. */
  get run(): Runner {
    return this.#lane.run;
  }

  /** What the bytes of its files should be. */
  get digests(): DigestLog {
    return this.#digests;
  }

  /** What the file system said at the last look; undefined before the first. */
  get fileSystem(): StatsFs | undefined {
    return this.#stats;
  }

  /** For who watches the disk: of the pool and of its own thread, under way and waiting now. */
  get calls(): Lane['load'] {
    return this.smallFiles.addTo(this.#lane.load);
  }

  /** Whether a thread is in a call on this disk now; the process cannot exit before it is back. */
  get busy(): boolean {
    return this.#probing !== undefined || this.calls.running > 0;
  }

  /** The usage file as it should be now, whether or not the disk could take it. */
  get usage(): string | undefined {
    return this.#usage;
  }

  /** Takes the disk that is in the slot at the next look, whatever was there before. */
  acceptDisk(): void {
    this.#accept = true;
  }

  /** `ready`, `readable` or `refused`, as of the last look. */
  get state(): Condition['state'] {
    return this.#condition.state;
  }

  /** Whether the last look at the disk is too old to serve a request on. */
  get stale(): boolean {
    return performance.now() - this.#checkedAtMs > checkedForMs;
  }

  /** Looks at the disk now; never fails, the result is the condition. */
  look(): Promise<void> {
    return this.#checking.run();
  }

  /** @throws DEVICE_REFUSED unless the disk may be read and deleted from. */
  assertReadable(): void {
    if (this.#condition.state === 'refused') throw refusal(this.devid, this.#condition.reason);
  }

  /** @throws DEVICE_REFUSED unless the disk may be written. */
  assertWritable(): void {
    if (this.#condition.state !== 'ready') throw refusal(this.devid, this.#condition.reason);
  }

  /** A name for a temporary file that nobody else uses. */
  tempPath(): string {
    this.#temps += 1;
    return `${this.#root}/${tempName}/${this.#context.tempPrefix}${this.#temps}`;
  }

  /** Makes the directory of temporary files, which someone may have removed. */
  async makeTempDirectory(): Promise<void> {
    await makeDirectories(this.#root, tempName);
  }

  /** To be called when what names lead to may have changed: a directory was moved or removed. */
  forgetPlaces(): void {
    this.#directories.forget();
    this.hotFiles.close();
  }

  /** Ends what runs besides this process, and writes what waits to be written. */
  async close(): Promise<void> {
    this.hotFiles.close();
    await Promise.all([this.smallFiles.close(), this.#digests.flush()]);
    this.#fileSync?.close();
    await Promise.all([this.#probing, this.#lane.idle()]);
  }

  /** Looks at the disk, removes what a dead process left, and renews the usage file. */
  sweep(mounts: readonly Mount[]): Promise<void> {
    this.#sweeping ??= this.#sweep(mounts).finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async #sweep(mounts: readonly Mount[]): Promise<void> {
    this.smallFiles.endIdle();
    await this.look();
    const stats = this.#stats;
    if (this.#condition.state === 'refused' || stats === undefined) return;
    const timeSeconds = Math.floor(Date.now() / 1000);
    this.#usage = usageText({ root: this.#root, stats, mounts, timeSeconds });
    if (this.#condition.state !== 'ready') return;
    if (!this.#swept) await this.#removeLeftovers();
    const { devid, run, root } = this;
    const place = { root, devid, temp: this.tempPath(), run, log: this.#context.log };
    await this.usageFile.write(this.#usage, place);
  }

  async #removeLeftovers(): Promise<void> {
    this.#swept = true;
    const { log, tempPrefix: own } = this.#context;
    const { devid, run } = this;
    await removeLeftovers(`${this.#root}/${tempName}`, { devid, own, log, run });
    await settleAsides(this, { own, log });
  }

  /** One look with a bound; a disk that hangs keeps one thread busy and not one per look. */
  async #check(): Promise<void> {
    // Still out from a look that took too long: the device stays refused.
    if (this.#probing !== undefined) {
      this.#checkedAtMs = performance.now();
      return;
    }
    this.#probing = this.#probe().finally(() => {
      this.#probing = undefined;
    });
    if ((await inTime(this.#probing, answerMsMax)) === 'late') {
      this.#become(refused(`its disk has not answered for ${answerMsMax / 1000} s`));
    }
    this.#checkedAtMs = performance.now();
  }

  async #probe(): Promise<void> {
    try {
      if (!(await this.#isUnchanged())) this.#become(await this.#identify());
      if (this.#condition.state === 'refused') return;
      this.#stats = await statfs(this.#root);
      this.space.refresh(this.#stats.bavail * this.#stats.bsize);
    } catch (error) {
      this.#become(refused(`its disk cannot be read: ${String(error)}`));
    }
  }

  async #isUnchanged(): Promise<boolean> {
    if (this.#condition.state !== 'ready') return false;
    const stamp = await identityStamp(this.#slot).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
    return stamp === this.#stamp;
  }

  async #identify(): Promise<Condition> {
    const { memory, docroot } = this.#context;
    const known = memory.get(this.devid);
    let root: string;
    try {
      root = await realpath(this.#slot);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return refused(
        `its directory ${this.#slot} is gone. Mount the disk again, or, if it was removed for ` +
          'good, stop the node and take the device out of .omgfs-node.json',
      );
    }
    this.#changeRoot(root);
    const mounted = (await stat(root)).dev !== (await stat(docroot)).dev;
    const file = await readIdentity(root);
    if (!this.#accept) {
      if (file.state === 'damaged') {
        return refused(`its identity file is damaged (${file.reason}). ${this.#advice()}`);
      }
      if (file.state === 'absent' && known !== undefined) {
        const why = known.mounted && !mounted ? 'its disk is not mounted' : 'it has no identity';
        return refused(`${why}: the disk ${known.uuid} is expected here. ${this.#advice()}`);
      }
      if (file.state === 'present' && !this.#isExpected(file.identity)) {
        return refused(`${this.#describeStranger(file.identity)}. ${this.#advice()}`);
      }
    }
    if (file.state === 'present' && file.identity.devid === this.devid) {
      return this.#recognise(file.identity, { mounted });
    }
    return this.#adopt({ mounted });
  }

  #isExpected({ uuid, devid }: Identity): boolean {
    const known = this.#context.memory.get(this.devid);
    return devid === this.devid && (known === undefined || known.uuid === uuid);
  }

  #describeStranger({ uuid, devid }: Identity): string {
    const slot = this.#context.memory.slotOf(uuid) ?? devid;
    if (slot === this.devid) return `another disk (${uuid}) is mounted here than before`;
    return `the disk mounted here is that of dev${slot} (${uuid}), so disks have changed places`;
  }

  #advice(): string {
    return (
      'Mount the right disk, or, if this one is meant to take its place, start the node once ' +
      `with --adopt dev${this.devid}`
    );
  }

  async #recognise(identity: Identity, { mounted }: { mounted: boolean }): Promise<Condition> {
    await this.makeTempDirectory().catch(() => {});
    const { memory, log } = this.#context;
    const { uuid, created } = identity;
    // Right disk, right slot, but set up on another host, or by a docroot that is gone.
    const arrived = memory.get(this.devid) === undefined;
    if (arrived) log.warn({ devid: this.devid, uuid, created }, 'device.arrived');
    await this.#remember(identity, { mounted });
    return { state: 'ready' };
  }

  async #adopt({ mounted }: { mounted: boolean }): Promise<Condition> {
    try {
      await this.makeTempDirectory();
      const identity = await writeIdentity(this.#root, this.devid, this.tempPath());
      const { devid } = this;
      this.#context.log.info({ devid, uuid: identity.uuid, mounted }, 'device.adopted');
      await this.#remember(identity, { mounted });
      return { state: 'ready' };
    } catch (error) {
      // What is on a full or read-only disk may be the last copy: it must stay readable.
      const reason = `it cannot be given an identity file: ${String(error)}`;
      return { state: 'readable', reason };
    }
  }

  async #remember({ uuid }: Identity, { mounted }: { mounted: boolean }): Promise<void> {
    const { memory, log } = this.#context;
    this.#accept = false;
    this.#stamp = await identityStamp(this.#root);
    const known = memory.get(this.devid);
    if (known?.uuid === uuid && known.mounted === mounted) return;
    try {
      await memory.remember(this.devid, { uuid, mounted });
    } catch (error) {
      const reason = `after a restart a missing disk will not be noticed: ${String(error)}`;
      log.warn({ devid: this.devid, reason }, 'device.unremembered');
    }
  }

  #createDirectories(): Directories {
    const durable = this.#context.sync !== 'never';
    return new Directories(this.#root, { durable, run: this.run, disk: this });
  }

  #changeRoot(root: string): void {
    // Another disk may be under the same path: what was known of its directories is void.
    this.#root = root;
    this.hotFiles.close();
    this.#directories = this.#createDirectories();
    this.#digests = new DigestLog(root, this.run);
    this.#fileSync?.close();
    this.#fileSync = createFileSync(this.#context.sync, root, this.run);
    this.#swept = false;
  }

  #become(condition: Condition): void {
    const before = this.#condition;
    this.#condition = condition;
    const reason = condition.state === 'ready' ? undefined : condition.reason;
    const reasonBefore = before.state === 'ready' ? undefined : before.reason;
    if (before.state === condition.state && reason === reasonBefore) return;
    const { devid } = this;
    if (reason === undefined) {
      this.#context.log.info({ devid, root: this.#root }, 'device.ready');
    } else if (condition.state === 'readable') {
      this.#context.log.warn({ devid, reason }, 'device.readonly');
    } else {
      this.hotFiles.close();
      for (const waits of [this.#lane, this.smallFiles])
        waits.failWaiting(refusal(this.devid, reason));
      this.#context.log.error({ devid, reason }, 'device.refused');
    }
  }
}

function refused(reason: string): Condition {
  return { state: 'refused', reason };
}
