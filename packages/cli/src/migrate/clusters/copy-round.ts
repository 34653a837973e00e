/**
 * One pass over a domain: what is new or was overwritten at the source since the pass before is
 * copied, what was deleted there is removed if that is wanted. Both clusters may be in use: only
 * what a migration wrote is ever replaced or removed at the target.
 */
import type { Client } from '@omgfs/client';
import { OmgfsError, toByteString, toOmgfsError } from '@omgfs/protocol';
import { about } from '../../output.ts';
import { sortedKeys } from '../archive/export-listing.ts';
import { digestOf, hashTypeDefault } from '../checked-bytes.ts';
import { jsonKey, keyBytes, keyText } from '../keys.ts';
import { eachParallel } from '../parallel.ts';
import { Report } from '../report.ts';
import { joinRows } from '../rows/sorted-rows.ts';
import { type FileVersion, type OpenFile, SourceFiles } from '../source-files.ts';
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
  throttle: Throttle;
  signal: AbortSignal;
}

export interface CopyPlace {
  source: Client;
  target: Client;
  /** Names at the source and at the target. */
  from: string;
  to: string;
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
    if (await this.#isThere(key, { version, record })) return;
    for (let tries = 1; ; tries += 1) {
      const opened = await this.#source.open(key, signal);
      if (opened === undefined) return this.#report.skipped();
      try {
        return await this.#transfer(key, { opened, record });
      } catch (error) {
        signal.throwIfAborted();
        // Overwritten in the middle, or a node went away: what is there now may be readable.
        if (toOmgfsError(error).retry !== 'other' || tries === triesMax) throw error;
      }
    }
  }

  async #transfer(
    key: string,
    { opened, record }: { opened: OpenFile; record: CopyRecord },
  ): Promise<void> {
    const { signal, throttle } = this.#options;
    const { state, to } = this.#place;
    const { fid, length, checksum, class: name = 'default' } = opened.version;
    await state.note(key, { ...record, begun: fid });
    const stored = await this.#target.put(
      key,
      {
        ...{ length, checksum, class: name, once: true, open: () => opened.stream },
        onBytes: (bytes) => {
          this.#report.moved(bytes);
          return throttle.take(bytes);
        },
      },
      signal,
    );
    await state.note(key, { source: fid, target: stored.fid, class: name });
    this.#report.done(length, { action: 'copy', domain: to, ...jsonKey(key), bytes: length });
  }

  /**
   * Whether the target has the file already, which a run that was killed may not have noted.
   * @throws KEY_EXISTS for another file that no migration wrote.
   */
  async #isThere(
    key: string,
    { version, record }: { version: FileVersion; record: CopyRecord },
  ): Promise<boolean> {
    const { signal, overwrite } = this.#options;
    const fid = await this.#target.fidOf(key, signal);
    // Ours, of a version that is out of date.
    if (fid === undefined || (fid === record.target && record.begun === undefined)) return false;
    const { length = await this.#lengthOf(key) } = version;
    if (length === undefined) return false;
    const checksum = async () => version.checksum ?? (await this.#digest(key));
    const found = await this.#target.compare(key, { length, checksum }, signal);
    if (found.state === 'absent') return false;
    if (found.state === 'same') {
      const { fid: source, class: name = 'default' } = version;
      await this.#place.state.note(key, { source, target: found.fid, class: name });
      this.#report.skipped();
      return true;
    }
    if (!overwrite && record.begun === undefined && fid !== record.target) {
      refuseToReplace(found.why);
    }
    return false;
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
    if (name === undefined || name === record.class) return;
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
    const { target, to, state } = this.#place;
    const fid = await this.#target.fidOf(key, signal);
    if (fid !== undefined && fid !== record.target && record.begun === undefined) {
      const shown = keyText(key);
      this.#report.note(`'${shown}' was replaced at the target and stays there`);
    } else if (fid !== undefined) {
      await target.delete(keyBytes(key), { signal });
      this.deleted += 1;
      this.#report.said({ action: 'delete', domain: to, ...jsonKey(key) });
    }
    await state.note(key, undefined);
  }
}
