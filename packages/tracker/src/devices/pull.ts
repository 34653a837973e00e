/**
 * Node-to-node copy (design section 6): the target is asked to fetch the file from the source, so
 * that the bytes do not pass through this process. Nodes that do not offer it are remembered.
 */
import { type PullOrder, parseChecksum, pullHeaders, pullMethod, signPath } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { type CopyOutcome, type CopyRequest, refusedBy, unansweredBy } from './copy.ts';
import { isSuccess, placeOf, readText } from './http.ts';
import { PullBatches } from './pull-batches.ts';
import type { SignUrl } from './signing.ts';

export interface PullOptions {
  /** Not the signing one: what is signed here is the source. */
  agent: Dispatcher;
  urlSecret: string | undefined;
  signUrl: SignUrl;
  /** The target tells every few seconds that it goes on; silence for so long ends the wait. */
  stallMs: number;
}

/** A target that does not fetch by itself is not asked again for so long. */
const rememberMs = 600_000;
const ttlSeconds = 900;

export class Pulls {
  readonly #options: PullOptions;
  /** Until when each target is not asked, by origin. */
  readonly #without = new Map<string, number>();
  readonly #batches: PullBatches;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#batches = new PullBatches({ ...options, orderFor: (request) => this.#order(request) });
  }

  /** Never rejects. @returns undefined when the target does not fetch by itself. */
  async copy(request: CopyRequest): Promise<CopyOutcome | undefined> {
    const { origin, pathname } = placeOf(request.to);
    if ((this.#without.get(origin) ?? 0) > performance.now()) return undefined;
    const outcome = await this.#batches.copy(request);
    return outcome === 'alone' ? this.#copyAlone(request, { origin, pathname }) : outcome;
  }

  async #copyAlone(
    request: CopyRequest,
    { origin, pathname }: { origin: string; pathname: string },
  ): Promise<CopyOutcome | undefined> {
    const stopped = new AbortController();
    const { stallMs, signUrl } = this.#options;
    const source = signUrl('GET', request.from);
    const timer = setTimeout(() => stopped.abort(new Error(`silent for ${stallMs} ms`)), stallMs);
    const { signals = [] } = request;
    // Not AbortSignal.any: what it makes is kept as long as a signal that lives with the process.
    const stop = () => stopped.abort(new Error('stopped'));
    for (const one of signals) one.addEventListener('abort', stop, { once: true });
    if (signals.some(({ aborted }) => aborted)) stop();
    try {
      const reply = await this.#options.agent.request({
        origin,
        path: this.#sign(pathname, source),
        method: 'POST',
        headers: headersOf(request, source),
        signal: stopped.signal,
        headersTimeout: 0,
        onInfo: () => timer.refresh(),
      });
      const text = await readText(reply.body);
      if (isSuccess(reply.statusCode)) {
        const sum = reply.headers[pullHeaders.checksum];
        const checksum = typeof sum === 'string' ? parseChecksum(sum) : undefined;
        return { state: 'copied', checksum };
      }
      if (reply.statusCode === 502) return { state: 'source_failed', reason: text.slice(0, 200) };
      if (isUnwilling(reply.statusCode)) {
        this.#without.set(origin, performance.now() + rememberMs);
        return undefined;
      }
      return refusedBy(reply.statusCode);
    } catch (error) {
      return unansweredBy(error);
    } finally {
      clearTimeout(timer);
      for (const one of signals) one.removeEventListener('abort', stop);
    }
  }

  #order(request: CopyRequest): PullOrder {
    const { length, expected, hashtype: hash } = request;
    const source = this.#options.signUrl('GET', request.from);
    const target = this.#sign(placeOf(request.to).pathname, source);
    const checksum = expected && `${expected.type}:${expected.hex}`;
    return { target, source, length, ...(checksum && { checksum }), ...(hash && { hash }) };
  }

  #sign(path: string, source: string): string {
    const { urlSecret: secret } = this.#options;
    if (secret === undefined) return path;
    const expires = Math.floor(Date.now() / 1000) + ttlSeconds;
    return signPath({ secret, method: pullMethod(source), path, expires });
  }
}

function headersOf(
  { length, expected, hashtype }: CopyRequest,
  source: string,
): Record<string, string> {
  return {
    'content-length': '0',
    [pullHeaders.source]: source,
    [pullHeaders.length]: String(length),
    ...(expected && { [pullHeaders.checksum]: `${expected.type}:${expected.hex}` }),
    ...(hashtype && { [pullHeaders.hash]: hashtype }),
  };
}

/** Servers without it refuse the method, or the request as a whole. */
function isUnwilling(status: number): boolean {
  return [400, 401, 403, 404, 405, 411, 501].includes(status);
}
