/** Storing what an export holds. What is there already, with the same bytes, is left as it is. */
import type { Admin, Client } from '@omgfs/client';
import type { Checksum } from '@omgfs/protocol';
import { about } from '../../output.ts';
import { digestOf, hashTypeDefault } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { prepareNamespace } from '../namespace.ts';
import { Report } from '../report.ts';
import { type Found, refuseToReplace, TargetFiles } from '../target-files.ts';
import { Throttle } from '../throttle.ts';
import type { Entry, ManifestHead } from './manifest.ts';

export interface ImportPlace {
  client: Client;
  admin: Admin;
  domain: string;
}

export interface ImportOptions {
  json: boolean;
  jobs: number;
  /** Bytes a second. */
  bandwidth?: number;
  dryRun?: boolean;
  /** Replace files at the target that have other bytes. */
  overwrite?: boolean;
  /** Take what is there of an export that was not finished. */
  partial?: boolean;
  signal: AbortSignal;
}

/** Bytes of one file of the export. */
export interface Stored {
  open: () => Promise<AsyncIterable<Buffer>> | AsyncIterable<Buffer>;
  /** They can be opened only once. */
  once?: boolean;
  /** The checksum behind them, where the entry has none. */
  checksumBehind?: () => Promise<Checksum>;
}

export class ImportRun {
  readonly report: Report;
  readonly #place: ImportPlace;
  readonly #options: ImportOptions;
  readonly #target: TargetFiles;
  readonly #throttle: Throttle;
  /** Nothing to compare with. */
  #isNew = false;

  constructor(
    place: ImportPlace,
    { total, ...options }: ImportOptions & { total: number | undefined },
  ) {
    this.#place = place;
    this.#options = options;
    this.#throttle = new Throttle(options.bandwidth, options.signal);
    this.#target = new TargetFiles(place.client);
    this.report = new Report({ label: 'importing', total, json: options.json });
  }

  /** Creates the domain and the classes that are missing. */
  async prepare({ classes }: ManifestHead): Promise<void> {
    const { admin, domain } = this.#place;
    const dryRun = this.#options.dryRun ?? false;
    const notes = await prepareNamespace(admin, { domain, classes }, { dryRun });
    for (const note of notes) this.report.note(note);
    this.#isNew = dryRun && notes.includes(`domain ${domain} is new`);
  }

  /** Stores one file, or counts why not. */
  async one(entry: Entry, stored: Stored): Promise<void> {
    const { signal } = this.#options;
    signal.throwIfAborted();
    try {
      await about('cannot import', keyText(entry.key), this.#import(entry, stored));
    } catch (error) {
      this.report.fail(error, signal);
    }
  }

  async #import(entry: Entry, stored: Stored): Promise<void> {
    const { key, length } = entry;
    const { signal, dryRun, overwrite } = this.#options;
    const promised = { length, checksum: entry.checksum ?? stored.checksumBehind };
    const found = await this.#find(entry, async () => {
      if (entry.checksum !== undefined) return entry.checksum;
      // Nobody knows it before they are read, and then they are gone.
      return digestOf(await stored.open(), promised, hashTypeDefault);
    });
    if (found.state === 'same') return this.report.skipped();
    if (found.state === 'other' && !overwrite) refuseToReplace(found.why);
    if (dryRun) await digestOf(await stored.open(), promised, hashTypeDefault);
    else {
      const onBytes = (bytes: number) => {
        this.report.moved(bytes);
        return this.#throttle.take(bytes);
      };
      const { open, once = false } = stored;
      await this.#target.put(key, { ...promised, class: entry.class, open, once, onBytes }, signal);
    }
    this.report.done(length, { ...jsonKey(key), bytes: length });
  }

  async #find(entry: Entry, checksum: () => Promise<Checksum>): Promise<Found> {
    const { overwrite, signal } = this.#options;
    const blind = overwrite === true && entry.checksum === undefined;
    if (this.#isNew || blind) return { state: 'absent' };
    return this.#target.compare(entry.key, { length: entry.length, checksum }, signal);
  }
}
