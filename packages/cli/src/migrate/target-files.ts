/** Files of the cluster that is written to: is a file there already, and if not, store it. */
import type { Client, StoredFile } from '@omgfs/client';
import {
  type Checksum,
  type HashType,
  OmgfsError,
  parseChecksum,
  toOmgfsError,
} from '@omgfs/protocol';
import { CheckedBytes, digestOf, type Promised } from './checked-bytes.ts';
import { keyBytes } from './keys.ts';
import { unlessGone } from './source-files.ts';

/** What stands under a key at the target, compared with what should. */
export type Found =
  | { state: 'absent' }
  | { state: 'same'; fid: number }
  | { state: 'other'; fid: number; why: string };

export interface Wanted {
  length: number;
  /** Asked only when nothing else decides. */
  checksum: () => Promise<Checksum>;
}

export interface NewFile extends Promised {
  class: string;
  /** Opens the bytes; again when a try failed, unless there is only one. */
  open: () => Promise<AsyncIterable<Buffer>> | AsyncIterable<Buffer>;
  once?: boolean;
  /** Of the checksum, where that is not known yet. */
  type?: HashType;
  onBytes?: (bytes: number) => Promise<void> | void;
  /** Store only in the place of this fid, or with 0 of none, where the target can decide so. */
  replacing?: number | undefined;
}

const triesMax = 3;

export class TargetFiles {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The fid under the key; undefined when there is none. */
  async fidOf(key: string, signal: AbortSignal): Promise<number | undefined> {
    return (await unlessGone(this.#client.info(keyBytes(key), { signal })))?.fid;
  }

  /** By length, then by the checksum that the tracker keeps, then by reading the bytes. */
  async compare(key: string, wanted: Wanted, signal: AbortSignal): Promise<Found> {
    const info = await unlessGone(this.#client.info(keyBytes(key), { signal }));
    if (info === undefined) return { state: 'absent' };
    const { fid, length } = info;
    if (length !== wanted.length) {
      return { state: 'other', fid, why: `it has ${length} bytes, not ${wanted.length}` };
    }
    const checksum = await wanted.checksum();
    const kept = parseChecksum(info.checksum ?? '');
    const found = kept?.type === checksum.type ? kept : await this.#read(key, checksum, signal);
    if (found === undefined) return { state: 'absent' };
    if (found.hex === checksum.hex) return { state: 'same', fid };
    return { state: 'other', fid, why: 'it has other bytes of the same length' };
  }

  /** Stores a file whose bytes are what was promised; nothing is stored when they are not. */
  async put(key: string, file: NewFile, signal: AbortSignal): Promise<StoredFile> {
    for (let tries = 1; ; tries += 1) {
      const opened = await file.open();
      const bytes = new CheckedBytes(opened, file, file);
      try {
        return await this.#client.put(keyBytes(key), bytes, {
          // Trackers know the default class by no name (spec §2.1).
          class: file.class === 'default' ? '' : file.class,
          size: file.length,
          checksum: bytes.type,
          ...(file.replacing === undefined ? {} : { replacing: file.replacing }),
          signal,
        });
      } catch (error) {
        signal.throwIfAborted();
        const again = toOmgfsError(error).retry === 'other' && !file.once && tries < triesMax;
        if (!again) throw error;
      }
    }
  }

  async #read(key: string, { type }: Checksum, signal: AbortSignal): Promise<Checksum | undefined> {
    const found = await unlessGone(this.#client.get(keyBytes(key), { signal }));
    if (found === undefined) return undefined;
    return digestOf(found.stream, { length: found.length, checksum: undefined }, type);
  }
}

/** @throws KEY_EXISTS for a file that nobody said may be replaced. */
export function refuseToReplace(why: string): never {
  const message = `there is another file at the target (${why}); --overwrite replaces it`;
  throw new OmgfsError('KEY_EXISTS', { message });
}
