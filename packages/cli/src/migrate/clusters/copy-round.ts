/**
 * One pass over a domain: what is new or was overwritten at the source since the pass before is
 * copied, what was deleted there is removed if that is wanted. Both clusters may be in use: only
 * what a migration wrote is ever replaced or removed at the target.
 */
import type { Client, StoredFile } from '@omgfs/client';
import {
  formatChecksum,
  OmgfsError,
  parseChecksum,
  toByteString,
  toOmgfsError,
} from '@omgfs/protocol';
import { about } from '../../output.ts';
import { sortedKeys } from '../archive/export-listing.ts';
import { digestOf, hashTypeDefault } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { eachParallel } from '../parallel.ts';
import { Report } from '../report.ts';
import { joinRows } from '../rows/sorted-rows.ts';
import { type FileVersion, type OpenFile, SourceFiles, unlessGone } from '../source-files.ts';
import { refuseToReplace, TargetFiles } from '../target-files.ts';
import type { Throttle } from '../throttle.ts';
import type { CopyRecord, CopyState } from './copy-state.ts';

export interface CopyOptions {
  json: boolean;
  parallel: number;
  /** Remove at the target what was deleted at the source. */
  delete?: boolean;
  /** Also when the source has no keys at all. */
  allowEmpty?: boolean;
  /** Replace files at the target that no migration wrote. */
  overwrite?: boolean;
  /** Only find out what would be done; neither cluster nor the state is changed. */
  dryRun?: boolean;
  throttle: Throttle;
  signal: AbortSignal;
}

export interface CopyPlace {
  source: Client;
  target: Client;
  /** Names at the source and at the target. */
  from: string;
  to: string;
  /** A dry run did not create the domain at the target: it has no files. */
  targetIsNew: boolean;
  /** Directory for sorting. */
  dir: string;
  state: CopyState;
}

export interface RoundResult {
  copied: number;
  bytes: number;
  deleted: number;
  /** Copied before, and deleted at the source since. */
  gone: number;
  unchanged: number;
  failed: number;
}

/** What a copy may take the place of. */
interface Cleared {
  record: CopyRecord;
  /** Fid at the target. */
  replaces: number | undefined;
}

const triesMax = 3;

/** @throws FAILURE when a source without keys would mean that everything is to be removed. */
export async function copyRound(place: CopyPlace, options: CopyOptions): Promise<RoundResult> {
  const { source, from, to, dir, state } = place;
  const { signal } = options;
  await state.begin();
  const keys = await sortedKeys(
    { client: source, prefix: '' },
    { dir, name: 'source', json: options.json, signal },
  );
  const label = from === to ? from : `${from}=${to}`;
  const report = new Report({ label, total: keys.count, json: options.json });
  try {
    if (keys.count === 0 && options.delete && !options.allowEmpty && !(await state.isEmpty())) {
      throw new OmgfsError('FAILURE', {
        message:
          `the source lists no keys in ${from}, where there were some; if they were really all ` +
          'deleted, remove the copies with --delete --allow-empty',
      });
    }
    const round = new Round(place, options, report);
    const pairs = joinRows(keys, state.rows());
    await eachParallel(pairs, { concurrency: options.parallel }, async (pair) => {
      signal.throwIfAborted();
      await round.one(pair);
    });
    const { files: copied, bytes, unchanged, failed } = report;
    return { copied, bytes, deleted: round.deleted, gone: round.gone, unchanged, failed };
  } finally {
    report.stop();
    await keys.remove();
    await state.close();
  }
}

class Round {
  deleted = 0;
  gone = 0;
  readonly #place: CopyPlace;
  readonly #options: CopyOptions;
  readonly #report: Report;
  readonly #source: SourceFiles;
  readonly #target: TargetFiles;

  constructor(place: CopyPlace, options: CopyOptions, report: Report) {
    this.#place = place;
    this.#options = options;
    this.#report = report;
    this.#source = new SourceFiles(place.source);
    this.#target = new TargetFiles(place.target);
  }

