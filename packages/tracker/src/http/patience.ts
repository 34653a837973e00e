/**
 * How long the HTTP API waits for what a client sends. Commands have short bodies and one deadline;
 * uploads may last as long as they make progress; what is sent behind a refusal is dropped for a
 * moment only.
 */
import type { IncomingMessage } from 'node:http';
import { OmgfsError } from '@omgfs/protocol';
import type { FastifyInstance } from 'fastify';

const bodyMsMax = 60_000;
const lingerMs = 5_000;

/** A body that is not complete in time ends the connection. */
export function boundBodies(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ raw }) => {
    if (!raw.complete) endUnlessComplete(raw, bodyMsMax);
  });
}

/**
 * Who is refused may send on a little, so that the answer is read instead of a reset. Who asks
 * before it sends (`Expect`) is told to go on when nothing speaks against it.
 */
export function lingerAfterRefusals(app: FastifyInstance): void {
  app.server.on('checkContinue', (request, response) => {
    app.server.emit('request', request, response);
  });
  app.addHook('preParsing', async (request, reply) => {
    if (request.headers.expect !== undefined) reply.raw.writeContinue();
  });
  app.addHook('onResponse', async ({ raw }) => {
    if (raw.complete) return;
    endUnlessComplete(raw, lingerMs);
    raw.resume();
  });
}

/**
 * Refuses requests beyond so many at once: each holds buffers for as long as its client likes, and
 * memory must be bounded by configuration (I7).
 */
export function limitTransfers(app: FastifyInstance, transfersMax: number): void {
  let active = 0;
  app.addHook('onRequest', async (_, reply) => {
    if (active >= transfersMax) {
      reply.header('retry-after', 1);
      throw new OmgfsError('TRACKER_BUSY');
    }
    active += 1;
    reply.raw.once('close', () => {
      active -= 1;
    });
  });
}

function endUnlessComplete(request: IncomingMessage, afterMs: number): void {
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, afterMs);
  timer.unref();
  request.once('end', () => clearTimeout(timer));
  request.once('close', () => clearTimeout(timer));
}
