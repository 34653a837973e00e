/**
 * The files API (docs/files-api.md): a file of a domain has an address, and is read, stored and
 * deleted there. For who has no client library, and for a proxy directly in front of trackers.
 */
import multipart from '@fastify/multipart';
import { fromByteString, OmgfsError, toByteString } from '@omgfs/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FileFacts, FilePlace } from '../../files/file-facts.ts';
import type { FileStore, Page } from '../../files/file-store.ts';
import { count, text } from '../api.ts';
import { limitTransfers, type Transfers } from '../patience.ts';
import { type DownloadShape, download } from './download.ts';
import { storeForm } from './form.ts';
import { replacingOf, type UploadQuery, upload } from './upload.ts';

export interface FilesOptions {
  files: FileStore;
  /** How a download is answered that does not ask for anything else. */
  shape: DownloadShape;
  /** Longest upload, in bytes; undefined for no limit. */
  uploadBytesMax: number | undefined;
  /** Bounds requests at once, those of tus and WebDAV included. */
  transfers: Transfers;
}

const tags = ['files'];
const security = [{ token: [] }];
const url = '/files/:domain/*';
const params = {
  type: 'object',
  properties: { domain: { type: 'string' }, '*': { type: 'string', description: 'the key' } },
};
const replicasMax = 3;

/** Adds the routes to a scope of their own: bodies there are streams. */
export async function addFileRoutes(app: FastifyInstance, options: FilesOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_, __, done) => done(null));
  await app.register(multipart, { throwFileSizeLimit: false });
  limitTransfers(app, options.transfers);
  addReading(app, options);
  addWriting(app, options);
}

function addReading(app: FastifyInstance, { files, shape }: FilesOptions): void {
  const querystring = {
    type: 'object',
    properties: {
      prefix: text('list: only keys that begin with it'),
      delimiter: text('list: keys that have it behind the prefix are shown as one folder'),
      after: text('list: start behind this key, `after` of the page before'),
      limit: { ...count('list: 1 to 1000, by default 1000'), minimum: 1 },
    },
  };
  app.get('/files/:domain', { schema: { hide: true, querystring } }, (request) =>
    listing(files, placeOf(request).domain, request.query as ListQuery),
  );
  app.route({
    method: ['GET', 'HEAD'],
    url,
    schema: { tags, security, params, querystring, summary: 'Read a file; list without a key' },
    handler: async (request, reply) => {
      const place = placeOf(request);
      if (place.key === '') return listing(files, place.domain, request.query as ListQuery);
      return download({ files, shape }, { request, reply, place });
    },
  });
}

function addWriting(app: FastifyInstance, { files, uploadBytesMax: bytesMax }: FilesOptions): void {
  const querystring = {
    type: 'object',
    properties: {
      class: text('class; none for the default one'),
      replicas: {
        ...count('devices that shall have stored it before the answer, by default 1'),
        minimum: 1,
        maximum: replicasMax,
      },
      wait: {
        ...count('seconds to wait for them when storing on one went well, by default 10'),
        minimum: 0,
        maximum: 60,
      },
    },
  };
  app.put(
    url,
    { schema: { tags, security, params, querystring, summary: 'Store a file' } },
    async (request, reply) => {
      const place = placeOf(request);
      const { class: className, replicas, wait } = request.query as UploadQuery;
      const options = {
        ...{ replicas, wait },
        ...(className === undefined ? {} : { class: toByteString(className) }),
      };
      const stored = await upload({ files, bytesMax }, { request, place, options });
      const key = fromByteString(place.key);
      return reply
        .code(201)
        .header('etag', stored.etag)
        .send({ key, ...stored });
    },
  );
  app.post(
    url,
    {
      schema: {
        ...{ tags, security, params, consumes: ['multipart/form-data'] },
        summary: 'Store the files of a form, below the key of the address',
      },
    },
    async (request, reply) => {
      const stored = await storeForm({ files, bytesMax }, { request, place: placeOf(request) });
      return reply.code(201).send({ files: stored });
    },
  );
  app.delete(
    url,
    { schema: { tags, security, params, summary: 'Delete a file' } },
    async (request, reply) => {
      const place = placeOf(request);
      await files.remove(place, await replacingOf(files, place, request.headers));
      return reply.code(204).send();
    },
  );
}

function placeOf(request: FastifyRequest): FilePlace {
  const { domain = '', '*': key = '' } = request.params as Record<string, string>;
  return { domain: toByteString(domain), key: toByteString(key) };
}

interface ListQuery {
  prefix?: string;
  delimiter?: string;
  after?: string;
  limit?: number;
}

async function listing(files: FileStore, domain: string, query: ListQuery): Promise<unknown> {
  const bytes = (value: string | undefined) => value && toByteString(value);
  const { prefix, delimiter, after, limit } = query;
  const page: Page = await files.list(domain, {
    ...{ prefix: bytes(prefix), delimiter: bytes(delimiter), after: bytes(after), limit },
  });
  const next = page.after === undefined ? null : fromByteString(page.after);
  // In JSON it would be another key, and the next page the same one or one further on.
  if (next?.includes('\ufffd')) {
    const message = 'The last key of this page is not UTF-8: list with omgfs ls, or another limit.';
    throw new OmgfsError('BAD_PARAMS', { message });
  }
  return { files: page.files.map(shown), folders: page.folders.map(fromByteString), after: next };
}

function shown(facts: FileFacts): Record<string, unknown> {
  const { key, fid, length, etag, devcount, contentType, filename, metadata, storedAt } = facts;
  return {
    key: fromByteString(key),
    ...{ length, fid, etag, devcount },
    class: fromByteString(facts.class),
    content_type: contentType,
    filename,
    metadata,
    stored_at: storedAt?.toISOString(),
  };
}
