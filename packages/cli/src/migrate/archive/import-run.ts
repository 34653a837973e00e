/** Storing what an export holds. What is there already, with the same bytes, is left as it is. */
import type { Admin, Client } from '@omgfs/client';
import type { Checksum } from '@omgfs/protocol';
import { about } from '../../output.ts';
import { digestOf } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { prepareNamespace } from '../namespace.ts';
import { Report } from '../report.ts';
import { refuseToReplace, TargetFiles } from '../target-files.ts';
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
  async one(entry: Entry & { checksum: Checksum }, stored: Stored): Promise<void> {
    const { signal } = this.#options;
    signal.throwIfAborted();
    try {
      await about('cannot import', keyText(entry.key), this.#import(entry, stored));
    } catch (error) {
      this.report.fail(error, signal);
    }
  }

  async #import(entry: Entry & { checksum: Checksum }, stored: Stored): Promise<void> {
    const { key, length, checksum } = entry;
    const { signal, dryRun, overwrite } = this.#options;
    const wanted = { length, checksum: async () => checksum };
    const found = this.#isNew
      ? ({ state: 'absent' } as const)
      : await this.#target.compare(key, wanted, signal);
    if (found.state === 'same') return this.report.skipped();
    if (found.state === 'other' && !overwrite) refuseToReplace(found.why);
    if (dryRun) await digestOf(await stored.open(), entry, checksum.type);
    else {
      const onBytes = (bytes: number) => {
        this.report.moved(bytes);
        return this.#throttle.take(bytes);
      };
      await this.#target.put(key, { ...entry, ...stored, onBytes }, signal);
    }
    this.report.done(length, { ...jsonKey(key), bytes: length });
  }
}
