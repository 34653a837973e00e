/**
 * One tracker as the pool sees it: its connections, who waits for one, and how long it rests after
 * a failure. At most `connectionsMax` connections exist, because one is opened only by a request
 * that holds a place while no idle one is left.
 */
import { OmgfsError, type Reply, toOmgfsError } from '@omgfs/protocol';
import { Deadline } from './deadline.ts';
import { Slots } from './slots.ts';
import { TrackerConnection } from './tracker-connection.ts';

export interface Failure {
  failure: OmgfsError;
  /** The request may have been executed. */
  sent: boolean;
  /** The connection was an old one that broke. */
  stale: boolean;
}

/** What came of a request at one tracker. */
export type Outcome = { reply: Reply } | (Failure & { reply?: undefined });

export interface EndpointOptions {
  connectTimeoutMs: number;
  connectionsMax: number;
}

interface ExchangeOptions {
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

const restMsFirst = 250;
const restMsMax = 10_000;
const failuresCounted = 10;

export class TrackerEndpoint {
  readonly address: string;
  readonly #connectTimeoutMs: number;
  readonly #slots: Slots;
  readonly #open = new Set<TrackerConnection>();
  #idle: TrackerConnection[] = [];
  #closed: OmgfsError | undefined;
  #failures = 0;
  #restsUntilMs = 0;

  constructor(address: string, { connectTimeoutMs, connectionsMax }: EndpointOptions) {
    this.address = address;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#slots = new Slots(connectionsMax);
  }

  /** Monotonic time before which other trackers are asked first; it grows with every failure. */
  get restsUntilMs(): number {
    return this.#restsUntilMs;
  }

  /**
   * Sends a line and waits for the reply, `timeoutMs` at most, and as long
   * before that for a free connection.
   * @throws the reason of the caller's signal; every other failure is an outcome.
   */
  async exchange(line: string, options: ExchangeOptions): Promise<Outcome> {
    if (!this.#slots.takeNow()) {
      const failure = await this.#waitForPlace(options);
      // Too busy with other requests, which is no fault to rest for.
      if (failure !== undefined) return { failure, sent: false, stale: false };
    }
    const { signal } = options;
    let { timeoutMs } = options;
    let connection = this.#takeIdle();
    let stale = connection !== undefined;
    let sent = false;
    try {
      if (connection === undefined) {
        const startMs = performance.now();
        connection = await this.#connect(options);
        timeoutMs -= performance.now() - startMs;
      }
      sent = true;
      const reply = await connection.exchange(line, { timeoutMs, signal });
      this.#failures = 0;
      this.#restsUntilMs = 0;
      return { reply };
    } catch (error) {
      signal?.throwIfAborted();
      const failure = toOmgfsError(error);
      stale &&= failure.code === 'NO_TRACKER_UP';
      // Whatever ended this connection has probably ended the idle ones too.
      if (stale) this.#dropIdle(failure);
      else this.#rest();
      return { failure, sent, stale };
    } finally {
      if (connection !== undefined) this.#keep(connection);
      this.#slots.give();
    }
  }

  close(): void {
    const reason = new OmgfsError('NO_TRACKER_UP', { message: 'the client is closed' });
    this.#closed = reason;
    this.#slots.refuseAll(reason);
    for (const connection of this.#open) connection.destroy(reason);
  }

  /** Returns the failure when none came free in time. @throws the reason of the caller's signal. */
  async #waitForPlace({ timeoutMs, signal }: ExchangeOptions): Promise<OmgfsError | undefined> {
    const deadline = new Deadline(signal);
    try {
      deadline.arm(timeoutMs, `free connection to tracker ${this.address}`);
      await this.#slots.take(deadline.signal);
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      return toOmgfsError(error);
    } finally {
      deadline.end();
    }
  }

  #takeIdle(): TrackerConnection | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.usable) {
        this.#open.delete(idle);
        continue;
      }
      idle.setIdle(false);
      return idle;
    }
    return undefined;
  }

  async #connect({ timeoutMs, signal }: ExchangeOptions): Promise<TrackerConnection> {
    const deadline = new Deadline(signal);
    try {
      deadline.arm(timeoutMs, `reply of tracker ${this.address}`);
      const connection = await TrackerConnection.open(this.address, {
        timeoutMs: this.#connectTimeoutMs,
        signal: deadline.signal,
      });
      this.#open.add(connection);
      if (this.#closed !== undefined) connection.destroy(this.#closed);
      return connection;
    } finally {
      deadline.end();
    }
  }

  #keep(connection: TrackerConnection): void {
    if (!connection.usable) {
      this.#open.delete(connection);
      return;
    }
    connection.setIdle(true);
    this.#idle.push(connection);
  }

  #dropIdle(reason: unknown): void {
    for (const idle of this.#idle) {
      idle.destroy(reason);
      this.#open.delete(idle);
    }
    this.#idle = [];
  }

  #rest(): void {
    const restMs = Math.min(restMsMax, restMsFirst * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, failuresCounted);
    this.#restsUntilMs = performance.now() + restMs;
  }
}