  /** Does what a key needs, or counts why not. */
  async one(pair: { key: string; left: string | undefined; right: string | undefined }) {
    const { key, left, right } = pair;
    const record: CopyRecord = right === undefined ? {} : JSON.parse(right);
    try {
      if (left !== undefined) await about('cannot copy', keyText(key), this.#copy(key, record));
      else await about('cannot remove', keyText(key), this.#follow(key, record));
    } catch (error) {
      this.#report.fail(error, this.#options.signal);
    }
  }

  async #copy(key: string, record: CopyRecord): Promise<void> {
    const { signal } = this.#options;
    const version = await this.#source.describe(key, signal);
    // Deleted since it was listed; the next round sees to it.
    if (version === undefined) return this.#report.skipped();
    if (version.fid === record.source && record.begun === undefined) {
      await this.#keepClass(key, { version, record });
      return this.#report.skipped();
    }
    for (let tries = 1; ; tries += 1) {
      const cleared = await this.#clear(key, { version, record });
      if (cleared === undefined) return this.#report.skipped();
      if (this.#options.dryRun) return this.#wouldCopy(key, version);
      const opened = await this.#source.open(key, signal);
      if (opened === undefined) return this.#report.skipped();
      try {
        return await this.#transfer(key, opened, cleared);
      } catch (error) {
        signal.throwIfAborted();
        // Overwritten in the middle, or a node went away: what is there now may be readable.
        if (toOmgfsError(error).retry !== 'other' || tries === triesMax) throw error;
      }
    }
  }

  async #wouldCopy(key: string, version: FileVersion): Promise<void> {
    const { length = await this.#lengthOf(key) } = version;
    if (length === undefined) return this.#report.skipped();
    const { to } = this.#place;
    this.#report.done(length, { action: 'copy', domain: to, ...jsonKey(key), bytes: length });
  }

  async #transfer(key: string, opened: OpenFile, { record, replaces }: Cleared): Promise<void> {
    const { state, to } = this.#place;
    const { fid, length, checksum, class: name = 'default' } = opened.version;
    const sum = checksum === undefined ? {} : { checksum: formatChecksum(checksum) };
    await state.note(key, { ...record, begun: fid, length, ...sum });
    let stored: StoredFile;
    try {
      stored = await this.#put(key, opened, replaces);
    } catch (error) {
      // A run that is stopped may have stored it; other failures leave what was known before.
      if (!this.#options.signal.aborted) {
        const former = Object.keys(record).length === 0 ? undefined : record;
        await state.note(key, former).catch(() => undefined);
      }
      throw error;
    }
    await state.note(key, { source: fid, target: stored.fid, class: name });
    this.#report.done(length, { action: 'copy', domain: to, ...jsonKey(key), bytes: length });
  }

  #put(key: string, opened: OpenFile, replaces: number | undefined): Promise<StoredFile> {
    const { signal, throttle, overwrite } = this.#options;
    const { length, checksum, class: name = 'default' } = opened.version;
    const fidOf = () => this.#target.fidOf(key, signal);
    // A copy may take long; what others stored meanwhile is seen before it becomes visible.
    const bytes = async function* (): AsyncGenerator<Buffer> {
      yield* opened.stream;
      const fid = overwrite ? undefined : await fidOf();
      if (fid !== undefined && fid !== replaces) refuseToReplace('it came during the copy');
    };
    const onBytes = (count: number) => {
      this.#report.moved(count);
      return throttle.take(count);
    };
    const file = {
      ...{ length, checksum, class: name, once: true, open: bytes, onBytes },
      // Decided where it is stored, by targets that can. Others are asked as late as possible.
      replacing: overwrite ? undefined : (replaces ?? 0),
    };
    return this.#target.put(key, file, signal);
  }

