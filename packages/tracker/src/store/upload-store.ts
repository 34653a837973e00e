/**
 * Uploads that come in parts and can be resumed, on any tracker. Each part is an open upload with a
 * fid of its own, so that whatever cleans up abandoned uploads cleans up parts too; these rows say
 * which parts make which file. Kept in tables of ours, made when they are first needed.
 */

export interface ResumableUpload {
  /** Nobody can guess it. */
  id: string;
  dmid: number;
  dkey: string;
  /** Byte string; empty for the default class. */
  className: string;
  /** Bytes of the whole file; undefined until somebody says. */
  length: number | undefined;
  /** Byte strings, as in `DescriptionRow`. */
  contentType: string | undefined;
  filename: string | undefined;
  metadata: string | undefined;
}

export interface UploadPart {
  /** Offset of its first byte in the file. */
  start: number;
  fid: number;
  /** The devices that have it. */
  devids: readonly number[];
  length: number;
}

export interface FoundUpload extends ResumableUpload {
  /** Unix seconds by the clock of the database, from which on it is given up. */
  expires: number;
  /** The file that it became, by the transaction that stored it; 0 until then. */
  fid: number;
  /** Bytes that are there in parts, which have no gaps. */
  bytes: number;
}

export interface UploadStore {
  /** @throws FAILURE when the tables may not be made. */
  create(upload: ResumableUpload, options: { ttlSeconds: number }): Promise<void>;
  /** Undefined for one that is unknown or has expired. */
  find(id: string): Promise<FoundUpload | undefined>;
  /** All its parts, in order; apart from `find`, which costs the same however many there are. */
  parts(id: string): Promise<UploadPart[]>;
  /** Says the length of an upload that had none. @returns false when it had one. */
  setLength(request: { id: string; length: number }): Promise<boolean>;
  /**
   * Adds a part at the end, in one transaction, and puts the end of the upload off, to `ttlSeconds`
   * at least: that of its parts too, which count as abandoned `tempfileAgeSeconds` after they were
   * opened. An upload has `partsMax` parts at most.
   */
  addPart(
    request: { id: string; part: UploadPart },
    options: { ttlSeconds: number; tempfileAgeSeconds: number; partsMax: number },
  ): Promise<'added' | 'other_offset' | 'too_many' | 'unknown'>;
  /** Lets one caller at a time make the file. @returns false while another does, and afterwards. */
  claim(request: { id: string; leaseSeconds: number }): Promise<boolean>;
  /** Begins the lease of a claim anew; 0 seconds give it up. */
  renew(request: { id: string; leaseSeconds: number }): Promise<void>;
  /** Forgets the parts of an upload that became a file. */
  forgetParts(id: string): Promise<void>;
  /** Forgets an upload and its parts. */
  remove(id: string): Promise<void>;
  /** Makes an open upload as young as one opened now. @returns false when it is not open. */
  renewTempfile(fid: number): Promise<boolean>;
  /**
   * Looks at up to `limit` uploads behind an id, and forgets those that have expired.
   * @returns the last id looked at; undefined behind the last upload.
   */
  expire(request: { after: string; limit: number }): Promise<string | undefined>;
}
