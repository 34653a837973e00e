/**
 * Spreads requests over trackers: bounded connections, failed trackers rest and are tried last, and
 * a request that may have been executed is repeated elsewhere only where that does no harm.
 */
import {
  encodeRequest,
  errorFromWire,
  type Fields,
  OmgfsError,
  type ReplyFields,
} from '@omgfs/protocol';
import { TrackerConnection } from './tracker-connection.ts';

export interface TrackerPoolOptions {
  /** `host:port` of every tracker. */
  trackers: readonly string[];
  /** For one reply of one tracker; default 10 s. */
  requestTimeoutMs?: number;
  /** For one connection; default 2 s. */
  connectTimeoutMs?: number;
  /** Connections to one tracker; further requests wait. Default 32. */
  connectionsMax?: number;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  /**
   * Whether executing the request twice does no harm. By default that is so for lookups and
   * `create_open`.
   */
  idempotent?: boolean;
  /** Replaces `requestTimeoutMs`. */
  timeoutMs?: number;
}

/** Commands that change nothing that a second execution would change again. */
const idempotentCommands =
  /^(?:noop|get_\w+|file_\w+|list_\w+|create_open|clear_cache|server_setting|server_settings)$/;

const restMsFirst = 250;
const restMsMax = 10_000;

interface Tracker {
  address: string;
  idle: TrackerConnection[];
  open: number;
  failures: number;
  restsUntilMs: number;
  waiting: ((connection: TrackerConnection | undefined) => void)[];
}

export interface TrackerPool {
  /**
   * Sends a command; names and values are byte strings. Returns the fields of the reply.
   * @throws OmgfsError the tracker's refusal; NO_TRACKER_UP or DEADLINE_EXCEEDED when no tracker
   * answered, with `details.executed` telling whether one may have executed it.
   */
  request(command: string, args?: ReplyFields, options?: RequestOptions): Promise<Fields>;
  /** Closes all connections; requests in flight fail. */
  close(): Promise<void>;
}

export function createTrackerPool(options: TrackerPoolOptions): TrackerPool {
  return new Pool(options);
}

class Pool implements TrackerPool {
  readonly #requestTimeoutMs: number;
  readonly #connectTimeoutMs: number;
  readonly #connectionsMax: number;
  readonly #trackers: Tracker[];
  readonly #connections = new Set<TrackerConnection>();
  #turn: number;
  #closed = false;

