/**
 * The smallest application server on omgfs: it stores what is uploaded, and answers a download with
 * the headers that make nginx (or Perlbal) fetch the file from a storage node. It never touches the
 * bytes of a download.
 */
import type { Readable } from 'node:stream';
import { createClient, reproxyHeaders } from '@omgfs/client';
import Fastify, { type FastifyInstance } from 'fastify';
import { contentTypeOf } from './content-type.ts';

export interface ServerOptions {
  trackers: string[];
  domain: string;
}

export function createServer({ trackers, domain }: ServerOptions): FastifyInstance {
  const files = createClient({ trackers, domain });
  const server = Fastify({ bodyLimit: Number.MAX_SAFE_INTEGER });
  server.addHook('onClose', () => files.close());

  // Bodies are streamed on, so that the size of an upload does not matter.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (_request, body, done) => done(null, body));

  server.route<{ Params: { '*': string }; Body: Readable | undefined }>({
    method: ['PUT', 'POST'],
    url: '/files/*',
    handler: async (request, reply) => {
      const { params, headers, body = Buffer.alloc(0) } = request;
      // Where the length is known, the tracker finds a device with room for it.
      const size = Number(headers['content-length'] ?? Number.NaN);
      const options = Number.isSafeInteger(size) ? { size } : {};
      const stored = await files.put(params['*'], body, options);
      return reply.code(201).send({ bytes: stored.bytes });
    },
  });

  server.get<{ Params: { '*': string } }>('/files/*', async (request, reply) => {
    const key = request.params['*'];
    const paths = await files.paths(key, { count: 3 });
    // Perlbal takes the same list of URLs and ignores the rest.
    return reply
      .headers(reproxyHeaders(paths, { shape: 'nginx' }))
      .header('Content-Type', contentTypeOf(key))
      .header('Cache-Control', 'max-age=60')
      .send();
  });

  server.delete<{ Params: { '*': string } }>('/files/*', async (request, reply) => {
    await files.delete(request.params['*']);
    return reply.code(204).send();
  });

  // OmgfsError carries the status that fits, for example 404 for an unknown key.
  server.setErrorHandler<Error & { status?: number; code?: string }>((error, _request, reply) => {
    const { status = 500, code = 'FAILURE', message } = error;
    return reply.code(status).send({ error: { code, message } });
  });
  return server;
}
