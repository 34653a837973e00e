/**
 * Small files that were read a short while ago, so that the kernel has them in memory: they may be
 * read again without a trip to the thread pool, which costs more than the calls themselves (12
 * against 30 thousand GETs of 4 KiB a second, 2026-11). Nothing is served from here: the file is
 * looked at and read each time; its headers are kept while it is unchanged, and its descriptor for
 * a blink (see KeptFiles).
 *
 * A call that has to wait for the disk would stop the whole node, so this is left at once, for a
 * while, when a disk shows any sign of being slow.
 */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs';
import { RecentMap } from '@omgfs/protocol';
import { headStart } from '../http/plain-head.ts';
import { FreshFiles } from './io/fresh-files.ts';
import { isAsKept, type KeptFile, type KeptFiles, keptMs } from './io/kept-files.ts';

export interface HotFile {
  ino: number;
  size: number;
  mtimeMs: number;
  /** Name, value, name, value …: an answer's head as node:http takes it fastest. */
  head: string[];
  /** The same as text. */
  headStart: string;
  untilMs: number;
  kept: KeptFile | undefined;
}

/** Where a file is read to. */
interface Room {
  buffer: Buffer;
  at: number;
}

/** What the kernel read this recently it still has, unless memory is very short. */
const hotForMs = 10_000;
const filesMax = 10_000;
/** A read that takes longer may have gone to the disk: that file goes the ordinary way again. */
const diskMs = 3;
/**
 * It may also have waited for a processor, as one in a hundred does on a busy machine. So a disk is
 * taken for slow when several reads in a row of few are, or when one of them takes this long.
 */
const stuckMs = 200;
const slowWeight = 10;
const slownessMax = 50;
const coolOffMs = 5000;

const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

export class HotFiles {
  /** Those that were written a short while ago. */
  readonly fresh = new FreshFiles();
  readonly #files = new RecentMap<string, HotFile>(filesMax);
  #coldUntilMs = 0;
  /** Grows with each read that was slow, falls by one with each that was not. */
  #slowness = 0;
  readonly #kept: KeptFiles;

  constructor(kept: KeptFiles) {
    this.#kept = kept;
  }

  /** Closes what is open: the disk is not what it was, or names lead elsewhere. */
  close(): void {
    this.#kept.closeAll();
  }

  /** Remembers a file that has just been read whole through the thread pool. */
  add(name: string, { ino, size, mtimeMs }: Stats, head: string[]): void {
    const untilMs = performance.now() + hotForMs;
    const text = headStart(200, head);
    this.#files.set(name, { ino, size, mtimeMs, head, headStart: text, untilMs, kept: undefined });
  }

  /** A file that may be read at once, if the disk is quick and the file was read lately. */
  find(name: string): HotFile | undefined {
    const file = this.#files.get(name);
    if (file === undefined) return undefined;
    const nowMs = performance.now();
    if (nowMs < this.#coldUntilMs) return undefined;
    if (nowMs <= file.untilMs) return file;
    this.#files.delete(name);
    return undefined;
  }

  /** Reads the file into a buffer. @returns false when it is not what it was. */
  read(path: string, file: HotFile, to: Room): boolean {
    const startMs = performance.now();
    try {
      if (file.kept !== undefined && isAsKept(file.kept)) return readNow(file.kept.fd, file, to);
      this.#drop(file);
      return this.#open(path, file, { startMs, to });
    } catch {
      // The ordinary way says what is wrong.
      return false;
    } finally {
      this.#judge(file, startMs);
    }
  }

  #open(path: string, file: HotFile, { startMs, to }: { startMs: number; to: Room }): boolean {
    const fd = fs.openSync(path, flags);
    try {
      const { ino, size, mtimeMs, ctimeMs } = fs.fstatSync(fd);
      if (ino !== file.ino || size !== file.size || mtimeMs !== file.mtimeMs) return false;
      // Only what is read more often than it would be closed.
      const readAtMs = file.untilMs - hotForMs;
      if (startMs - readAtMs < keptMs) file.kept = this.#kept.keep(fd, ctimeMs);
      return readNow(fd, file, to);
    } finally {
      if (file.kept === undefined) fs.closeSync(fd);
    }
  }

  #drop(file: HotFile): void {
    if (file.kept !== undefined) this.#kept.drop(file.kept);
    file.kept = undefined;
  }

  #judge(file: HotFile, startMs: number): void {
    const endMs = performance.now();
    const slow = endMs - startMs > diskMs;
    file.untilMs = slow ? 0 : endMs + hotForMs;
    if (!slow) {
      if (this.#slowness > 0) this.#slowness -= 1;
      return;
    }
    // It is looked for no more.
    this.#drop(file);
    this.#slowness += slowWeight;
    if (this.#slowness < slownessMax && endMs - startMs < stuckMs) return;
    this.#slowness = 0;
    this.#coldUntilMs = endMs + coolOffMs;
  }
}

function readNow(fd: number, { size }: HotFile, { buffer, at }: Room): boolean {
  return size === 0 || fs.readSync(fd, buffer, at, size, 0) === size;
}
