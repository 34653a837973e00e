/**
 * Digests a replica in place by reading all of it. A node that can read other files of the disk
 * says so of one that it cannot read; when the answer had begun by then, it is only cut, so the
 * rest is asked for from there on, until the node says why or the bytes come after all.
 */
import { createHash } from 'node:crypto';
import { errorHeader, type HashType, hashTypes } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { get, Watchdog } from './copy.ts';
import { isSuccess, reasonOf } from './http.ts';

export type DigestOutcome =
  | { state: 'present'; hex: string; bytes: number }
  | { state: 'missing' }
  /** The node says so of this file, while its disk works. */
  | { state: 'unreadable'; reason: string }
  | { state: 'unreachable'; reason: string };

/** Each brings the reading nearer to what cannot be read, so few are needed. */
const resumesMax = 8;

interface Reading {
  url: string;
  watchdog: Watchdog;
  take: (chunk: Buffer) => void;
}

/** Reads a replica and digests it; never throws. */
export async function digestReplica(
  agent: Dispatcher,
  request: { url: string; type: HashType; stallMs: number; signal?: AbortSignal | undefined },
): Promise<DigestOutcome> {
  const watchdog = new Watchdog(request.stallMs, request.signal ? [request.signal] : []);
  const hash = createHash(hashTypes[request.type].algorithm);
  let bytes = 0;
  const take = (chunk: Buffer) => {
    watchdog.progress();
    hash.update(chunk);
    bytes += chunk.length;
  };
  const reading = { url: request.url, watchdog, take };
  try {
    let outcome = await read(agent, reading, {});
    for (let resumes = 0; outcome.state === 'cut' && resumes < resumesMax; resumes += 1) {
      // What asks for a digest is answered by the node itself, also where nginx serves files.
      const headers = { range: `bytes=${bytes}-`, 'want-content-digest': 'md5=1' };
      outcome = await read(agent, reading, headers);
    }
    if (outcome.state === 'read') return { state: 'present', hex: hash.digest('hex'), bytes };
    return outcome.state === 'cut' ? { ...outcome, state: 'unreachable' } : outcome;
  } catch (error) {
    return { state: 'unreachable', reason: reasonOf(error) };
  } finally {
    watchdog.end();
  }
}

type Read =
  | { state: 'read' }
  | { state: 'cut'; reason: string }
  | Exclude<DigestOutcome, { state: 'present' }>;

/** @throws errors of the connection before the first byte. */
async function read(
  agent: Dispatcher,
  { url, watchdog, take }: Reading,
  headers: Record<string, string>,
): Promise<Read> {
  const reply = await get(agent, url, watchdog, headers);
  const { statusCode: status, body } = reply;
  if (!isSuccess(status)) {
    const text = await body.text();
    if (status === 404) return { state: 'missing' };
    const reason = `answered ${status}`;
    if (reply.headers[errorHeader] !== 'FILE_UNREADABLE') return { state: 'unreachable', reason };
    return { state: 'unreadable', reason: text.trim().slice(0, reasonLengthMax) || reason };
  }
  if (headers.range !== undefined && status !== 206) {
    body.on('error', () => {}).destroy();
    return { state: 'unreachable', reason: 'the answer was cut, and the rest cannot be asked for' };
  }
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) take(chunk);
    return { state: 'read' };
  } catch (error) {
    watchdog.signal.throwIfAborted();
    return { state: 'cut', reason: reasonOf(error) };
  }
}

const reasonLengthMax = 500;
