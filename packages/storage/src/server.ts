/**
 * The HTTP server: fastify with its decoding and body parsing out of the way, because paths are
 * decoded by our own rules and bodies go from the socket to the disk. One handler per method.
 */
import { rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  METHODS,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { errorHeader, errorTable, OmgfsError } from '@omgfs/protocol';
import { type FastifyInstance, fastify } from 'fastify';
import { type AccessRules, checkAccess, isAllowed } from './access/access.ts';
import type { DeviceDav } from './dav/dav.ts';
import type { Buffers } from './device/buffers.ts';
import type { Devices } from './device/devices.ts';
import { toHttpError } from './device/failures.ts';
import { handleBundle } from './handlers/bundle.ts';
import { handleDelete } from './handlers/delete.ts';
import { handleGet } from './handlers/get.ts';
import { hotAnswer } from './handlers/hot.ts';
import { handleMkcol } from './handlers/mkcol.ts';
import { handlePull } from './handlers/pull.ts';
import { handlePulls } from './handlers/pulls.ts';
import { handlePut, putNow } from './handlers/put.ts';
import { handleScrubOrder } from './handlers/scrub.ts';
import { Front } from './http/front.ts';
import { keepAliveMs } from './http/plain-head.ts';
import { postKindOf } from './http/post-kind.ts';
import {
  type Exchange,
  type StreamExchange,
  sendError,
  sendText,
  type WholeExchange,
} from './http/reply.ts';
import { Turns } from './http/turns.ts';
import type { Scrubs } from './integrity/scrubs.ts';
import type { Log } from './log.ts';
import type { RequestCounts } from './metrics/request-counts.ts';
import type { Pieces } from './pieces/pieces.ts';

export interface ServerOptions {
  devices: Devices;
  buffers: Buffers;
  scrubs: Scrubs;
  pieces: Pieces;
  log: Log;
  counts: RequestCounts;
  access: AccessRules;
  /** Clients come through a server in front of this one, which checks their networks. */
  behindFront: boolean;
  /** Certificate and key in PEM form: serves over TLS. */
  tls?: { cert: string; key: string };
  /** WebDAV on the devices, when it is turned on. */
  dav: DeviceDav | undefined;
  connectionsMax: number;
  /** A connection on which nothing moves is closed after this long. */
  stallMs: number;
}

/** The head of a request must be complete within this time. */
const headersMsMax = 20_000;
const headerBytesMax = 16 * 1024;
const drainPollMs = 50;
/** A flood of connections is said this often at most. */
const dropLogMs = 10_000;

export class StorageServer {
  readonly #app: FastifyInstance;
  readonly #front: Front | undefined;

  constructor(options: ServerOptions) {
    this.#app = createApp(options);
    const { server } = this.#app;
    // Over TLS the cipher costs more than node:http.
    if (options.tls === undefined) this.#front = putFront(server, options);
    server.maxConnections = options.connectionsMax;
    // A client that asks first is told to go on only after all checks (see PUT).
    server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      server.emit('request', req, res);
    });
    server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
      refuse(req, res, 417, 'Expect is 100-continue, or left out.\n');
    });
    let saidAtMs = Number.NEGATIVE_INFINITY;
    server.on('drop', () => {
      options.counts.dropped += 1;
      if (performance.now() - saidAtMs < dropLogMs) return;
      saidAtMs = performance.now();
      const reason = `more than maxconns (${options.connectionsMax}) at once`;
      options.log.warn({ reason }, 'connection.dropped');
    });
  }

  /** @returns the port, which is another one than asked for when that was 0. */
  async listen({ host, port }: { host: string; port: number }): Promise<number> {
    await this.#app.listen({ host, port });
    return (this.#app.server.address() as AddressInfo).port;
  }

  /** Connections that are open now. */
  get connections(): Promise<number> {
    return new Promise((resolve) => {
      this.#app.server.getConnections((_, count) => resolve(count));
    });
  }

  /** Serves on a socket in the file system: for a server in front of this one. */
  async listenOn(socket: string): Promise<void> {
    // Left behind by a killed process; nothing can be bound while it is there.
    rmSync(socket, { force: true });
    await this.#app.listen({ path: socket });
  }

  /** Stops listening and lets requests in flight finish for at most `graceMs`. */
  async close({ graceMs }: { graceMs: number }): Promise<void> {
    const { server } = this.#app;
    // A connection that becomes idle later would otherwise be kept open for its whole time.
    const idle = setInterval(() => server.closeIdleConnections(), drainPollMs);
    this.#front?.close();
    const deadline = setTimeout(() => {
      server.closeAllConnections();
      this.#front?.closeAll();
    }, graceMs);
    try {
      await this.#app.close();
    } finally {
      clearInterval(idle);
      clearTimeout(deadline);
    }
  }
}

