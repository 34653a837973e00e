/**
 * `omgfs export` to a directory. A file is written below `.part`, noted in the manifest, and only
 * then given its name: whatever is killed when, a name stands for a whole file, and the next run
 * goes on. The manifest ends with its last line only when everything is there.
 */
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { OmgfsError } from '@omgfs/protocol';
import { lockState } from '../../local-cluster/state.ts';
import { about } from '../../output.ts';
import { CheckedBytes } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { eachParallel } from '../parallel.ts';
import { Report } from '../report.ts';
import { LineLog } from '../rows/line-log.ts';
import { joinRows } from '../rows/sorted-rows.ts';
import { SourceFiles } from '../source-files.ts';
import { Throttle } from '../throttle.ts';
import { type ExportPlace, headOf, sortedKeys } from './export-listing.ts';
import {
  type Entry,
  entryLine,
  hashedName,
  headLine,
  manifestName,
  plainName,
} from './manifest.ts';
import { finishManifest, readManifest } from './manifest-file.ts';

export interface ExportOptions {
  json: boolean;
  jobs: number;
  /** Bytes a second. */
  bandwidth?: number;
  dryRun?: boolean;
  signal: AbortSignal;
}

const workName = '.part';

/** @throws BAD_ARGS for a directory that is something else; FAILURE when some files failed. */
export async function exportDirectory(
  place: ExportPlace,
  dir: string,
  options: ExportOptions,
): Promise<void> {
  const { dryRun } = options;
  const head = await headOf(place);
  await checkDirectory(dir);
  const work = dryRun ? await mkdtemp(join(tmpdir(), 'omgfs-export-')) : join(dir, workName);
  await lockState(work);
  try {
    const known = await readManifest(join(dir, manifestName), { work });
    const same = known.head?.domain === head.domain && known.head.prefix === head.prefix;
    if (known.head !== undefined && !same) {
      const { domain, prefix } = known.head;
      const message = `${dir} is an export of '${prefix}' of domain ${domain}; name another one`;
      throw new OmgfsError('BAD_ARGS', { message });
    }
    const keys = await sortedKeys(place, { ...options, dir: work, name: 'keys' });
    const report = new Report({ label: 'exporting', total: keys.count, json: options.json });
    const run = new DirectoryExport({ place, dir, work, options, report });
    try {
      await run.begin(headLine(head));
      await eachParallel(
        joinRows(keys, known.entries),
        { concurrency: options.jobs },
        async ({ key, left, right }) => {
          options.signal.throwIfAborted();
          // What was deleted since stays in the export.
          if (left !== undefined) await run.one(key, right);
        },
      );
      report.stop();
      await run.close();
      if (report.failed === 0 && !dryRun) await finishManifest(dir, { work });
    } finally {
      report.stop();
      await run.close();
    }
    report.end(dryRun ? 'to export' : 'exported', '; run it again to go on');
  } finally {
    // The lock is in it.
    await rm(work, { recursive: true, force: true });
  }
}

/** Never writes between files of somebody else. */
async function checkDirectory(dir: string): Promise<void> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    const message = `${dir} cannot be used: ${error.message}`;
    throw new OmgfsError('BAD_ARGS', { message, cause: error });
  });
  if (names.length === 0 || names.includes(manifestName) || names.join() === workName) return;
  const message = `${dir} is not empty and is no export; name a new directory`;
  throw new OmgfsError('BAD_ARGS', { message });
}

class DirectoryExport {
  readonly #dir: string;
  readonly #work: string;
  readonly #options: ExportOptions;
  readonly #report: Report;
  readonly #source: SourceFiles;
  readonly #throttle: Throttle;
  #manifest: LineLog | undefined;
  #parts = 0;
  /** Names are given one after the other. */
  #naming: Promise<unknown> = Promise.resolve();

  constructor(parts: {
    place: ExportPlace;
    dir: string;
    work: string;
    options: ExportOptions;
    report: Report;
  }) {
    this.#dir = parts.dir;
    this.#work = parts.work;
    this.#options = parts.options;
    this.#report = parts.report;
    this.#throttle = new Throttle(parts.options.bandwidth, parts.options.signal);
    this.#source = new SourceFiles(parts.place.client);
  }

  async begin(head: string): Promise<void> {
    if (this.#options.dryRun) return;
    this.#manifest = await LineLog.open(join(this.#dir, manifestName));
    await this.#manifest.append(head);
  }

  async close(): Promise<void> {
    await this.#manifest?.close();
    this.#manifest = undefined;
  }

  /** @param known the entry of the manifest. */
  async one(key: string, known: string | undefined): Promise<void> {
    const { signal } = this.#options;
    try {
      const work = this.#exportOne(key, known === undefined ? undefined : JSON.parse(known));
      await about('cannot export', keyText(key), work);
    } catch (error) {
      this.#report.fail(error, signal);
    }
  }

  async #exportOne(key: string, known: Entry | undefined): Promise<void> {
    const { signal, dryRun } = this.#options;
    if (known !== undefined && (await this.#isThere(known))) {
      const version = await this.#source.describe(key, signal);
      if (version === undefined || version.fid === known.fid) return this.#report.skipped();
    }
    const opened = await this.#source.open(key, signal);
    // Deleted since it was listed.
    if (opened === undefined) return this.#report.skipped();
    const { version, stream } = opened;
    if (dryRun) {
      stream.destroy();
      return this.#report.done(version.length, { ...jsonKey(key), bytes: version.length });
    }
    this.#parts += 1;
    const part = join(this.#work, String(this.#parts));
    const onBytes = (bytes: number) => {
      this.#report.moved(bytes);
      return this.#throttle.take(bytes);
    };
    const bytes = new CheckedBytes(stream, version, { onBytes });
    try {
      await pipeline(bytes, createWriteStream(part), { signal });
      const { fid, length } = version;
      const { checksum } = bytes;
      const entry = { key, class: version.class ?? 'default', fid, length, checksum };
      const named = this.#naming.then(() => this.#name(part, entry, known?.file));
      this.#naming = named.catch(() => {});
      this.#report.done(length, { ...jsonKey(key), file: await named, bytes: length });
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  async #isThere({ file, length }: Entry): Promise<boolean> {
    const found = await stat(join(this.#dir, file)).catch(() => undefined);
    return found?.isFile() === true && found.size === length;
  }

  /** Notes the file and gives it its name. @returns the name. */
  async #name(part: string, entry: Omit<Entry, 'file'>, known: string | undefined) {
    const file = known ?? (await this.#freeName(entry.key));
    const path = join(this.#dir, file);
    await mkdir(dirname(path), { recursive: true });
    // An old version would be taken for the new one, were we killed behind the next line.
    if (known !== undefined) await rm(path, { force: true });
    await this.#manifest?.append(entryLine({ ...entry, file }));
    await rename(part, path);
    return file;
  }

  /**
   * The plain name, unless the key has none, or the name is a directory, lies below a file, or is
   * that of another key on a file system that does not tell upper from lower case.
   */
  async #freeName(key: string): Promise<string> {
    const plain = plainName(key);
    if (plain === undefined) return hashedName(key);
    const path = join(this.#dir, plain);
    try {
      await mkdir(dirname(path), { recursive: true });
      await lstat(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return plain;
      if (!['ENOTDIR', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
    return hashedName(key);
  }
}
