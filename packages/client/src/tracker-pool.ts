/**
 * Spreads requests over trackers: failed trackers rest and are asked last, connections are bounded,
 * and a request that may have been executed is repeated only where that does no harm.
 */
import {
  encodeRequest,
  errorFromWire,
  type Fields,
  OmgfsError,
  type Reply,
  type ReplyFields,
} from '@omgfs/protocol';
import { type Failure, TrackerEndpoint } from './tracker-endpoint.ts';

export interface TrackerPoolOptions {
  /** `host:port` of every tracker. */
  trackers: readonly string[];
  /** For one reply of one tracker; default 10 s. */
  requestTimeoutMs?: number;
  /** For one connection; default 2 s. */
  connectTimeoutMs?: number;
  /** Connections to one tracker; further requests wait their turn. Default 32. */
  connectionsMax?: number;
}

export interface RequestOptions {
  /** For all tries together; by default each try has `requestTimeoutMs`. */
  deadlineMs?: number;
  signal?: AbortSignal | undefined;
  /**
   * Whether executing the request twice does no harm. By default that is so for lookups and
   * `create_open`.
   */
  idempotent?: boolean;
}

export interface TrackerPool {
  /**
   * Sends a command; names and values are byte strings. Returns the fields of the reply.
   *
   * @example const { paths, path1 } = await pool.request('get_paths', { domain: 'd', key: 'k' });
   * @throws OmgfsError the tracker's refusal; NO_TRACKER_UP, DEADLINE_EXCEEDED, BAD_REPLY or
   * FAILURE when no tracker gave an answer, with `details.uncertain` true when one may have
   * executed it.
   */
  request(command: string, args?: ReplyFields, options?: RequestOptions): Promise<Fields>;
  /** Closes all connections; requests in flight fail. */
  close(): Promise<void>;
}

/** Commands that change nothing that a second execution would change again. */
const idempotentCommands =
  /^(?:noop|get_\w+|file_\w+|list_\w+|create_open|clear_cache|server_settings?)$/;

/**
 * Connects lazily: nothing is sent before the first request.
 *
 * @example const pool = createTrackerPool({ trackers: ['10.0.0.1:7001', '10.0.0.2:7001'] });
 * @throws BAD_ARGS when an address is not `host:port`.
 */
export function createTrackerPool(options: TrackerPoolOptions): TrackerPool {
  return new Pool(options);
}

class Pool implements TrackerPool {
  readonly #requestTimeoutMs: number;
  readonly #endpoints: TrackerEndpoint[];
  #turn: number;
  #closed = false;

  constructor(options: TrackerPoolOptions) {
    const { trackers, requestTimeoutMs = 10_000 } = options;
    const { connectTimeoutMs = 2_000, connectionsMax = 32 } = options;
    if (trackers.length === 0) {
      throw new OmgfsError('BAD_ARGS', { message: 'no tracker address was given' });
    }
    for (const address of trackers) checkAddress(address);
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#endpoints = trackers.map((address) => {
      return new TrackerEndpoint(address, { connectTimeoutMs, connectionsMax });
    });
    // Clients that start together do not all begin with the same tracker.
    this.#turn = Math.floor(Math.random() * trackers.length);
  }

  async request(
    command: string,
    args: ReplyFields = {},
    options: RequestOptions = {},
  ): Promise<Fields> {
    const line = encodeRequest(command, args);
    const idempotent = options.idempotent ?? idempotentCommands.test(command);
    const { deadlineMs, signal } = options;
    const endsAtMs = deadlineMs === undefined ? undefined : performance.now() + deadlineMs;
    const failures: OmgfsError[] = [];
    const endpoints = this.#inOrder();
    for (let endpoint = endpoints.shift(); endpoint !== undefined; endpoint = endpoints.shift()) {
      signal?.throwIfAborted();
      if (this.#closed) throw new OmgfsError('NO_TRACKER_UP', { message: 'the client is closed' });
      const leftMs = endsAtMs === undefined ? this.#requestTimeoutMs : endsAtMs - performance.now();
      // Timers may fire a little early, and what is left is then no time to ask anybody.
      if (leftMs < 1) {
        failures.push(new OmgfsError('DEADLINE_EXCEEDED'));
        break;
      }
      const timeoutMs = Math.min(this.#requestTimeoutMs, leftMs);
      const outcome = await endpoint.exchange(line, { timeoutMs, signal });
      if (outcome.reply?.ok) return outcome.reply.fields;
      const { failure, sent, stale } =
        outcome.reply === undefined ? outcome : refused(outcome.reply, endpoint.address);
      failures.push(failure);
      if (sent && !idempotent) throw noAnswer(command, failures, true);
      // A tracker that was restarted meanwhile deserves a fresh connection.
      if (stale) endpoints.unshift(endpoint);
    }
    throw noAnswer(command, failures, false);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** Trackers to ask, in turn; those that rest after a failure come last, soonest first. */
  #inOrder(): TrackerEndpoint[] {
    this.#turn = (this.#turn + 1) % this.#endpoints.length;
    if (this.#endpoints.length === 1) return [...this.#endpoints];
    const turned = [...this.#endpoints.slice(this.#turn), ...this.#endpoints.slice(0, this.#turn)];
    const now = performance.now();
    const restOf = ({ restsUntilMs }: TrackerEndpoint) => (restsUntilMs > now ? restsUntilMs : 0);
    return turned.sort((one, other) => restOf(one) - restOf(other));
  }
}

function checkAddress(address: string): void {
  const port = /^[^\s:]+:(\d{1,5})$/.exec(address)?.[1];
  if (port !== undefined && Number(port) > 0 && Number(port) < 65_536) return;
  throw new OmgfsError('BAD_ARGS', { message: `'${address}' is not host:port of a tracker` });
}

/**
 * FAILURE is how a tracker says that its own database or one of its processes fails it; another
 * tracker may do better. @throws every other refusal, which all would repeat.
 */
function refused(reply: Extract<Reply, { ok: false }>, address: string): Failure {
  const refusal = errorFromWire(reply);
  if (refusal.code !== 'FAILURE') throw refusal;
  const { message, details } = refusal;
  const failure = new OmgfsError('FAILURE', { message: `tracker ${address}: ${message}`, details });
  return { failure, sent: true, stale: false };
}

function noAnswer(command: string, failures: OmgfsError[], uncertain: boolean): OmgfsError {
  const last = failures[failures.length - 1];
  const reasons = failures.map(({ message }) => message).join('; ');
  const code = last?.code ?? 'NO_TRACKER_UP';
  const advice =
    code === 'NO_TRACKER_UP' ? '; check the addresses, and that trackers run there' : '';
  return new OmgfsError(code, {
    message: `${command} failed: ${reasons}${advice}`,
    details: { ...last?.details, uncertain },
    cause: last,
  });
}