  /**
   * Undefined when nothing is to be copied, as the target has the file: a run that was killed may
   * not have noted it. That a copy was begun says nothing of whose file is there.
   * @throws KEY_EXISTS for another file that no migration wrote.
   */
  async #clear(
    key: string,
    { version, record }: { version: FileVersion; record: CopyRecord },
  ): Promise<Cleared | undefined> {
    const { signal, overwrite } = this.#options;
    if (this.#place.targetIsNew) return { record, replaces: undefined };
    const fid = await this.#target.fidOf(key, signal);
    // Ours, of a version that is out of date.
    if (fid === undefined || fid === record.target) return { record, replaces: fid };
    const { length = await this.#lengthOf(key) } = version;
    if (length === undefined) return undefined;
    const checksum = async () => version.checksum ?? (await this.#digest(key));
    const found = await this.#target.compare(key, { length, checksum }, signal);
    if (found.state === 'absent') return { record, replaces: undefined };
    if (found.state === 'same') {
      const { fid: source, class: name = 'default' } = version;
      await this.#note(key, { source, target: found.fid, class: name });
      return undefined;
    }
    if (found.fid === record.target) return { record, replaces: found.fid };
    if (await this.#isBegun(key, { fid: found.fid, record })) {
      return { record: { target: found.fid }, replaces: found.fid };
    }
    if (!overwrite) refuseToReplace(found.why);
    return { record, replaces: found.fid };
  }

  /** Whether a file at the target is the version, now replaced, that a killed run began to copy. */
  async #isBegun(
    key: string,
    { fid, record }: { fid: number; record: CopyRecord },
  ): Promise<boolean> {
    const { begun, length, checksum = '' } = record;
    const sum = parseChecksum(checksum);
    if (begun === undefined || length === undefined || sum === undefined) return false;
    const wanted = { length, checksum: async () => sum };
    const found = await this.#target.compare(key, wanted, this.#options.signal);
    return found.state === 'same' && found.fid === fid;
  }

  async #lengthOf(key: string): Promise<number | undefined> {
    const opened = await this.#source.open(key, this.#options.signal);
    opened?.stream.destroy();
    return opened?.version.length;
  }

  async #digest(key: string) {
    const opened = await this.#source.open(key, this.#options.signal);
    if (opened === undefined) throw new OmgfsError('UNKNOWN_KEY');
    return digestOf(opened.stream, opened.version, hashTypeDefault);
  }

  /** A class may change without a new version of the file. */
  async #keepClass(
    key: string,
    { version, record }: { version: FileVersion; record: CopyRecord },
  ): Promise<void> {
    const { class: name } = version;
    if (name === undefined || name === record.class || this.#options.dryRun) return;
    const { target, to, state } = this.#place;
    const args = { domain: toByteString(to), key, class: toByteString(name) };
    await target.trackers.request('updateclass', args, { signal: this.#options.signal });
    await state.note(key, { ...record, class: name });
  }

  /** A key that was copied and that the source does not list any more. */
  async #follow(key: string, record: CopyRecord): Promise<void> {
    const { signal } = this.#options;
    // Not listed may also mean that it was renamed back in the meantime.
    if ((await this.#source.describe(key, signal)) !== undefined) return;
    if (!this.#options.delete) {
      this.gone += 1;
      return;
    }
    const { target, to } = this.#place;
    if (this.#place.targetIsNew) return;
    const fid = await this.#target.fidOf(key, signal);
    // Neither is it ours because a copy was begun.
    if (fid !== undefined && fid !== record.target) {
      const why = record.begun === undefined ? 'was replaced' : 'may be of somebody else';
      this.#report.note(`'${keyText(key)}' ${why} at the target and stays there`);
    } else if (fid !== undefined) {
      // Not a file that took its place since, where the target can tell; others ignore the fid.
      const args = { domain: toByteString(to), key, fid };
      if (!this.#options.dryRun) {
        await unlessGone(target.trackers.request('delete', args, { signal }));
      }
      this.deleted += 1;
      this.#report.said({ action: 'delete', domain: to, ...jsonKey(key) });
    }
    await this.#note(key, undefined);
  }

  async #note(key: string, record: CopyRecord | undefined): Promise<void> {
    if (!this.#options.dryRun) await this.#place.state.note(key, record);
  }
}
