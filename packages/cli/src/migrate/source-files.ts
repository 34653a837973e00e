/**
 * Files of a cluster that others may write to meanwhile: what is known of a file and the bytes that
 * are read belong to the same version of it. Sends only commands that every MogileFS has.
 */
import type { Client, Download } from '@omgfs/client';
import {
  type Checksum,
  OmgfsError,
  parseChecksum,
  parseFidPath,
  toOmgfsError,
} from '@omgfs/protocol';
import { keyBytes } from './keys.ts';

export interface FileVersion {
  fid: number;
  /** Undefined from trackers that know no `file_info`. */
  length: number | undefined;
  class: string | undefined;
  /** What the tracker keeps. */
  checksum: Checksum | undefined;
}

export interface OpenFile {
  version: FileVersion & { length: number };
  stream: Download['stream'];
}

/** How often a file may be replaced between two questions before that is a failure. */
const triesMax = 4;

export class SourceFiles {
  readonly #client: Client;
  #hasFileInfo = true;

  constructor(client: Client) {
    this.#client = client;
  }

  /** @returns undefined when there is no such key. */
  async describe(key: string, signal: AbortSignal): Promise<FileVersion | undefined> {
    return unlessGone(this.#hasFileInfo ? this.#info(key, signal) : this.#paths(key, signal));
  }

  /** Opens the current version; undefined when there is no such key. @throws NO_REPLICA_UP. */
  async open(key: string, signal: AbortSignal): Promise<OpenFile | undefined> {
    for (let tries = 1; ; tries += 1) {
      const version = await this.describe(key, signal);
      if (version === undefined) return undefined;
      try {
        const found = await unlessGone(this.#client.get(keyBytes(key), { signal }));
        if (found === undefined) return undefined;
        const { stream, fid = version.fid, fileLength } = found;
        const length = version.length ?? fileLength;
        if (fid === version.fid && length === fileLength) {
          return { version: { ...version, length }, stream };
        }
        stream.destroy();
        if (fid === version.fid) {
          const message = `its replica has ${fileLength} bytes, the tracker says ${length}`;
          throw new OmgfsError('SIZE_MISMATCH', { message });
        }
      } catch (error) {
        // The old bytes may have gone with the old version.
        signal.throwIfAborted();
        const now = await this.describe(key, signal);
        if (now?.fid === version.fid || tries === triesMax) throw error;
      }
      if (tries === triesMax) {
        throw new OmgfsError('FAILURE', { message: 'the key is overwritten again and again' });
      }
    }
  }

  async #info(key: string, signal: AbortSignal): Promise<FileVersion> {
    try {
      const {
        fid,
        length,
        class: name,
        checksum,
      } = await this.#client.info(keyBytes(key), {
        signal,
      });
      return { fid, length, class: name, checksum: parseChecksum(checksum ?? '') };
    } catch (error) {
      if (toOmgfsError(error).code !== 'UNKNOWN_COMMAND') throw error;
      this.#hasFileInfo = false;
      return this.#paths(key, signal);
    }
  }

  /** The fid stands in the URLs of the replicas. */
  async #paths(key: string, signal: AbortSignal): Promise<FileVersion> {
    const urls = await this.#client.paths(keyBytes(key), { signal });
    const fid = urls.map((url) => parseFidPath(new URL(url).pathname)?.fid).find(Boolean);
    if (fid === undefined) {
      throw new OmgfsError('NO_REPLICA_UP', { message: 'the tracker names no replica of it' });
    }
    return { fid, length: undefined, class: undefined, checksum: undefined };
  }
}

/** Undefined instead of the error that says that there is no such key. */
export async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (toOmgfsError(error).code === 'UNKNOWN_KEY') return undefined;
    throw error;
  }
}