  constructor(options: TrackerPoolOptions) {
    if (options.trackers.length === 0) {
      throw new OmgfsError('NO_TRACKER_UP', { message: 'no tracker address was given' });
    }
    for (const address of options.trackers) {
      if (!/^[^\s:]+:\d{1,5}$/.test(address)) {
        throw new OmgfsError('BAD_ARGS', { message: `'${address}' is not host:port of a tracker` });
      }
    }
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 2_000;
    this.#connectionsMax = options.connectionsMax ?? 32;
    this.#trackers = options.trackers.map((address) => ({
      address,
      idle: [],
      open: 0,
      failures: 0,
      restsUntilMs: 0,
      waiting: [],
    }));
    // Clients that start together do not all begin with the same tracker.
    this.#turn = Math.floor(Math.random() * this.#trackers.length);
  }

  async request(
    command: string,
    args: ReplyFields = {},
    options: RequestOptions = {},
  ): Promise<Fields> {
    const line = encodeRequest(command, args);
    const idempotent = options.idempotent ?? idempotentCommands.test(command);
    const failures: OmgfsError[] = [];
    for (const tracker of this.#inOrder()) {
      options.signal?.throwIfAborted();
      let sent = false;
      try {
        const connection = await this.#take(tracker);
        sent = true;
        return await this.#ask(tracker, connection, line, options);
      } catch (error) {
        if (!(error instanceof OmgfsError) || !isTransport(error)) throw error;
        failures.push(error);
        if (sent && !idempotent) throw allFailed(command, failures, true);
      }
    }
    throw allFailed(command, failures, false);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const connection of this.#connections) connection.destroy();
    for (const tracker of this.#trackers) {
      for (const waiting of tracker.waiting.splice(0)) waiting(undefined);
    }
  }

  async #ask(
    tracker: Tracker,
    connection: TrackerConnection,
    line: string,
    options: RequestOptions,
  ): Promise<Fields> {
    try {
      const reply = await connection.exchange(line, {
        timeoutMs: options.timeoutMs ?? this.#requestTimeoutMs,
        signal: options.signal,
      });
      tracker.failures = 0;
      if (!reply.ok) throw errorFromWire(reply);
      return reply.fields;
    } catch (error) {
      if (error instanceof OmgfsError && isTransport(error)) this.#rest(tracker);
      throw error;
    } finally {
      this.#giveBack(tracker, connection);
    }
  }

  /** Trackers to try, in turn; those that rest after a failure come last, soonest first. */
  #inOrder(): Tracker[] {
    if (this.#closed) throw new OmgfsError('NO_TRACKER_UP', { message: 'the client is closed' });
    this.#turn = (this.#turn + 1) % this.#trackers.length;
    const turned = [...this.#trackers.slice(this.#turn), ...this.#trackers.slice(0, this.#turn)];
    const now = performance.now();
    const resting = turned.filter(({ restsUntilMs }) => restsUntilMs > now);
    resting.sort((a, b) => a.restsUntilMs - b.restsUntilMs);
    return [...turned.filter(({ restsUntilMs }) => restsUntilMs <= now), ...resting];
  }

  async #take(tracker: Tracker): Promise<TrackerConnection> {
    for (let idle = tracker.idle.pop(); idle !== undefined; idle = tracker.idle.pop()) {
      if (!idle.usable) continue;
      idle.setIdle(false);
      return idle;
    }
    if (tracker.open >= this.#connectionsMax) {
      const handed = await this.#wait(tracker);
      if (handed?.usable) return handed;
      return this.#take(tracker);
    }
    tracker.open += 1;
    try {
      const connection = await TrackerConnection.open(tracker.address, {
        timeoutMs: this.#connectTimeoutMs,
        onEnd: (ended) => this.#connections.delete(ended),
      });
      this.#connections.add(connection);
      return connection;
    } catch (error) {
      tracker.open -= 1;
      this.#rest(tracker);
      tracker.waiting.shift()?.(undefined);
      throw error;
    }
  }

  /** Waits for a connection, or for leave to open one; bounded by the request time. */
  #wait(tracker: Tracker): Promise<TrackerConnection | undefined> {
    return new Promise((resolve, reject) => {
      const entry = (connection: TrackerConnection | undefined) => {
        clearTimeout(timer);
        if (this.#closed) {
          reject(new OmgfsError('NO_TRACKER_UP', { message: 'the client is closed' }));
        } else resolve(connection);
      };
      const timer = setTimeout(() => {
        tracker.waiting.splice(tracker.waiting.indexOf(entry), 1);
        const message = `all ${this.#connectionsMax} connections to ${tracker.address} are busy`;
        reject(new OmgfsError('DEADLINE_EXCEEDED', { message }));
      }, this.#requestTimeoutMs);
      tracker.waiting.push(entry);
    });
  }

  #giveBack(tracker: Tracker, connection: TrackerConnection): void {
    const next = tracker.waiting.shift();
    if (!connection.usable) {
      tracker.open -= 1;
      next?.(undefined);
    } else if (next !== undefined) next(connection);
    else {
      connection.setIdle(true);
      tracker.idle.push(connection);
    }
  }

  #rest(tracker: Tracker): void {
    const restMs = Math.min(restMsMax, restMsFirst * 2 ** tracker.failures);
    tracker.failures = Math.min(tracker.failures + 1, 10);
    tracker.restsUntilMs = performance.now() + restMs;
  }
}

/** Failures of the way to a tracker, as opposed to its refusal. */
function isTransport({ code }: OmgfsError): boolean {
  return code === 'NO_TRACKER_UP' || code === 'DEADLINE_EXCEEDED' || code === 'BAD_REPLY';
}

function allFailed(command: string, failures: OmgfsError[], executed: boolean): OmgfsError {
  const last = failures[failures.length - 1];
  const reasons = failures.map(({ message }) => message).join('; ');
  return new OmgfsError(last?.code ?? 'NO_TRACKER_UP', {
    message: `${command} got no answer: ${reasons}`,
    details: { executed },
    cause: last,
  });
}
