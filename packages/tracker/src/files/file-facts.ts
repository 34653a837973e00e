/** What is known of a stored file, from the fields in which commands tell it. */
import { type Checksum, type Fields, parseChecksum, type ReplyFields } from '@omgfs/protocol';

/** Domain and key are byte strings, as commands take them. */
export interface FilePlace {
  domain: string;
  key: string;
}

/** What whoever stored a file said of it; texts, not byte strings. */
export interface Description {
  contentType?: string;
  /** Name the file had where it comes from. */
  filename?: string;
  /** Anything else; names in lower case. */
  metadata?: Readonly<Record<string, string>>;
}

export interface FileFacts extends FilePlace, Description {
  fid: number;
  /** Byte string. */
  class: string;
  /** Bytes. */
  length: number;
  devcount: number;
  /** Undefined when the class keeps none, or none was kept. */
  checksum: Checksum | undefined;
  /** Strong, with its quotes; the same that storage nodes send for every replica. */
  etag: string;
  /** Undefined for a file whose storing was not noted. */
  storedAt: Date | undefined;
}

export function etagOf({ fid, length }: { fid: number; length: number }): string {
  return `"${fid}-${length}"`;
}

/** Facts from the reply of `file_info`. */
export function factsOf(reply: ReplyFields): FileFacts {
  const fid = Number(reply.fid);
  const length = Number(reply.length);
  return {
    fid,
    domain: String(reply.domain),
    key: String(reply.key),
    class: String(reply.class),
    length,
    devcount: Number(reply.devcount),
    checksum: parseChecksum(String(reply.checksum ?? '')),
    etag: etagOf({ fid, length }),
    storedAt: undefined,
  };
}

/** Arguments without those that are undefined. */
export function argumentsOf(args: Record<string, string | number | undefined>): Fields {
  const fields: Fields = {};
  for (const [name, value] of Object.entries(args)) {
    if (value !== undefined) fields[name] = String(value);
  }
  return fields;
}
