/**
 * What whoever stored a file said of it, by fid: a file that takes the place of another never
 * inherits it, whoever stored it. It is kept in a table of ours, which may be missing.
 */

export interface DescriptionRow {
  fid: number;
  /** Byte strings. */
  contentType?: string | undefined;
  filename?: string | undefined;
  /** JSON text as a byte string. */
  metadata?: string | undefined;
}

export interface StoredDescription extends DescriptionRow {
  /** When it was written, which is just before the file is closed, in Unix seconds. */
  utime: number;
}

export interface DescriptionStore {
  /**
   * Replaces what was written of the fid; makes the table when it is missing. *Batched.*
   * @throws FAILURE when that is not allowed.
   */
  write(row: DescriptionRow): Promise<void>;
  /** Descriptions by fid; none where the table is missing. */
  of(fids: readonly number[]): Promise<Map<number, StoredDescription>>;
  /**
   * Looks at up to `limit` rows above a fid, and drops those whose fid is neither a file nor an
   * open upload. @returns the last fid looked at; undefined behind the last row.
   */
  prune(request: { after: number; limit: number }): Promise<number | undefined>;
}
