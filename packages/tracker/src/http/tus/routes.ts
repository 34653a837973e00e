/**
 * Resumable uploads by the tus protocol 1.0 (docs/files-api.md): an upload is created below the
 * address of its domain, gets its bytes in as many requests as it needs, and is a file when the
 * last has come.
 */
import { fromByteString, OmgfsError, toByteString } from '@omgfs/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FileStore } from '../../files/file-store.ts';
import type { ResumableUploads, UploadId } from '../../files/resumable-uploads.ts';
import { bodyOf } from '../files/upload.ts';
import { limitTransfers, type Transfers } from '../patience.ts';
import {
  bytesOf,
  lengthOf,
  metadataHeader,
  metadataOf,
  offsetType,
  tusExtensions,
  tusVersion,
} from './headers.ts';

export interface TusOptions {
  files: FileStore;
  /** Longest upload, in bytes; undefined for no limit. */
  uploadBytesMax: number | undefined;
  transfers: Transfers;
}

const tags = ['resumable uploads'];
const security = [{ token: [] }];
const params = (...names: string[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
});

/** Adds the routes to a scope of their own: bodies there are streams. */
export async function addTusRoutes(app: FastifyInstance, options: TusOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_, __, done) => done(null));
  limitTransfers(app, options.transfers);
  app.addHook('onRequest', async ({ method, headers }, reply) => {
    reply.header('tus-resumable', tusVersion);
    reply.header('cache-control', 'no-store');
    if (method === 'OPTIONS' || headers['tus-resumable'] === tusVersion) return;
    reply.header('tus-version', tusVersion);
    throw new OmgfsError('PRECONDITION_FAILED', {
      message: `This is the tus protocol ${tusVersion}: send Tus-Resumable: ${tusVersion}.`,
    });
  });
  const tus = new Tus(options);
  const all = { tags, security };
  const ofDomain = { ...all, params: params('domain') };
  const ofUpload = { ...all, params: params('domain', 'id') };
  const route = (
    method: 'OPTIONS' | 'POST' | 'HEAD' | 'PATCH' | 'DELETE',
    url: string,
    schema: object,
    handler: (request: FastifyRequest, reply: FastifyReply) => unknown,
    // As a list, or a route for HEAD alone is left out of the API document.
  ) => app.route({ method: [method], url, schema, handler });
  for (const url of ['/tus/:domain', '/tus/:domain/']) {
    route('OPTIONS', url, { ...ofDomain, summary: 'What of tus is offered' }, tus.options);
    route('POST', url, { ...ofDomain, summary: 'Begin a resumable upload' }, tus.create);
  }
  const url = '/tus/:domain/:id';
  route('HEAD', url, { ...ofUpload, summary: 'How much of it is there' }, tus.head);
  route('PATCH', url, { ...ofUpload, summary: 'Send bytes from an offset on' }, tus.patch);
  route('DELETE', url, { ...ofUpload, summary: 'Give the upload up' }, tus.remove);
  route('OPTIONS', url, { hide: true }, tus.options);
  route('POST', url, { hide: true }, tus.overridden);
}

class Tus {
  readonly #uploads: ResumableUploads;
  readonly #bytesMax: number | undefined;

  constructor({ files, uploadBytesMax }: TusOptions) {
    this.#uploads = files.uploads;
    this.#bytesMax = uploadBytesMax;
  }

  options = async (_: FastifyRequest, reply: FastifyReply) => {
    const max = this.#bytesMax;
    reply.headers({ 'tus-version': tusVersion, 'tus-extension': tusExtensions });
    if (max !== undefined) reply.header('tus-max-size', max);
    return reply.code(204).send();
  };

  create = async (request: FastifyRequest, reply: FastifyReply) => {
    const { headers } = request;
    if (headers['upload-concat'] !== undefined) {
      const message = 'Upload-Concat is not offered; clients send a file in one upload by default.';
      throw new OmgfsError('BAD_REQUEST', { message });
    }
    const length = lengthOf(headers);
    this.#checkLength(length);
    const { key, class: className, ...said } = metadataOf(headers['upload-metadata']);
    const domain = uploadOf(request).domain;
    const id = await this.#uploads.create(
      { domain, key: toByteString(key ?? '') },
      { ...said, class: className && toByteString(className), length },
    );
    const upload = { domain, id };
    reply.header('location', `/tus/${encodeURIComponent(fromByteString(domain))}/${id}`);
    if (headers['content-type'] === offsetType) {
      const offset = await this.#append(request, upload, 0);
      reply.header('upload-offset', offset);
    }
    return this.#expiring(reply.code(201), upload);
  };

  head = async (request: FastifyRequest, reply: FastifyReply) => {
    const state = await this.#uploads.state(uploadOf(request));
    const { length, offset, expires } = state;
    const [key, className] = [state.key, state.class].map(fromByteString);
    if (length === undefined) reply.header('upload-defer-length', 1);
    else reply.header('upload-length', length);
    return reply
      .headers({
        'upload-offset': offset,
        'upload-expires': expires.toUTCString(),
        'upload-metadata': metadataHeader({ ...state.description, key, class: className }),
      })
      .send();
  };

  patch = async (request: FastifyRequest, reply: FastifyReply) => {
    const { headers } = request;
    if (headers['content-type'] !== offsetType) {
      const message = `A PATCH has the Content-Type ${offsetType}.`;
      throw new OmgfsError('UNSUPPORTED_TYPE', { message });
    }
    const upload = uploadOf(request);
    const offset = bytesOf(headers, 'upload-offset');
    if (headers['upload-length'] !== undefined) {
      const length = bytesOf(headers, 'upload-length');
      this.#checkLength(length);
      await this.#uploads.setLength(upload, length);
    }
    reply.header('upload-offset', await this.#append(request, upload, offset));
    return this.#expiring(reply.code(204), upload);
  };

  remove = async (request: FastifyRequest, reply: FastifyReply) => {
    await this.#uploads.remove(uploadOf(request));
    return reply.code(204).send();
  };

  /** For clients in surroundings that know no PATCH. */
  overridden = async (request: FastifyRequest, reply: FastifyReply) => {
    const method = String(request.headers['x-http-method-override'] ?? '').toUpperCase();
    if (method === 'PATCH') return this.patch(request, reply);
    if (method === 'DELETE') return this.remove(request, reply);
    throw new OmgfsError('METHOD_NOT_ALLOWED');
  };

  #append(request: FastifyRequest, upload: UploadId, offset: number): Promise<number> {
    // Putting the parts together may take longer than a client may be silent.
    request.raw.once('end', () => request.raw.socket.setTimeout(0));
    const body = bodyOf(request.raw);
    return this.#uploads.append(upload, { offset, body, bytesMax: this.#bytesMax });
  }

  async #expiring(reply: FastifyReply, upload: UploadId): Promise<FastifyReply> {
    const { expires } = await this.#uploads.state(upload);
    return reply.header('upload-expires', expires.toUTCString()).send();
  }

  #checkLength(length: number | undefined): void {
    const max = this.#bytesMax;
    if (max === undefined || length === undefined || length <= max) return;
    throw new OmgfsError('BODY_TOO_LARGE', { message: `At most ${max} bytes are taken.` });
  }
}

function uploadOf({ params }: FastifyRequest): UploadId {
  const { domain = '', id = '' } = params as Record<string, string>;
  return { domain: toByteString(domain), id };
}
