/**
 * How long the HTTP API waits for what a client sends. Commands have short bodies and one deadline;
 * transfers of files may last as long as they make progress (pace.ts); what is sent behind a
 * refusal is dropped for a moment only.
 */

import type { IncomingMessage } from 'node:http';
import { OmgfsError } from '@omgfs/protocol';
import { whenGone } from '@omgfs/webdav/when-gone';
import type { FastifyInstance } from 'fastify';
import { Pace, type PaceRules } from './pace.ts';

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
export function lingerAfterRefusals(
  app: FastifyInstance,
  { bodyBytesMax = Number.POSITIVE_INFINITY }: { bodyBytesMax: number | undefined },
): void {
  app.server.on('checkContinue', (request, response) => {
    app.server.emit('request', request, response);
  });
  app.addHook('preParsing', async (request, reply) => {
    const { expect, 'content-length': length = '0' } = request.headers;
    if (expect !== undefined && Number(length) <= bodyBytesMax) reply.raw.writeContinue();
  });
  app.addHook('onResponse', async ({ raw }) => {
    if (raw.complete) return;
    endUnlessComplete(raw, lingerMs);
    raw.resume();
  });
}

/** Requests for files in progress, of all addresses and protocols together. */
export class Transfers {
  readonly #max: number;
  readonly #pace: Pace;
  #active = 0;

  constructor({ max, ...rules }: { max: number } & PaceRules) {
    this.#max = max;
    this.#pace = new Pace(rules);
  }

  /** @throws TRACKER_BUSY. */
  begin(request: IncomingMessage): void {
    if (this.#active >= this.#max) throw new OmgfsError('TRACKER_BUSY');
    this.#active += 1;
    this.#pace.begin(request);
  }

  end(request: IncomingMessage): void {
    this.#active -= 1;
    this.#pace.end(request);
  }
}

/**
 * Refuses requests beyond so many at once: each holds buffers for as long as its client likes, and
 * memory must be bounded by configuration (I7).
 */
export function limitTransfers(app: FastifyInstance, transfers: Transfers): void {
  app.addHook('onRequest', async (request, reply) => {
    try {
      transfers.begin(request.raw);
    } catch (error) {
      reply.header('retry-after', 1);
      throw error;
    }
    whenGone(request.raw, reply.raw, () => transfers.end(request.raw));
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
