/**
 * One small HTTP exchange with a storage node, under one deadline that covers waiting for a
 * connection, sending and the whole reply. Whatever goes wrong on the way is a value: a node that
 * cannot be reached is ordinary. Replies are read up to a bound.
 */
import { startAwakeTimer } from '@omgfs/daemon';
import type { Dispatcher } from 'undici';

export interface CallRequest {
  url: string;
  method: Dispatcher.HttpMethod | 'MKCOL';
  headers?: Record<string, string>;
  body?: string;
  /** Until the last byte of the reply. */
  deadlineMs: number;
}

export type CallReply =
  | { answered: true; status: number; headers: Headers; text: string }
  | { answered: false; reason: string };

export type Headers = Dispatcher.ResponseData['headers'];

/** Larger than any usage file, error page or list of answers that is of interest. */
const replyBytesMax = 64 * 1024;

/**
 * Sends a request that may be repeated safely. A connection that breaks before the reply is tried
 * once more, because the node may have closed it while it was idle; a deadline is not.
 */
export async function call(agent: Dispatcher, request: CallRequest): Promise<CallReply> {
  const deadline = new AbortController();
  const { deadlineMs } = request;
  const timer = startAwakeTimer(deadlineMs, () =>
    deadline.abort(new Error(`no answer within ${deadlineMs} ms`)),
  );
  try {
    const reply = await sendTwice(agent, request, deadline.signal);
    const text = await readText(reply.body);
    return { answered: true, status: reply.statusCode, headers: reply.headers, text };
  } catch (error) {
    return { answered: false, reason: reasonOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

async function sendTwice(agent: Dispatcher, request: CallRequest, signal: AbortSignal) {
  const { origin, pathname } = new URL(request.url);
  const options = {
    origin,
    path: pathname,
    // The methods undici names are HTTP's own; it sends WebDAV's as they are.
    method: request.method as Dispatcher.HttpMethod,
    headers: request.headers ?? {},
    signal,
    // Left to itself undici closes the connection after a HEAD, out of distrust of servers that
    // send a body with it; a new connection for each close of an upload costs too much.
    reset: false,
    ...(request.body === undefined ? {} : { body: request.body }),
  };
  try {
    return await agent.request(options);
  } catch (error) {
    if (signal.aborted || !isBrokenConnection(error)) throw error;
    return await agent.request(options);
  }
}

const brokenConnectionCodes = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function isBrokenConnection(error: unknown): boolean {
  return brokenConnectionCodes.has(codeOf(error));
}

/** The text of a reply, up to a bound. */
export async function readText(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Leaving the loop destroys the body and with it the connection: nothing more is read.
    if (bytes >= replyBytesMax) break;
  }
  return Buffer.concat(chunks).toString('latin1');
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Whether a request never began to reach its server. */
export function wasUnsent(error: unknown): boolean {
  const code = error instanceof Error ? codeOf(error) : '';
  return code === 'ECONNREFUSED' || code === 'UND_ERR_CONNECT_TIMEOUT';
}

/** Why an exchange failed, in words for an operator. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection in time';
  return error.message === '' ? code || error.name : error.message;
}

/** Where a replica is; its URL is one of ours, which has no other parts. */
export function placeOf(url: string): { origin: string; pathname: string } {
  const slash = url.indexOf('/', 'http://'.length);
  return { origin: url.slice(0, slash), pathname: url.slice(slash) };
}

/** Whether a status says that the request was carried out. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The length a reply announces; undefined when it announces none or nonsense. */
export function contentLengthOf(headers: Headers): number | undefined {
  const value = headers['content-length'];
  if (typeof value !== 'string' || !/^\d{1,16}$/.test(value)) return undefined;
  return Number(value);
}
