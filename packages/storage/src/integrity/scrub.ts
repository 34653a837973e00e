/**
 * Scrub of one device: reads every file at a bounded rate, compares it with its digest, records a
 * digest where there is none, and moves what is corrupt to a quarantine on the same device, never
 * deleting it. Position and findings are kept on the device, so that a restart goes on.
 */
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Digests, OmgfsError, type ScrubOrder } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import {
  closeNow,
  errnoOf,
  lstat,
  makeDirectories,
  openForRead,
  readFully,
  rename,
} from '../device/files.ts';
import { SharedRun } from '../device/shared-run.ts';
import type { Log } from '../log.ts';
import { type DigestDirectory, isOf } from './digest-log.ts';
import { ScrubReport, stateDirectory } from './scrub-report.ts';
import { explainUnreadable } from './unreadable.ts';
import { type Directory, walk } from './walk.ts';

export interface ScrubOptions {
  /** Unless trackers ask for another rate; 0 keeps it from starting at all. */
  bytesPerSecond: number;
  log: Log;
}

const chunkBytes = 256 * 1024;
/** Opening and looking at a file costs a disk about as much as reading so many bytes. */
const fileCostBytes = 16 * 1024;
/** For files that came without a digest: fast, and what trackers ask for. */
const ownAlgorithm = 'md5';
const saveMs = 10_000;
/** Between two rounds, and while the device is refused. */
const restMs = 60_000;
/** How soon another rate or state is noticed. */
const pauseMs = 1000;

export class Scrub {
  readonly #device: Device;
  readonly #options: ScrubOptions;
  readonly #stop = new AbortController();
  readonly #saving = new SharedRun(() => this.#write());
  #report = new ScrubReport();
  /** The device directory that the report is of. */
  #root = '';
  #ordered: number | undefined;
  #running: Promise<void> | undefined;
  #savedAtMs = 0;
  /** So that a full report is logged once. */
  #wasFull = false;

  constructor(device: Device, options: ScrubOptions) {
    this.#device = device;
    this.#options = options;
  }

  /** What was found, for those who watch. */
  get report(): ScrubReport {
    return this.#report;
  }