/** Served before fastify, whose routing costs a tenth of a small GET; the rest goes through it. */
const directMethods = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);

function createApp(options: ServerOptions): FastifyInstance {
  const turns = new Turns();
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    // Every target goes to the one route; fastify would refuse what it cannot decode itself.
    rewriteUrl: () => '/',
    bodyLimit: Number.MAX_SAFE_INTEGER,
    clientErrorHandler: (error, socket) => turns.end(socket, unreadableAnswer(error)),
    serverFactory: serverFactory(options, (exchange) => {
      turns.take(exchange.req, () => serve(options, exchange, () => dispatch(options, exchange)));
    }),
  });
  // Without a body in fastify's eyes, bodies stay unread and Content-Type is not looked at.
  for (const method of METHODS) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  app.route({
    method: METHODS,
    url: '/',
    handler: (request, reply) => {
      reply.hijack();
      const { raw: req, originalUrl: target } = request;
      const exchange = { req, res: reply.raw, target };
      turns.take(req, () => serve(options, exchange, () => dispatch(options, exchange)));
    },
  });
  return app;
}

/** Makes the server itself, so that the methods that matter need no route. */
function serverFactory(options: ServerOptions, take: (exchange: StreamExchange) => void) {
  const { stallMs, tls } = options;
  const settings = {
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersMs(stallMs),
    connectionsCheckingInterval: headersMs(stallMs) / 4,
    keepAliveTimeout: keepAliveMs,
    // Uploads may last for hours; what stands still is caught by the timeout of the socket.
    requestTimeout: 0,
    // HTTP/1.0 tools and old trackers send none.
    requireHostHeader: false,
  };
  return (route: RequestListener) => {
    const listener: RequestListener = (req, res) => {
      const { method = '', url: target = '' } = req;
      if (isAmbiguous(req)) refuse(req, res, 400, 'One Host, and HTTP/1.0 or 1.1.\n');
      else if (directMethods.has(method)) take({ req, res, target });
      else route(req, res);
    };
    const server =
      tls === undefined
        ? createServer(settings, listener)
        : createTlsServer({ ...settings, ...tls }, listener);
    // Beyond it headers would be dropped in silence, a digest for example; their bytes are bounded.
    server.maxHeadersCount = 0;
    server.setTimeout(stallMs);
    return server;
  };
}

function refuse(req: IncomingMessage, res: ServerResponse, status: number, text: string): void {
  const headers = { [errorHeader]: 'BAD_REQUEST', Connection: 'close' };
  sendText({ req, res, target: req.url ?? '' }, status, text, headers);
}

/** Servers in front may take such a request for another one; node:http lets it pass. */
function isAmbiguous({ httpVersionMajor, rawHeaders }: IncomingMessage): boolean {
  const hosts = rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === 'host');
  return httpVersionMajor > 1 || hosts.length > 1;
}

function headersMs(stallMs: number): number {
  return Math.min(headersMsMax, stallMs);
}

/**
 * Lets plain requests be served before node:http sees their connection. It listens to its server's
 * `connection` event, which it lets others emit: that is how it gets what is not plain.
 */
