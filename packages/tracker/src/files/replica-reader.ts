/**
 * Reading a file from whichever replica answers, going on with another in mid-body where the first
 * broke. A fid never changes its bytes, so they continue exactly; the length is compared all the
 * same. Memory is a few buffers a reader, whatever the size of the file.
 */
import { Readable } from 'node:stream';
import { OmgfsError } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';

export interface ReadRequest {
  /** URLs of replicas, best first. */
  paths: readonly string[];
  /** Of the whole file. */
  length: number;
  /** First and last byte wanted, both counted from 0. */
  start: number;
  end: number;
  signal?: AbortSignal | undefined;
}

export interface ReadLimits {
  /** For the first bytes of an answer. */
  answerMs: number;
  /** Between two pieces of a body, the reader's own pauses aside. */
  stallMs: number;
}

type Body = Dispatcher.ResponseData['body'];

/** How often one stream goes on with another replica; a flapping network must end some time. */
const resumesMax = 16;

/**
 * Opens the first replica that answers.
 * @throws NO_REPLICA_UP, `details.tried` has the reason of each, with addresses that are not for
 * everyone; the stream fails with it when all break on the way.
 */
export async function openReplicas(
  agent: Dispatcher,
  request: ReadRequest & ReadLimits,
): Promise<Readable> {
  if (request.end < request.start) return Readable.from([]);
  const replicas = new Replicas(agent, request);
  const first = await replicas.next(request.start);
  const stream = Readable.from(replicas.read(first), { objectMode: false });
  // Also when the reader went away: a connection that nobody reads from must not stay open.
  stream.once('close', () => replicas.end());
  return stream;
}

class Replicas {
  readonly #agent: Dispatcher;
  readonly #request: ReadRequest & ReadLimits;
  readonly #left: string[];
  readonly #failures: string[] = [];
  #current: { url: string; body: Body } | undefined;

  constructor(agent: Dispatcher, request: ReadRequest & ReadLimits) {
    this.#agent = agent;
    this.#request = request;
    this.#left = [...request.paths];
  }

  /** The next replica that has the bytes from `start` on. */
  async next(start: number): Promise<Body> {
    for (let url = this.#left.shift(); url !== undefined; url = this.#left.shift()) {
      try {
        const body = await this.#open(url, start);
        this.#current = { url, body };
        return body;
      } catch (error) {
        this.#request.signal?.throwIfAborted();
        this.#failures.push(`${url.replace(/\?.*/s, '')}: ${reasonOf(error)}`);
      }
    }
    const tried = this.#failures;
    const what = tried.length > 0 ? `${tried.length} tried` : 'no device that holds it can be read';
    const message = `No replica could be read (${what}); ask again.`;
    throw new OmgfsError('NO_REPLICA_UP', { message, details: { tried } });
  }

  /** The bytes from the first replica on, across replicas. */
  async *read(first: Body): AsyncGenerator<Buffer> {
    const { end, signal } = this.#request;
    let position = this.#request.start;
    let body = first;
    for (let resumes = 0; ; resumes += 1) {
      const before = position;
      let reason = 'it ended early';
      try {
        for await (const chunk of body as AsyncIterable<Buffer>) {
          const wanted = chunk.subarray(0, end + 1 - position);
          position += wanted.length;
          if (wanted.length > 0) yield wanted;
          // Read on to its end otherwise, so that the connection can be used again.
          if (wanted.length < chunk.length) return;
        }
        if (position > end) return;
      } catch (error) {
        signal?.throwIfAborted();
        if (position > end) return;
        reason = reasonOf(error);
      }
      const { url = '' } = this.#current ?? {};
      this.#failures.push(`${url.replace(/\?.*/s, '')} broke at byte ${position}: ${reason}`);
      // One that gave bytes may do so again, when the others fail.
      if (position > before && resumes < resumesMax) this.#left.push(url);
      body = await this.next(position);
    }
  }

  end(): void {
    this.#current?.body.on('error', () => {}).destroy();
  }

  async #open(url: string, start: number): Promise<Body> {
    const { end, length, answerMs, stallMs, signal } = this.#request;
    const { origin, pathname, search } = new URL(url);
    const whole = start === 0 && end === length - 1;
    const { statusCode, headers, body } = await this.#agent.request({
      origin,
      path: pathname + search,
      method: 'GET',
      ...(whole ? {} : { headers: { range: `bytes=${start}-${end}` } }),
      headersTimeout: answerMs,
      bodyTimeout: stallMs,
      ...(signal === undefined ? {} : { signal }),
    });
    const has =
      statusCode === 206
        ? headers['content-range'] === `bytes ${start}-${end}/${length}`
        : statusCode === 200 && start === 0 && Number(headers['content-length']) === length;
    if (has) return body;
    body.on('error', () => {}).destroy();
    throw new Error(`answered ${statusCode} without the bytes ${start}-${end} of ${length}`);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}