  /** 0 while it stands still. */
  get bytesPerSecond(): number {
    const { bytesPerSecond } = this.#options;
    return bytesPerSecond === 0 ? 0 : (this.#ordered ?? bytesPerSecond);
  }

  /** Takes the report over that lies on the device, if that was not done yet. */
  async load(): Promise<void> {
    const { root } = this.#device;
    // Another disk has another position.
    if (this.#root === root) return;
    const report = await ScrubReport.load(root);
    if (this.#root === root) return;
    this.#report = report;
    this.#root = root;
  }

  /** Does what trackers say; asked for a rate it begins at once. */
  async obey({ bytesPerSecond, handled = [], deferred = [] }: ScrubOrder): Promise<void> {
    await this.load();
    if (bytesPerSecond === null) this.#ordered = undefined;
    else if (bytesPerSecond !== undefined) {
      this.#ordered = bytesPerSecond;
      if (this.bytesPerSecond > 0) this.start();
    }
    if (handled.length === 0 && deferred.length === 0) return;
    this.#report.settle(handled);
    this.#report.defer(deferred);
    await this.#save();
  }

  /** Goes round and round until `close`. */
  start(): void {
    this.#running ??= this.#runAll().catch((error: unknown) => {
      if (this.#stop.signal.aborted) return;
      const { devid } = this.#device;
      this.#options.log.error({ devid, reason: String(error) }, 'scrub.ended');
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #runAll(): Promise<void> {
    for (;;) {
      const device = this.#device;
      const before = { state: device.state, bytesPerSecond: this.bytesPerSecond };
      if (device.state === 'ready') {
        await this.load();
        await this.round().catch((error: unknown) => {
          this.#stop.signal.throwIfAborted();
          this.#options.log.warn({ devid: device.devid, reason: String(error) }, 'scrub.stopped');
        });
      }
      await this.#restUnlike(before);
    }
  }

  /** Until its time is over, or another rate is asked for, or the device came or went. */
  async #restUnlike({ state, bytesPerSecond }: Pick<Scrub, 'bytesPerSecond'> & { state: string }) {
    for (let leftMs = restMs; leftMs > 0; leftMs -= pauseMs) {
      await this.#rest(pauseMs);
      if (this.#device.state !== state || this.bytesPerSecond !== bytesPerSecond) return;
    }
  }

  /** One round over the device, from where the last one was ended. */
  async round(): Promise<void> {
    const device = this.#device;
    const report = this.#report;
    report.begin();
    try {
      const onUnreadable = (path: string, error: unknown) => {
        const facts = { devid: device.devid, name: path, reason: String(error) };
        this.#options.log.error(facts, 'directory.unreadable');
      };
      const places = { run: device.run, onUnreadable };
      for await (const directory of walk(device.root, report.position, places)) {
        await this.#scrubDirectory(directory);
        if (device.state !== 'ready') return;
      }
      // A disk that went away has nothing to go over either.
      await device.look();
      if (device.state !== 'ready') return;
      report.end();
      this.#options.log.info({ devid: device.devid, ...report.totals }, 'scrub.round');
    } finally {
      await this.#save();
    }
  }

  async #scrubDirectory({ path, files, count }: Directory): Promise<void> {
    const device = this.#device;
    const known = await device.digests.follow(path);
    for (const file of files) {
      this.#stop.signal.throwIfAborted();
      const name = path === '' ? file : `${path}/${file}`;
      await this.#scrubFile(name, known);
      // Then it is looked at again when the disk is back.
      if (device.state !== 'ready') return;
      this.#report.position = name;
      if (performance.now() - this.#savedAtMs > saveMs) await this.#save();
    }
    if (known.lines > 2 * count + 100) await device.digests.compact(path, device.tempPath());
  }

  async #scrubFile(name: string, { entries }: DigestDirectory): Promise<void> {
    const device = this.#device;
    const report = this.#report;
    let stats: Stats | undefined;
    try {
      stats = await device.run(() => lstat(`${device.root}/${name}`));
      if (!stats.isFile()) return;
      const before = stats;
      const find = () => {
        const entry = entries.get(name.slice(name.lastIndexOf('/') + 1));
        return entry !== undefined && isOf(entry, before) ? entry.digests : undefined;
      };
      const expected = find();
      const algorithms = Object.keys(expected ?? { [ownAlgorithm]: '' });
      const actual = await this.#digest(name, algorithms);
      if (!(await this.#isStill(name, stats))) return;
      report.count(stats.size);
      if (expected === undefined) {
        // Whoever stored it has said meanwhile what it is: the next round compares.
        if (find() !== undefined) return;
        report.totals.recorded += 1;
        device.digests.record(name, stats, actual);
        return;
      }
      report.totals.verified += 1;
      if (same(expected, actual)) return;
      // Once more: memory and cables err too, and what is moved away is missed.
      if (same(expected, await this.#digest(name, algorithms))) return;
      const text = (digests: Digests) => Object.entries(digests).map((pair) => pair.join('='));
      const reason = `it has ${text(actual).join()} but was stored with ${text(expected)}`;
      await this.#quarantine(name, stats, reason);
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      // Deleted while it was looked at, or its disk went away: a look at the disk tells.
      const isGone =
        stats === undefined ? errnoOf(error) !== 'EIO' : !(await this.#isStill(name, stats));
      if (stats === undefined) await device.look();
      if (isGone || device.state !== 'ready') return;
      // Too much to do, or a disk that fails as a whole: that says nothing about the file.
      if (error instanceof OmgfsError) return;
      const explained = await explainUnreadable(device, name, error);
      if (errnoOf(explained) === 'EIO') return;
      if (!this.#hasRoom(name)) return;
      this.#found({ name, kind: 'unreadable', reason: String(error) });
    }
  }

  async #isStill(name: string, before: Stats): Promise<boolean> {
    try {
      const path = `${this.#device.root}/${name}`;
      const { size, mtimeMs, ino } = await this.#device.run(() => lstat(path));
      return size === before.size && mtimeMs === before.mtimeMs && ino === before.ino;
    } catch {
      await this.#device.look();
      return false;
    }
  }

  /** Reads a file slowly. @throws errors of the system. */
  async #digest(name: string, algorithms: readonly string[]): Promise<Digests> {
    const { run, root } = this.#device;
    const hashes = algorithms.map((algorithm) => createHash(algorithm));
    const { fd } = await run(() => openForRead(`${root}/${name}`));
    const buffer = Buffer.allocUnsafe(chunkBytes);
    try {
      let cost = fileCostBytes;
      for (let at = 0; ; at += chunkBytes) {
        const bytes = await run(() => readFully(fd, buffer, at));
        for (const hash of hashes) hash.update(buffer.subarray(0, bytes));
        cost += bytes;
        await this.#pace(cost);
        cost = 0;
        if (bytes < chunkBytes) break;
      }
    } finally {
      closeNow(fd);
    }
    return Object.fromEntries(
      algorithms.map((name, at) => [name, hashes[at]?.digest('hex') ?? '']),
    );
  }

  /** Recorded before it is moved: nothing else would tell trackers why it is missing. */
  async #quarantine(name: string, stats: Stats, reason: string): Promise<void> {
    const { root, run, devid } = this.#device;
    if (!this.#hasRoom(name)) return;
    const report = this.#report;
    const place = `${stateDirectory}/quarantine`;
    await makeDirectories(root, place, run);
    const to = `${place}/${name.replaceAll('/', '_')}.${Date.now()}`;
    const found = { name, kind: 'corrupt', reason, quarantine: to };
    report.addMoving({ ...found, at: new Date().toISOString() });
    let isMoved = false;
    try {
      if (!(await this.#isRecorded(name))) return;
      if (!(await this.#isStill(name, stats))) return;
      await run(() => rename(`${root}/${name}`, `${root}/${to}`));
      isMoved = true;
    } finally {
      if (isMoved) report.moved();
      else report.dropMoving();
      this.#savedAtMs = Number.NEGATIVE_INFINITY;
    }
    this.#options.log.error({ devid, ...found }, 'file.corrupt');
  }

  /** Whether the report lies on the disk, without which a file stays for the next round. */
  async #isRecorded(name: string): Promise<boolean> {
    try {
      await this.#saving.run();
      return true;
    } catch (error) {
      const { devid } = this.#device;
      this.#options.log.warn({ devid, name, reason: String(error) }, 'scrub.unsaved');
      return false;
    }
  }

  /** Whether a finding can be kept; else its file is found again in the next round. */
  #hasRoom(name: string): boolean {
    const isFull = this.#report.isFull(name);
    if (isFull && !this.#wasFull) {
      const reason = 'too many findings wait for the trackers; no more files are moved until then';
      this.#options.log.error({ devid: this.#device.devid, reason }, 'scrub.full');
    }
    this.#wasFull = isFull;
    return !isFull;
  }

  #found(finding: { name: string; kind: string; reason: string }): void {
    const { devid } = this.#device;
    this.#report.add({ ...finding, at: new Date().toISOString() });
    this.#options.log.error({ devid, ...finding }, `file.${finding.kind}`);
    this.#savedAtMs = Number.NEGATIVE_INFINITY;
  }

  async #save(): Promise<void> {
    this.#savedAtMs = performance.now();
    // A full disk: the next round begins where the last one was saved.
    await this.#saving.run().catch(() => {});
  }

  /** @throws errors of the system. */
  async #write(): Promise<void> {
    await this.#report.save(this.#device);
  }

  /** Waits as long as so many bytes take, at a rate that may change meanwhile. */
  async #pace(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; ) {
      const rate = this.bytesPerSecond;
      const ms = rate > 0 ? Math.min(pauseMs, (left / rate) * 1000) : pauseMs;
      await this.#rest(ms);
      left -= (rate * ms) / 1000;
      // What is left over by rounding is no reason to wait.
      if (left < 1) return;
    }
  }

  async #rest(ms: number): Promise<void> {
    await delay(ms, undefined, { ref: false, signal: this.#stop.signal });
  }
}

function same(one: Digests, other: Digests): boolean {
  return Object.entries(one).every(([algorithm, hex]) => other[algorithm] === hex);
}