function putFront(server: Server, options: ServerOptions): Front {
  const { buffers, counts, dav, stallMs } = options;
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection');
  const front = new Front({
    buffers,
    answerNow: (head, socket) => {
      const answer = mayAtOnce(options, socket) ? hotAnswer(options, head) : undefined;
      if (answer !== undefined) counts.add(head.method, 200);
      return answer;
    },
    putNow: (put, done) =>
      mayAtOnce(options, put.socket) &&
      putNow(options, put, (answer) => {
        if (answer !== undefined) counts.add(put.head.method, 200);
        done(answer);
      }),
    serve: (exchange) => serve(options, exchange, () => dispatchCommon(options, exchange)),
    strict: (socket) => {
      for (const listener of listeners) listener.call(server, socket);
    },
    // WebDAV's locks hold for writers.
    takes: (method) => dav === undefined || method === 'GET' || method === 'HEAD',
    headersMs: headersMs(stallMs),
    stallMs,
    lateAnswer: unreadableAnswer({ code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
  });
  server.on('connection', (socket: Socket) => front.take(socket));
  return front;
}

/** Whether a client may do what needs no signature, without a closer look (see `checkAccess`). */
function mayAtOnce({ access, behindFront }: ServerOptions, { remoteAddress }: Socket): boolean {
  if (access.secrets.length > 0) return false;
  return behindFront || isAllowed(access, remoteAddress ?? '');
}

/** The answer to what could not be read as a request, in the shape of `sendError`. */
function unreadableAnswer({ code, reason }: { code?: string; reason?: string }): string {
  const [status, error, text] = unreadables.get(code ?? '') ?? [
    '400 Bad Request',
    'BAD_REQUEST',
    `This is no request of HTTP/1.1 that can be read: ${reason ?? code}.`,
  ];
  return (
    `HTTP/1.1 ${status}\r\nServer: omgfs\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(text) + 1}\r\n${errorHeader}: ${error}\r\n` +
    `Connection: close\r\n\r\n${text}\n`
  );
}

const unreadables = new Map<string, [status: string, code: string, text: string]>([
  [
    'HPE_HEADER_OVERFLOW',
    [
      '431 Request Header Fields Too Large',
      'BAD_REQUEST',
      `Address and headers are longer than ${headerBytesMax} bytes together: shorten them.`,
    ],
  ],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    ['408 Request Timeout', 'BODY_TIMEOUT', errorTable.BODY_TIMEOUT.message],
  ],
]);

/** Serves one request; whatever fails is answered here and goes no further. */
async function serve(
  options: ServerOptions,
  exchange: Exchange,
  dispatch: () => Promise<void>,
): Promise<void> {
  try {
    const { access, behindFront } = options;
    checkAccess(access, exchange.req, { target: exchange.target, behindFront });
    await dispatch();
  } catch (thrown) {
    const error = toHttpError(thrown);
    const { req, target } = exchange;
    const facts = { method: req.method, target, code: error.code, reason: error.message };
    // A disk that fails, or a mistake of ours; a full disk and a client that left are neither.
    const ours = !(thrown instanceof OmgfsError) && error.status >= 500 && error.status !== 507;
    if (error.code === 'FILE_UNREADABLE') options.log.error(facts, 'file.unreadable');
    else if (ours && !req.socket.destroyed) {
      options.log.error({ ...facts, err: thrown }, 'request.failed');
    } else {
      options.log.debug(facts, 'request.refused');
    }
    sendError(exchange, error);
  }
  const { req, res } = exchange;
  options.counts.add(req.method ?? '', res.headersSent ? res.statusCode : undefined);
}

async function dispatch(options: ServerOptions, exchange: StreamExchange): Promise<void> {
  const { dav } = options;
  if (dav === undefined) return dispatchPlain(options, exchange);
  return dav.inTurn(exchange, async () => {
    if (!(await dav.take(exchange))) await dispatchPlain(options, exchange);
  });
}

async function dispatchPlain(options: ServerOptions, exchange: StreamExchange): Promise<void> {
  switch (exchange.req.method) {
    case 'POST':
      return dispatchPost(options, exchange);
    case 'MKCOL':
      return handleMkcol(options, exchange);
    default:
      return dispatchCommon(options, exchange);
  }
}

async function dispatchPost(options: ServerOptions, exchange: StreamExchange): Promise<void> {
  switch (postKindOf(exchange.req.headers)) {
    case 'pull':
      return handlePull(options, exchange);
    case 'pulls':
      return handlePulls(options, exchange);
    case 'bundle':
      // Behind a front its reads are the front's: they are asked for one by one.
      if (!options.behindFront) return handleBundle(options, exchange);
      break;
    case 'scrub':
      return handleScrubOrder(options, exchange);
  }
  throw new OmgfsError('METHOD_NOT_ALLOWED');
}

/** What may have been read by node:http or by the front. */
function dispatchCommon(
  options: ServerOptions,
  exchange: StreamExchange | WholeExchange,
): Promise<void> {
  switch (exchange.req.method) {
    case 'GET':
    case 'HEAD':
      return handleGet(options, exchange);
    case 'PUT':
      return handlePut({ ...options, anyName: options.dav?.full ?? false }, exchange);
    case 'DELETE':
      return handleDelete(options, exchange);
    default:
      // The original answers 400 to all of these. Trackers send none but MKCOL, and the right
      // status with the list of methods is what WebDAV clients ask for.
      throw new OmgfsError('METHOD_NOT_ALLOWED');
  }
}
