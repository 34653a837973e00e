/**
 * What WebDAV needs of a file system. Paths are decoded and normalised: `/`, `/a`, `/a/b`. They and
 * names are byte strings (code units 0 to 255), because nothing says that names are UTF-8.
 */

export interface FileFacts {
  kind: 'file' | 'collection';
  bytes: number;
  /** Undefined where nobody knows. */
  modified?: Date | undefined;
  created?: Date | undefined;
  /** With its quotes; the same as GET sends. */
  etag?: string;
  /** Of a file; `application/octet-stream` without. */
  contentType?: string | undefined;
  /** A collection that cannot be removed, moved or replaced. */
  fixed?: true;
}

export interface DavEntry {
  name: string;
  /** What `stat` would tell, where listing tells it too. */
  facts?: FileFacts;
}

/** Errors that are no DavError are left to the host, which knows what they mean. */
export interface DavFileSystem {
  /** @returns undefined when nothing that may be seen is there. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** What is in a collection, one at a time. */
  list(path: string): AsyncIterable<DavEntry>;
  makeCollection(path: string): Promise<void>;
  /** An empty file where nothing was (RFC 4918 §7.3). */
  createEmpty(path: string): Promise<void>;
  /** Removes a file, or a collection that had no members when that was looked at. */
  remove(path: string, kind: FileFacts['kind']): Promise<void>;
  /**
   * Moves a file or a whole collection to a name that is free or, with `replace`, a file. A name
   * that is taken since that was looked at is refused with 412 where the file system can do so.
   */
  move(
    from: string,
    to: string,
    options: { kind: FileFacts['kind']; replace: boolean },
  ): Promise<void>;
  /**
   * Writes down that a name is in use for a moment, before it is, where the file system outlives
   * its process: after a restart what `replaced` had there is back, unless `by` has taken its
   * place, and nothing is left under the name. @returns what forgets it again.
   */
  noteAside?(
    path: string,
    options?: { replaced?: { path: string; by: string } },
  ): Promise<() => Promise<void>>;
  /** Whole or not at all, also when `signal` aborts it; `replace` as for `move`. */
  copyFile(
    from: string,
    to: string,
    options: { replace: boolean; signal: AbortSignal },
  ): Promise<void>;
}
