/**
 * The digests of the files of one device: in each directory that has any, an append-only file of
 * lines, so that a digest costs no inode of its own and is read together with its neighbours. A
 * line counts only if its checksum is right and the file is still the very one it was written for;
 * whatever is torn, copied or left behind is no digest, and nothing else. Trackers, rsync and the
 * original's programs do not look at the name.
 *
 * A digest is written after the answer and not synced: a power cut may cost it, never the file.
 */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { Digests } from '@omgfs/protocol';
import { parentOf } from '../device/directories.ts';
import {
  errnoOf,
  lstat,
  readdir,
  readFile,
  rename,
  unlink,
  writeAtomically,
  writeFully,
} from '../device/files.ts';
import type { Stamp } from '../device/io/file-thread.ts';
import type { Runner } from '../device/io/runner.ts';

export interface DigestEntry {
  size: number;
  mtimeMs: number;
  ino: number;
  digests: Digests;
}

/** The last entry of each name, and how many lines there are. */
export interface DigestDirectory {
  entries: Map<string, DigestEntry>;
  lines: number;
}

export const digestLogName = '.omgfs-digests';
/** Lines that may wait to be written; when a disk is slower than that, digests are given up. */
const pendingMax = 20_000;
/** A directory of a device holds about a thousand files; more than this is not ours. */
const logBytesMax = 64 * 1024 * 1024;

/** What encodeURIComponent makes of names that are UTF-8, and nothing it would choke on. */
const encodedName = /^(?:[A-Za-z0-9_.!~*'()-]|%[0-7][0-9A-F])+$/;

const appendFile = promisify(fs.appendFile);

export class DigestLog {
  readonly #root: string;
  readonly #run: Runner;
  readonly #pending = new Map<string, string[]>();
  /** The last write of each directory; writes of one directory never overlap. */
  readonly #writes = new Map<string, Promise<void>>();
  #pendingLines = 0;
  /** What is known of the directory that is gone over, kept up with what is recorded. */
  #followed = { directory: '', entries: new Map<string, DigestEntry>() };

  /** @param root the device directory. */
  constructor(root: string, run: Runner) {
    this.#root = root;
    this.#run = run;
  }

  /** Remembers the digests of a file, soon. */
  record(name: string, stats: Stamp, digests: Digests): void {
    if (this.#pendingLines >= pendingMax || !encodedName.test(encodeURIComponent(basename(name)))) {
      return;
    }
    this.#pendingLines += 1;
    const directory = parentOf(name);
    const entry = { ...pick(stats), digests };
    const followed = this.#followed;
    if (followed.directory === directory) followed.entries.set(basename(name), entry);
    const line = lineOf(basename(name), entry);
    const lines = this.#pending.get(directory);
    if (lines !== undefined) {
      lines.push(line);
      return;
    }
    this.#pending.set(directory, [line]);
    void this.#write(directory, () => this.#append(directory));
  }

  /** What is known of the files of a directory. @throws errors of the system but for ENOENT. */
  async load(directory: string): Promise<DigestDirectory> {
    await this.#writes.get(directory);
    return this.#read(directory);
  }

  /** As `load`; what is recorded meanwhile is added, until another directory is followed. */
  async follow(directory: string): Promise<DigestDirectory> {
    const entries = new Map<string, DigestEntry>();
    this.#followed = { directory, entries };
    const known = await this.load(directory);
    for (const [name, entry] of known.entries) if (!entries.has(name)) entries.set(name, entry);
    return { entries, lines: known.lines };
  }

  /** The digests of one file, if they are known and it is unchanged. */
  async find(name: string, stats: Stats): Promise<Digests | undefined> {
    const { entries } = await this.load(parentOf(name));
    const entry = entries.get(basename(name));
    return entry !== undefined && isOf(entry, stats) ? entry.digests : undefined;
  }

  /** Leaves only the entries of files that are there. @param temp a free name on the same disk. */
  compact(directory: string, temp: string): Promise<void> {
    return this.#write(directory, async () => {
      const { entries } = await this.#read(directory);
      // The disk may have been away for a moment.
      if (entries.size === 0) return;
      // Listed only now: whoever has an entry by now has been there before.
      const names = new Set(await this.#run(() => readdir(`${this.#root}/${directory}`)));
      const kept = [...entries].filter(([name]) => names.has(name));
      const text = kept.map(([name, entry]) => lineOf(name, entry)).join('');
      await writeAtomically({
        temp,
        sync: undefined,
        run: this.#run,
        fill: (fd) => writeFully(fd, Buffer.from(text)),
        place: () => this.#run(() => rename(temp, this.#pathOf(directory))),
      });
    });
  }

  /** Forgets the digests of a directory that is to go. */
  async drop(directory: string): Promise<void> {
    await this.#writes.get(directory);
    await this.#run(() => unlink(this.#pathOf(directory))).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }

  /** Resolves when nothing waits to be written. */
  async flush(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes.values());
  }

  #write(directory: string, action: () => Promise<void>): Promise<void> {
    const before = this.#writes.get(directory) ?? Promise.resolve();
    // A full or broken disk costs digests, nothing else.
    const write = before
      .then(action)
      .catch(() => {})
      .finally(() => {
        if (this.#writes.get(directory) === write) this.#writes.delete(directory);
      });
    this.#writes.set(directory, write);
    return write;
  }

  #append(directory: string): Promise<void> {
    const lines = this.#pending.get(directory) ?? [];
    this.#pending.delete(directory);
    this.#pendingLines -= lines.length;
    return this.#run(() => appendFile(this.#pathOf(directory), lines.join(''), { mode: 0o644 }));
  }

  async #read(directory: string): Promise<DigestDirectory> {
    const entries = new Map<string, DigestEntry>();
    let text: string;
    try {
      const path = this.#pathOf(directory);
      const { size } = await this.#run(() => lstat(path));
      if (size > logBytesMax) return { entries, lines: 0 };
      text = await this.#run(() => readFile(path, 'utf8'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { entries, lines: 0 };
      throw error;
    }
    const lines = text.split('\n');
    for (const line of lines) {
      const parsed = parseLine(line);
      if (parsed !== undefined) entries.set(parsed.name, parsed.entry);
    }
    return { entries, lines: lines.length - 1 };
  }

  #pathOf(directory: string): string {
    return `${this.#root}/${directory === '' ? '' : `${directory}/`}${digestLogName}`;
  }
}

