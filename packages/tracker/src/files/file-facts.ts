/** What is known of a stored file, from the fields in which commands tell it. */
import {
  type Checksum,
  type Fields,
  fromByteString,
  parseChecksum,
  type ReplyFields,
  toByteString,
} from '@omgfs/protocol';

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
  const { stored_at } = reply;
  return {
    fid,
    domain: String(reply.domain),
    key: String(reply.key),
    class: String(reply.class),
    length,
    devcount: Number(reply.devcount),
    checksum: parseChecksum(String(reply.checksum ?? '')),
    etag: etagOf({ fid, length }),
    storedAt: stored_at === undefined ? undefined : new Date(Number(stored_at) * 1000),
    ...descriptionOf(reply),
  };
}

/** What a reply says of a file, if anything. */
export function descriptionOf(reply: ReplyFields): Description {
  const { content_type, filename, metadata } = reply;
  return {
    ...(content_type === undefined ? {} : { contentType: fromByteString(String(content_type)) }),
    ...(filename === undefined ? {} : { filename: fromByteString(String(filename)) }),
    ...(metadata === undefined ? {} : { metadata: metadataOf(String(metadata)) }),
  };
}

/** Arguments of `create_close` that keep a description. */
export function describingArguments(description: Description): Fields {
  const { contentType, filename, metadata } = description;
  const text = (value: string | undefined) => (value === undefined ? value : toByteString(value));
  return argumentsOf({
    described: 1,
    content_type: text(contentType),
    filename: text(filename),
    metadata: metadata && text(JSON.stringify(metadata)),
  });
}

/** Whatever else stands in the database is none. */
function metadataOf(text: string): Record<string, string> {
  try {
    const entries = Object.entries(JSON.parse(fromByteString(text)));
    return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
  } catch {
    return {};
  }
}

/** Arguments without those that are undefined. */
export function argumentsOf(args: Record<string, string | number | undefined>): Fields {
  const fields: Fields = {};
  for (const [name, value] of Object.entries(args)) {
    if (value !== undefined) fields[name] = String(value);
  }
  return fields;
}
