/** What WebDAV needs of a file system. Paths are decoded and normalised: `/`, `/a`, `/a/b`. */

export interface FileFacts {
  kind: 'file' | 'collection';
  bytes: number;
  modified: Date;
  created: Date;
  /** With its quotes; the same as GET sends. */
  etag?: string;
}

/** Errors that are no DavError are left to the host, which knows what they mean. */
export interface DavFileSystem {
  /** @returns undefined when nothing that may be seen is there. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** Names in a collection, one at a time. */
  list(path: string): AsyncIterable<string>;
  makeCollection(path: string): Promise<void>;
  /** An empty file where nothing was (RFC 4918 §7.3). */
  createEmpty(path: string): Promise<void>;
  /** A file, or a collection without members. */
  remove(path: string): Promise<void>;
  /** Moves a file or a whole collection to a name that is free or, for files, a file. */
  move(from: string, to: string): Promise<void>;
  /** Whole or not at all, also when `signal` aborts it. */
  copyFile(from: string, to: string, signal: AbortSignal): Promise<void>;
}
