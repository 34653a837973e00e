/** The smallest application on omgfs: stores what is PUT, answers a download by reproxy headers. */
import type { Readable } from 'node:stream';
import { createClient, sendReproxy } from '@omgfs/client';
import Fastify, { type FastifyInstance } from 'fastify';

/** Every file is a picture to it. */
export function createSmallApplication(place: {
  trackers: readonly string[];
  domain: string;
}): FastifyInstance {
  const files = createClient(place);
  const server = Fastify({ bodyLimit: Number.MAX_SAFE_INTEGER });
  server.addHook('onClose', () => files.close());
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (_request, body, done) => done(null, body));
  server.put<{ Params: { '*': string }; Body: Readable }>('/files/*', async (request, reply) => {
    await files.put(request.params['*'], request.body);
    return reply.code(201).send();
  });
  server.get<{ Params: { '*': string } }>('/files/*', async (request, reply) => {
    const paths = await files.paths(request.params['*'], { count: 3 });
    // Perlbal takes the same list of URLs and ignores the rest.
    return sendReproxy(reply, paths, { shape: 'nginx', contentType: 'image/png' });
  });
  server.setErrorHandler<Error & { status?: number }>((error, _request, reply) => {
    return reply.code(error.status ?? 500).send(error.message);
  });
  return server;
}
