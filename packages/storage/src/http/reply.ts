/**
 * Answers without a file behind them: texts, refusals, and the care that a refused upload needs so
 * that its client can read the reason.
 */
import { IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { errorHeader, type OmgfsError } from '@omgfs/protocol';

/** What most handlers need of a request, whoever read it from the wire. */
export type RequestHead = Pick<IncomingMessage, 'method' | 'headers' | 'socket'>;

export type Done = (error?: Error | null) => void;

/** What they need to answer it. */
export interface Reply {
  readonly headersSent: boolean;
  /** Once the head was sent. */
  readonly statusCode: number;
  readonly destroyed: boolean;
  writeHead(status: number, headers: OutgoingHttpHeaders | string[]): unknown;
  write(chunk: Buffer | string, done?: Done): unknown;
  end(chunk?: Buffer | string, done?: Done): unknown;
  once(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
}

/** One request and its answer. */
export interface Exchange {
  req: RequestHead;
  res: Reply;
  /** The request target as it was sent. */
  target: string;
}

/** One of node:http, whose body comes as a stream. */
export interface StreamExchange extends Exchange {
  req: IncomingMessage;
  res: ServerResponse;
}

/** One of plain form, with its body. */
export interface WholeExchange extends Exchange {
  body: Buffer;
}

/** RFC 9110 §15.5.6: a 405 says what is offered. */
const methodsOffered = 'GET, HEAD, PUT, DELETE, MKCOL';

export const serverHeader = { Server: 'omgfs' } as const;
/** A refused or busy device is looked at again every second. */
const retryAfterSeconds = 2;

/** How much of a body that nobody wants is read, so that the client gets to see the answer. */
const lingerBytesMax = 4 * 1024 * 1024;
const lingerMsMax = 2000;

/** Sends the head of an answer; every answer of the node goes through here. */
export function sendHead(res: Reply, status: number, headers: OutgoingHttpHeaders): void {
  res.writeHead(status, { ...serverHeader, ...headers });
}

/** The same from a list of names and values, which node:http writes a third faster. */
export function sendHeadList(res: Reply, status: number, list: string[]): void {
  res.writeHead(status, list);
}

/** An answer without a body. */
export function sendEmpty(res: Reply, status: number, headers: OutgoingHttpHeaders = {}): void {
  // RFC 9110 §8.6: no Content-Length with 204.
  sendHead(res, status, status === 204 ? headers : { 'Content-Length': 0, ...headers });
  res.end();
}

/** A short text; a HEAD gets its length only, because node:http drops the body itself. */
export function sendText(
  { res }: Exchange,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const body = Buffer.from(text);
  sendHead(res, status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    ...headers,
  });
  res.end(body);
}

/**
 * Answers with an error. Where the body of the request has not been read, the connection is closed
 * after the answer, because what follows on it cannot be told from the next request.
 */
export function sendError(exchange: Exchange, error: OmgfsError): void {
  const { req, res } = exchange;
  if (res.destroyed || req.socket.destroyed) return;
  if (res.headersSent) {
    // The client must not take what it got for the whole answer.
    req.socket.destroy();
    return;
  }
  const body = Buffer.from(`${error.message}\n`);
  const unread = isUnread(req);
  sendHead(res, error.status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    [errorHeader]: error.code,
    ...(error.status === 405 ? { Allow: methodsOffered } : {}),
    ...(error.status === 503 ? { 'Retry-After': retryAfterSeconds } : {}),
    ...(unread ? { Connection: 'close' } : {}),
  });
  if (!unread) {
    res.end(body);
    return;
  }
  res.write(body);
  void discardBody(req).then(() => res.end());
}

/**
 * Reads on for a while after a refusal: closing a socket with unread bytes resets it, and a reset
 * can overtake the answer (RFC 9112 §9.6).
 */
function discardBody(req: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    const done = () => {
      clearTimeout(timer);
      req.pause();
      resolve();
    };
    const timer = setTimeout(done, lingerMsMax);
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > lingerBytesMax) done();
    });
    req.once('end', done).once('close', done).on('error', done);
    req.resume();
  });
}

/** Whether there is a body of which more may be on its way. */
function isUnread(req: RequestHead): req is IncomingMessage {
  if (!(req instanceof IncomingMessage) || req.complete) return false;
  const { headers } = req;
  if (headers['transfer-encoding'] !== undefined) return true;
  return (headers['content-length'] ?? '0') !== '0';
}

/**
 * Shows that work goes on, by interim answers, until the function that it returns is called. The
 * connection ends with the answer: an nginx in front takes the first interim answer for the head
 * of what follows, and passes that on until the end (seen with 1.22).
 */
export function showProgress({ req, res }: StreamExchange, stallMs: number): () => void {
  // Whoever waits for it is not more patient than this node.
  const everyMs = Math.min(progressMsMax, stallMs / 4);
  const timer = setInterval(() => {
    if (res.headersSent || req.httpVersionMinor === 0) return;
    res.setHeader('Connection', 'close');
    res.writeProcessing();
  }, everyMs);
  return () => clearInterval(timer);
}

const progressMsMax = 5_000;

/**
 * Waits until a chunk has left this process, or the connection.
 * @returns false when the connection went away first, so that the chunk may still be in use.
 */
export function flushed(res: Reply, send: (done: Done) => void): Promise<boolean> {
  if (res.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const gone = () => resolve(false);
    res.once('close', gone);
    send((error) => {
      res.off('close', gone);
      resolve(error === undefined || error === null);
    });
  });
}
