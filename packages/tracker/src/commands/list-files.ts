/**
 * `list_files`: keys below a prefix with what is known of their files, and folders in place of the
 * keys that have a delimiter behind the prefix. A command of ours; `list_keys` is the one that
 * clients of MogileFS know.
 */
import { limits, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { StoredDescription } from '../store/description-store.ts';
import type { FileRow, Store } from '../store/store.ts';
import { domainOf, integerOf } from './arguments.ts';
import type { Command } from './command.ts';
import { descriptionFields } from './description.ts';
import type { CommandServices } from './services.ts';

/** Reads of keys for one answer; a list of deep folders may end early then and go on by `after`. */
const readsMax = 20;
/** Bytes of metadata in one answer; a list of files of which much was said ends early, too. */
const metadataBytesMax = 256 * 1024;
const describedAtOnce = 128;

export function listFiles({ store, lookups, topology }: CommandServices): Command {
  return async ({ args }) => {
    const { dmid, name: domain } = domainOf(topology, args);
    const { prefix = '', delimiter = '', after = '' } = args;
    if (after !== '' && !after.startsWith(prefix)) throw new OmgfsError('AFTER_MISMATCH');
    const limit = args.limit === undefined ? limits.listKeysMax : integerOf(args.limit);
    if (limit < 1) throw new OmgfsError('BAD_PARAMS', { message: 'limit must be 1 or more.' });
    const walk = new Walk(store, { dmid, prefix, delimiter, after });
    const page = await walk.read(Math.min(limit, limits.listKeysMax));
    const found = await Promise.all(page.keys.map((dkey) => lookups.findFile({ dmid, dkey })));
    // A file may have been deleted since its key was read.
    const existing = found.filter((file) => file !== undefined);
    const described = await describedWithin(store, existing);
    const files = existing.slice(0, described.count);
    const last = files.at(-1);
    if (last !== undefined && files.length < existing.length) {
      page.folders.length = page.foldersBefore[page.keys.indexOf(last.dkey)] ?? 0;
      page.after = last.dkey;
    }
    const fields: ReplyFields = { file_count: files.length, folder_count: page.folders.length };
    for (const [at, file] of files.entries()) {
      const { name } = topology.classOf(dmid, file.classid);
      const known = {
        ...fileFields(file, name),
        ...descriptionFields(described.rows.get(file.fid)),
      };
      for (const [field, value] of Object.entries(known)) {
        fields[`file_${at + 1}_${field}`] = value;
      }
    }
    for (const [at, folder] of page.folders.entries()) fields[`folder_${at + 1}`] = folder;
    return page.after === undefined ? fields : { ...fields, domain, next_after: page.after };
  };
}

/** Descriptions of the first files, as many as are not too long together, one at least. */
async function describedWithin(
  { descriptions }: Store,
  files: readonly { fid: number }[],
): Promise<{ count: number; rows: Map<number, StoredDescription> }> {
  const rows = new Map<number, StoredDescription>();
  let bytes = 0;
  for (let at = 0; at < files.length; at += describedAtOnce) {
    const fids = files.slice(at, at + describedAtOnce).map(({ fid }) => fid);
    const found = await descriptions.of(fids);
    for (const [index, fid] of fids.entries()) {
      const row = found.get(fid);
      if (row === undefined) continue;
      bytes += row.metadata?.length ?? 0;
      if (bytes > metadataBytesMax && at + index > 0) return { count: at + index, rows };
      rows.set(fid, row);
    }
  }
  return { count: files.length, rows };
}

function fileFields(file: FileRow, className: string): ReplyFields {
  const { fid, dkey, length, devcount } = file;
  return { fid, key: dkey, class: className, length, devcount };
}

interface Place {
  dmid: number;
  prefix: string;
  delimiter: string;
  after: string;
}

interface ListPage {
  keys: string[];
  folders: string[];
  /** How many of the folders stand before each key. */
  foldersBefore: number[];
  /** Undefined when nothing is left. */
  after?: string;
}

class Walk {
  readonly #store: Store;
  readonly #place: Place;
  readonly #keys: string[] = [];
  readonly #folders = new Set<string>();
  readonly #foldersBefore: number[] = [];
  /** The folder that was shown last; it is not shown again by the next page either. */
  #folder: string | undefined;
  #position: string;

  constructor(store: Store, place: Place) {
    this.#store = store;
    this.#place = place;
    this.#position = place.after;
    this.#folder = this.#folderOf(place.after);
  }

  async read(limit: number): Promise<ListPage> {
    const { dmid, prefix, delimiter } = this.#place;
    for (let reads = 0; reads < readsMax; reads += 1) {
      const ask = delimiter === '' ? limit - this.#keys.length : limits.listKeysMax;
      if (ask === 0) break;
      const keys = await this.#store.listKeys({
        ...{ dmid, prefix, after: this.#skipped(), limit: ask, caseSensitive: true },
      });
      for (const key of keys) {
        if (!this.#take(key, limit)) return this.#page({ more: true });
      }
      if (keys.length < ask) return this.#page({ more: false });
    }
    return this.#page({ more: true });
  }

  #page({ more }: { more: boolean }): ListPage {
    const page = {
      keys: this.#keys,
      folders: [...this.#folders],
      foldersBefore: this.#foldersBefore,
    };
    return more ? { ...page, after: this.#position } : page;
  }

  /** @returns false when the page is full and the key is for the next one. */
  #take(key: string, limit: number): boolean {
    const folder = this.#folderOf(key);
    const isNew = folder === undefined || folder !== this.#folder;
    if (isNew && this.#keys.length + this.#folders.size === limit) return false;
    this.#position = key;
    if (folder === undefined) {
      this.#keys.push(key);
      this.#foldersBefore.push(this.#folders.size);
    } else if (isNew) this.#folders.add(folder);
    this.#folder = folder;
    return true;
  }

  /** The folder below the prefix that a key is in. */
  #folderOf(key: string): string | undefined {
    const { prefix, delimiter } = this.#place;
    if (delimiter === '' || !key.startsWith(prefix)) return undefined;
    const at = key.indexOf(delimiter, prefix.length);
    return at < 0 ? undefined : key.slice(0, at + delimiter.length);
  }

  /** Where to read on: behind the whole folder where that place is certain. */
  #skipped(): string {
    if (this.#folder === undefined || !this.#store.exactKeys) return this.#position;
    return this.#folder.padEnd(limits.keyBytesMax, '\xff');
  }
}
