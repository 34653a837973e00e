/**
 * One request at a time on each connection. node:http begins what a client sends without waiting
 * for answers all at once, so that one packet could take the place of all others, and a file would
 * be looked for before it is stored (RFC 9112 section 9.3.2). What comes and is no request is
 * answered as every other error is, and in its turn: nobody takes the answer for that of a request
 * which is still being served (I4).
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { OmgfsError } from '@omgfs/protocol';
import type { FastifyInstance } from 'fastify';
import { type Refusal, refusal } from './refusals.ts';

/** What node:http says of what it could not read. */
interface Unreadable extends Error {
  code?: string;
  reason?: string;
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** For one that waits. */
  begin?: () => void;
}

/** A connection with more is closed. */
const waitingMax = 64;

export class Turns {
  /** Those of a connection that are not answered. */
  readonly #open = new WeakMap<Socket, Set<Exchange>>();

  /** To be called before the server listens; `end` is for its clientErrorHandler. */
  watch(app: FastifyInstance): void {
    const { server } = app;
    // Before the hook below sees it.
    server.prependListener('request', (request, response) => {
      const { socket } = request;
      const open = this.#open.get(socket) ?? new Set();
      this.#open.set(socket, open);
      const exchange: Exchange = { request, response };
      open.add(exchange);
      if (open.size > waitingMax) socket.destroy();
      response.once('close', () => {
        open.delete(exchange);
        const [next] = open;
        if (!socket.destroyed) next?.begin?.();
      });
    });
    app.addHook('onRequest', ({ raw }, _, next) => {
      const open = [...(this.#open.get(raw.socket) ?? [])];
      const own = open.find(({ request }) => request === raw);
      if (own === undefined || own === open[0]) next();
      else own.begin = next;
    });
    server.on('checkExpectation', (request, response) => {
      const message = `Expect is 100-continue, or left out, not '${request.headers.expect}'.`;
      const { body } = refusal(new OmgfsError('BAD_REQUEST', { message }));
      const text = JSON.stringify(body);
      response.writeHead(417, { 'content-type': type, connection: 'close' }).end(text);
    });
  }

  end = (error: Unreadable, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    const open = [...(this.#open.get(socket) ?? [])];
    const [first, ...others] = open;
    if (first === undefined) answer(socket, error);
    // What is broken is its body, and it is not answered.
    else if (others.length === 0 && !first.request.complete && !first.response.headersSent) {
      answer(socket, error);
    } else if (open.every(({ request }) => request.complete)) {
      // The parser stays broken; reading on would only bring the same error again.
      socket.pause();
      const last = open[open.length - 1] ?? first;
      last.response.once('close', () => socket.destroySoon());
    } else socket.destroy();
  };
}

const type = 'application/json; charset=utf-8';

function answer(socket: Socket, error: Unreadable): void {
  if (socket.writable) {
    const { status, body } = refusalOfUnreadable(error);
    const text = JSON.stringify(body);
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${type}\r\n` +
        `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
    );
  }
  socket.destroySoon();
}

function refusalOfUnreadable({ code, reason, message }: Unreadable): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return refusal(new OmgfsError('BODY_TIMEOUT'));
  if (code === 'HPE_HEADER_OVERFLOW') {
    const text = 'Address and headers are longer than 16 KiB together: shorten them.';
    return refusal(new OmgfsError('BAD_REQUEST', { message: text }), { status: 431 });
  }
  const text = `This is no request of HTTP/1.1 that can be read: ${reason ?? message}.`;
  return refusal(new OmgfsError('BAD_REQUEST', { message: text }));
}
