/** The headers of the tus protocol, version 1.0: reading and writing them. Pure. */
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { OmgfsError } from '@omgfs/protocol';
import type { Description } from '../../files/file-facts.ts';

export const tusVersion = '1.0.0';
export const tusExtensions =
  'creation,creation-with-upload,creation-defer-length,termination,expiration';
export const offsetType = 'application/offset+octet-stream';

/** A number of bytes. @throws BAD_REQUEST for anything else. */
export function bytesOf(headers: IncomingHttpHeaders, name: string): number {
  const value = headers[name];
  if (typeof value === 'string' && /^\d{1,15}$/.test(value)) return Number(value);
  throw new OmgfsError('BAD_REQUEST', { message: `${name} is no number of bytes.` });
}

/** The length of a new upload; undefined when it is said later. @throws BAD_REQUEST. */
export function lengthOf(headers: IncomingHttpHeaders): number | undefined {
  const deferred = headers['upload-defer-length'];
  if (deferred === undefined) return bytesOf(headers, 'upload-length');
  if (deferred === '1' && headers['upload-length'] === undefined) return undefined;
  const message = 'Either Upload-Length, or Upload-Defer-Length: 1.';
  throw new OmgfsError('BAD_REQUEST', { message });
}

export interface TusMetadata extends Description {
  key: string | undefined;
  class: string | undefined;
}

/**
 * `Upload-Metadata`: names with values in base64. `key` and `class` say where the file goes; what
 * clients by custom call `filename` and `filetype` is its name and type; the rest is kept as it is.
 * @throws BAD_REQUEST when it is malformed.
 */
export function metadataOf(header: string | string[] | undefined): TusMetadata {
  const pairs = new Map<string, string>();
  for (const item of String(header ?? '').split(',')) {
    if (item.trim() === '') continue;
    // By words: an expression for the whole item would try every way to share out its spaces.
    const [first = '', value = '', more] = item.split(' ').filter((word) => word !== '');
    const name = first.toLowerCase();
    const valid = !/\s/.test(name) && /^[A-Za-z0-9+/]*={0,2}$/.test(value) && more === undefined;
    const bytes = Buffer.from(value, 'base64');
    // Anything else would become another text, and keys that differ the same key.
    if (!valid || pairs.has(name) || !isUtf8(bytes)) {
      const message =
        'Upload-Metadata is a list of distinct names, each with a text in UTF-8, in base64.';
      throw new OmgfsError('BAD_REQUEST', { message });
    }
    pairs.set(name, bytes.toString('utf8'));
  }
  const filename = pairs.get('filename') ?? pairs.get('name');
  const contentType = pairs.get('filetype') ?? pairs.get('type');
  const known = ['key', 'class', 'filename', 'name', 'filetype', 'type', 'relativepath'];
  const rest = [...pairs].filter(([name]) => !known.includes(name));
  return {
    key: pairs.get('key') ?? filename,
    class: pairs.get('class'),
    ...(filename ? { filename } : {}),
    ...(contentType ? { contentType } : {}),
    ...(rest.length === 0 ? {} : { metadata: Object.fromEntries(rest) }),
  };
}

/** `Upload-Metadata` of an upload as it is told to a client that resumes. */
export function metadataHeader(said: TusMetadata): string {
  const { key, class: className, filename, contentType, metadata = {} } = said;
  const pairs = { key, class: className, filename, filetype: contentType, ...metadata };
  return Object.entries(pairs)
    .flatMap(([name, value]) => {
      return value ? [`${name} ${Buffer.from(value, 'utf8').toString('base64')}`] : [];
    })
    .join(',');
}
