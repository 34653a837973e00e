/** PUT of a file: the body goes to storage nodes as it comes in, and counts when it is complete. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { announcedLength, digestCheckOf, OmgfsError } from '@omgfs/protocol';
import type { FastifyRequest } from 'fastify';
import type { FilePlace } from '../../files/file-facts.ts';
import type { FileStore, PutOptions, StoredFile } from '../../files/file-store.ts';
import { descriptionOf } from './header-fields.ts';

export interface UploadContext {
  files: FileStore;
  /** Longest upload, in bytes; undefined for no limit. */
  bytesMax: number | undefined;
}

/** What the query of an upload may say. */
export interface UploadQuery {
  class?: string;
  replicas?: number;
  wait?: number;
}

export async function upload(
  { files, bytesMax }: UploadContext,
  exchange: { request: FastifyRequest; place: FilePlace; options: PutOptions },
): Promise<StoredFile> {
  const { request, place, options } = exchange;
  const { headers, raw } = request;
  if (headers['content-range'] !== undefined) {
    // RFC 9110 §14.5: a part must never be taken for the whole.
    const message = 'A PUT is a whole file; send parts to /tus/<domain>.';
    throw new OmgfsError('BAD_REQUEST', { message });
  }
  const length = announcedLength(headers);
  if (bytesMax !== undefined && length !== undefined && length > bytesMax) {
    throw new OmgfsError('BODY_TOO_LARGE', { message: `At most ${bytesMax} bytes are taken.` });
  }
  const { metadata, ...description } = descriptionOf(headers);
  return files.put(place, bodyOf(raw), {
    ...options,
    ...description,
    ...(metadata === undefined ? {} : { metadata: { ...options.metadata, ...metadata } }),
    length,
    bytesMax,
    digests: digestCheckOf(headers),
    replacing: await replacingOf(files, place, headers),
  });
}

/**
 * The body, which says so when it was cut. The connection survives a reader that stops, because it
 * carries the answer.
 */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  } catch (cause) {
    throw new OmgfsError('BODY_TIMEOUT', { message: 'The body was cut.', cause });
  }
  if (!request.complete) throw new OmgfsError('BODY_TIMEOUT', { message: 'The body was cut.' });
}

/**
 * The fid that must be replaced or removed by the conditions of the request; 0 for none at all.
 * @throws PRECONDITION_FAILED.
 */
export async function replacingOf(
  files: FileStore,
  place: FilePlace,
  headers: IncomingHttpHeaders,
): Promise<number | undefined> {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const facts = await files.stat(place).catch((error: { code?: string }) => {
    if (error.code === 'UNKNOWN_KEY') return undefined;
    throw error;
  });
  const names = (list: string) =>
    facts !== undefined &&
    (list.trim() === '*' || list.split(',').some((etag) => etag.trim() === facts.etag));
  const met = ifMatch === undefined ? !names(ifNoneMatch ?? '') : names(ifMatch);
  if (!met) throw new OmgfsError('PRECONDITION_FAILED');
  return facts?.fid ?? 0;
}
