/**
 * GET and HEAD of a file: its bytes through this process, or the headers that make the proxy in
 * front fetch them, or a redirect.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import {
  chooseRanges,
  evaluateConditions,
  OmgfsError,
  type ReproxyShape,
  rangeApplies,
  reproxyAnswer,
} from '@omgfs/protocol';
import { whenGone } from '@omgfs/webdav/when-gone';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FileFacts, FilePlace } from '../../files/file-facts.ts';
import type { FileStore } from '../../files/file-store.ts';
import { headersOf } from './header-fields.ts';

/** How a download is answered. */
export type DownloadShape = 'stream' | ReproxyShape;

export const downloadShapes: readonly DownloadShape[] = [
  'stream',
  'redirect',
  'nginx',
  'perlbal',
  'single',
];

export interface DownloadContext {
  files: FileStore;
  /** When the request asks for none. */
  shape: DownloadShape;
}

const pathsMax = 8;

export async function download(
  context: DownloadContext,
  exchange: { request: FastifyRequest; reply: FastifyReply; place: FilePlace },
): Promise<FastifyReply> {
  const { request, reply, place } = exchange;
  const { files } = context;
  const shape = shapeOf(request, context.shape);
  const gone = new AbortController();
  whenGone(request.raw, reply.raw, () => gone.abort());
  // What the conditions were judged by is what is sent, also while the file is replaced.
  const answer = await files.withFile(place, (facts) => {
    return answerOf(files, { request, facts, shape, signal: gone.signal });
  });
  const { status, headers, body } = answer;
  if (body !== undefined) {
    // One that nobody reads any more would wait for its reader for good.
    if (gone.signal.aborted) body.destroy();
    else gone.signal.addEventListener('abort', () => body.destroy(), { once: true });
  }
  return reply.code(status).headers(headers).send(body);
}

interface Answer {
  status: number;
  headers: OutgoingHttpHeaders;
  body?: Readable;
}

interface Asked {
  request: FastifyRequest;
  facts: FileFacts;
  shape: DownloadShape;
  signal: AbortSignal;
}

/** @returns undefined when the file was replaced. @throws PRECONDITION_FAILED. */
async function answerOf(
  files: FileStore,
  { request, facts, shape, signal }: Asked,
): Promise<Answer | undefined> {
  const validators = {
    etag: facts.etag,
    modifiedSeconds: facts.storedAt && Math.floor(facts.storedAt.getTime() / 1000),
  };
  const verdict = evaluateConditions(request.headers, validators);
  if (verdict === 412) throw new OmgfsError('PRECONDITION_FAILED');
  if (verdict === 304) return { status: 304, headers: headersOf(facts) };
  if (shape !== 'stream') return reproxy(files, { request, facts, shape });
  const range = rangeApplies(request.headers['if-range'], validators)
    ? request.headers.range
    : undefined;
  const { status, start, end, headers } = extentOf(facts, range);
  if (request.method === 'HEAD') return { status, headers };
  const body = await files.open(facts, { start, end, signal });
  return body && { status, headers, body };
}

/** The proxy in front may say what it understands; Perlbal does so in a header of its own. */
function shapeOf({ headers }: FastifyRequest, fallback: DownloadShape): DownloadShape {
  const asked = headers['x-reproxy'];
  if (asked !== undefined) {
    const shape = downloadShapes.find((known) => known === asked);
    if (shape !== undefined) return shape;
    const message = `X-Reproxy is one of ${downloadShapes.join(', ')}.`;
    throw new OmgfsError('BAD_REQUEST', { message });
  }
  const capabilities = String(headers['x-proxy-capabilities'] ?? '');
  return /\breproxy-file\b/.test(capabilities) ? 'perlbal' : fallback;
}

async function reproxy(
  files: FileStore,
  asked: { request: FastifyRequest; facts: FileFacts; shape: ReproxyShape },
): Promise<Answer | undefined> {
  const { request, facts, shape } = asked;
  const paths = await files.paths(facts, { count: pathsMax, address: request.ip });
  if (paths === undefined) return undefined;
  const { status, headers } = reproxyAnswer(paths, { shape, sizeBytes: facts.length });
  const told = shape === 'redirect' ? {} : headersOf(facts, { together: shape === 'nginx' });
  return { status, headers: { ...headers, ...told } };
}

/**
 * Which bytes to send, and how to say so. Several ranges get the whole file, which is allowed.
 * @throws RANGE_NOT_SATISFIABLE.
 */
function extentOf(
  facts: FileFacts,
  range: string | undefined,
): { status: number; start: number; end: number; headers: OutgoingHttpHeaders } {
  const { length } = facts;
  const chosen = chooseRanges(range, length);
  if (chosen === 'unsatisfiable') {
    throw new OmgfsError('RANGE_NOT_SATISFIABLE', { details: { length } });
  }
  const headers = { ...headersOf(facts), 'Accept-Ranges': 'bytes' };
  const [one, more] = chosen === 'whole' ? [] : chosen;
  if (one === undefined || more !== undefined) {
    return {
      status: 200,
      start: 0,
      end: length - 1,
      headers: { ...headers, 'Content-Length': length },
    };
  }
  const { start, end } = one;
  const part = {
    'Content-Range': `bytes ${start}-${end}/${length}`,
    'Content-Length': end - start + 1,
  };
  return { status: 206, start, end, headers: { ...headers, ...part } };
}
