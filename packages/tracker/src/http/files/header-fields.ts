/** What headers of the files API say of a file, both ways (docs/files-api.md). Pure. */
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { contentDisposition, fromByteString, OmgfsError, toByteString } from '@omgfs/protocol';
import type { Description, FileFacts } from '../../files/file-facts.ts';

const metadataPrefix = 'x-meta-';
const contentTypeDefault = 'application/octet-stream';
/**
 * What a browser shows without running anything in it. Not SVG or what else ends in `+xml`, which
 * have scripts, and no list of types, of which browsers take the last.
 */
const inlineType =
  /^(?:(?:image\/(?!svg)|audio\/|video\/)[\w.-]+|application\/pdf|text\/plain) *(?:;[^,]*)?$/i;

/** What an upload says of itself. @throws BAD_REQUEST for what cannot be kept. */
export function descriptionOf(headers: IncomingHttpHeaders): Description {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    const message = 'Content-Encoding is not kept: send the bytes as they shall be stored.';
    throw new OmgfsError('BAD_REQUEST', { message });
  }
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(metadataPrefix) || value === undefined) continue;
    metadata[name.slice(metadataPrefix.length)] = textOf(String(value));
  }
  const filename = filenameOf(headers['content-disposition']);
  const contentType = headers['content-type'];
  return {
    ...(contentType === undefined ? {} : { contentType: textOf(contentType) }),
    ...(filename === undefined ? {} : { filename }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

/**
 * Headers that tell of a file, whoever sends its bytes. A proxy passes on only those that it knows
 * by name: for one, all metadata is one header.
 */
export function headersOf(
  facts: FileFacts,
  { together = false }: { together?: boolean } = {},
): OutgoingHttpHeaders {
  const { contentType = contentTypeDefault, filename, metadata = {}, checksum, storedAt } = facts;
  const type = headerText(toByteString(contentType)) || contentTypeDefault;
  const headers: OutgoingHttpHeaders = {
    'Content-Type': type,
    ETag: facts.etag,
    'X-Fid': facts.fid,
    'X-Class': facts.class === '' ? 'default' : headerText(facts.class),
    'X-Devcount': facts.devcount,
    // The type is what the uploader said; a browser shall not find another one.
    'X-Content-Type-Options': 'nosniff',
  };
  if (storedAt !== undefined) headers['Last-Modified'] = storedAt.toUTCString();
  // A page that somebody stored must not run as one of this site.
  const disposition = inlineType.test(type) ? 'inline' : 'attachment';
  if (filename !== undefined) {
    headers['Content-Disposition'] = contentDisposition(disposition, filename);
  } else if (disposition === 'attachment') headers['Content-Disposition'] = disposition;
  if (checksum?.type === 'MD5') {
    headers['Repr-Digest'] = `md5=:${Buffer.from(checksum.hex, 'hex').toString('base64')}:`;
  }
  const pairs = Object.entries(metadata);
  if (together) {
    // JSON in UTF-8, as in listings.
    if (pairs.length > 0)
      headers['X-Omgfs-Meta'] = headerText(toByteString(JSON.stringify(metadata)));
    return headers;
  }
  for (const [name, value] of pairs) {
    headers[`X-Meta-${name}`] = headerText(toByteString(value));
  }
  return headers;
}

/** UTF-8, or what HTTP had before and `fetch` still sends: a character a byte. */
function textOf(bytes: string): string {
  return isUtf8(Buffer.from(bytes, 'latin1')) ? fromByteString(bytes) : bytes;
}

/** What cannot stand in a header is left out of it. */
function headerText(bytes: string): string {
  return bytes.replace(/[^\t\x20-\x7e\x80-\xff]/g, '');
}

/** The file name of a `Content-Disposition` (RFC 6266), its last part. */
function filenameOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const extended = /;\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)/i.exec(header)?.[1];
  const decoded = extended === undefined ? undefined : decodedOf(extended);
  const quoted = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(header);
  const plain = quoted?.[1]?.replace(/\\(.)/g, '$1') ?? quoted?.[2];
  const name = decoded ?? (plain === undefined ? undefined : textOf(plain));
  return name?.replace(/^.*[/\\]/s, '') || undefined;
}

function decodedOf(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
