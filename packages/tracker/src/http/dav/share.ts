/**
 * The WebDAV share (docs/dav-share.md): every address below `/dav` goes here, whatever its method.
 * Bytes go the ways of the files API; all else is a method of WebDAV on the keys.
 */
import { limits, OmgfsError } from '@omgfs/protocol';
import { DavError, WebDav } from '@omgfs/webdav';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { filePlaceOf, KeyFiles } from '../../dav/key-files.ts';
import type { DavMode } from '../../dav/mode.ts';
import { download } from '../files/download.ts';
import type { FilesOptions } from '../files/routes.ts';
import { upload } from '../files/upload.ts';
import { boundBodies, limitTransfers } from '../patience.ts';
import { davMethods, davRoute } from './route.ts';

const treeMethods: readonly string[] = ['COPY', 'MOVE', 'DELETE'];

export class DavShare {
  readonly #dav: WebDav;
  readonly #files: FilesOptions;
  readonly #full: boolean;

  constructor(files: FilesOptions, mode: Exclude<DavMode, 'off'>) {
    this.#full = mode === 'full';
    this.#dav = new WebDav({ files: new KeyFiles(files.files), readonly: !this.#full });
    // A redirect is nothing that such a client follows.
    this.#files = files.shape === 'redirect' ? { ...files, shape: 'stream' } : files;
  }

  /** Adds the route to a scope of its own: bodies there are streams. */
  addTo(app: FastifyInstance): void {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_, __, done) => done(null));
    limitTransfers(app, this.#files.transfers);
    const to = {
      url: davRoute,
      schema: { hide: true },
      handler: (request: FastifyRequest, reply: FastifyReply) => this.#answer(request, reply),
    };
    app.route({ ...to, method: ['GET', 'HEAD', 'PUT'] });
    app.register(async (scope) => {
      boundBodies(scope);
      scope.route({ ...to, method: ['DELETE', 'OPTIONS', ...davMethods] });
    });
  }

  async #answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    try {
      const { method } = request;
      if (method === 'GET' || method === 'HEAD') return await this.#get(request, reply);
      if (method === 'PUT') return await this.#put(request, reply);
      if (!this.#dav.serves(method)) throw new OmgfsError('METHOD_NOT_ALLOWED');
      await untimed(request, () => {
        return this.#dav.handle(request.raw, reply.raw, request.originalUrl);
      });
      return reply.hijack();
    } catch (error) {
      if (reply.raw.headersSent) {
        // Half an answer must not look like a whole one.
        request.raw.socket.destroy();
        return reply.hijack();
      }
      if (!(error instanceof DavError)) throw error;
      return refuse(reply, error);
    }
  }

  async #get(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const path = this.#dav.pathOf(request.originalUrl);
    try {
      return await download(this.#files, { request, reply, place: filePlaceOf(path) });
    } catch (error) {
      const missing = error instanceof OmgfsError && error.status >= 403 && error.status <= 404;
      if (!missing || (await this.#dav.kindOf(path)) !== 'collection') throw error;
      throw new OmgfsError('METHOD_NOT_ALLOWED', {
        message: 'This is a folder of a WebDAV share; open it with a WebDAV client.',
      });
    }
  }

  async #put(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (!this.#full) throw new OmgfsError('METHOD_NOT_ALLOWED');
    const path = this.#dav.pathOf(request.originalUrl);
    const { originalUrl, headers } = request;
    const before = await this.#dav.mayWrite(originalUrl, headers, { parent: true });
    if (before === 'collection') {
      throw new OmgfsError('METHOD_NOT_ALLOWED', { message: 'A folder has that name.' });
    }
    const { files, uploadBytesMax: bytesMax } = this.#files;
    const mtime = headers['x-oc-mtime']?.toString();
    const options = mtime === undefined ? {} : { metadata: { mtime } };
    const exchange = { request, place: filePlaceOf(path), options };
    const { etag } = await upload({ files, bytesMax }, exchange);
    if (mtime !== undefined) reply.header('x-oc-mtime', 'accepted');
    return reply
      .code(before === undefined ? 201 : 204)
      .header('etag', etag)
      .send();
  }
}

/** Nothing moves on a connection while a large tree is copied or removed, however long. */
async function untimed({ raw, method }: FastifyRequest, work: () => Promise<void>): Promise<void> {
  if (!treeMethods.includes(method)) return work();
  raw.socket.setTimeout(0);
  try {
    await work();
  } finally {
    raw.socket.setTimeout(limits.clientStallMs);
  }
}

function refuse(reply: FastifyReply, error: DavError): FastifyReply {
  const xml = error.condition && `<D:error xmlns:D="DAV:"><D:${error.condition}/></D:error>`;
  const type = xml ? 'application/xml' : 'text/plain';
  return reply
    .code(error.status)
    .type(`${type}; charset=utf-8`)
    .send(xml || `${error.message}\n`);
}