/** Whether a file is the one that was digested: a rename over it changes the inode. */
export function isOf(entry: DigestEntry, { size, mtimeMs, ino }: Stats): boolean {
  return entry.size === size && entry.mtimeMs === mtimeMs && entry.ino === ino;
}

function pick({ size, mtimeMs, ino }: Stamp) {
  return { size, mtimeMs, ino };
}

/** The line begins with a line end, so that it survives a torn one before it. */
function lineOf(name: string, { size, mtimeMs, ino, digests }: DigestEntry): string {
  const list = Object.entries(digests).map(([algorithm, hex]) => `${algorithm}=${hex}`);
  const text = [encodeURIComponent(name), size, mtimeMs, ino, list.join()].join(' ');
  return `\n${checksum(text)} ${text}`;
}

function parseLine(line: string): { name: string; entry: DigestEntry } | undefined {
  const [sum, name, size, mtimeMs, ino, list, ...rest] = line.split(' ');
  if (name === undefined || list === undefined || rest.length > 0) return undefined;
  if (!encodedName.test(name)) return undefined;
  if (sum !== checksum(line.slice(line.indexOf(' ') + 1))) return undefined;
  const digests = Object.fromEntries(
    list.split(',').map((part) => [part.split('=')[0] ?? '', part.split('=')[1] ?? '']),
  );
  return {
    name: decodeURIComponent(name),
    entry: { size: Number(size), mtimeMs: Number(mtimeMs), ino: Number(ino), digests },
  };
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
