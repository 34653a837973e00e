/**
 * GETs of replicas over connections that are kept for a moment. This is a second client beside
 * undici for the sake of memory: undici hands out a fresh buffer for each read, and the WebAssembly
 * of its parser takes 30 MiB when it has become hot, after as many MiB of bodies.
 */
import { Slots } from '../slots.ts';
import { ReplicaConnection } from './replica-connection.ts';
import type { ResponseHead } from './response-head.ts';

export interface ReplicaPoolOptions {
  connectTimeoutMs: number;
  /** To one storage node. */
  connectionsMax: number;
}

export interface ReplicaBody {
  readonly head: ResponseHead;
  /** As `ReplicaConnection.next`. */
  next(): Promise<Buffer | undefined>;
  /** Nobody reads on: keeps the connection when the last byte was read, else ends it. */
  end(): void;
}

/** Less than after what storage servers close idle connections. */
const idleMs = 4_000;

/** The connections of one storage node. */
interface Node {
  slots: Slots;
  idle: ReplicaConnection[];
}

export class ReplicaPool {
  readonly #options: ReplicaPoolOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #open = new Set<ReplicaConnection>();
  #closed: { reason: unknown } | undefined;

  constructor(options: ReplicaPoolOptions) {
    this.#options = options;
  }

  /**
   * Waits for a connection, and for the head of the answer.
   * @throws the reason of the signal, which ends the body, too; what is wrong with the answer.
   */
  async get(
    url: URL,
    { range, signal }: { range: string | undefined; signal: AbortSignal },
  ): Promise<ReplicaBody> {
    if (url.protocol !== 'http:') throw new Error(`is no address by http: ${url}`);
    const node = this.#nodeOf(url.host);
    const path = url.pathname + url.search;
    const wanted = range === undefined ? '' : `Range: ${range}\r\n`;
    const request = `GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\n${wanted}\r\n`;
    await node.slots.take(signal);
    try {
      for (;;) {
        const kept = node.idle.pop();
        const connection = kept ?? this.#connect(url, node);
        const body = new Lease(connection, { node, signal });
        try {
          await body.open(request, kept !== undefined);
          return body;
        } catch (error) {
          connection.destroy(error);
          body.forget();
          // A node may close a connection at the moment when it is used again.
          if (kept === undefined || connection.answered || signal.aborted) throw error;
        }
      }
    } catch (error) {
      node.slots.give();
      throw error;
    }
  }

  /** What is in flight fails. */
  close(reason: unknown): void {
    this.#closed = { reason };
    for (const { slots } of this.#nodes.values()) slots.refuseAll(reason);
    for (const connection of this.#open) connection.destroy(reason);
  }

  #nodeOf(host: string): Node {
    const known = this.#nodes.get(host);
    if (known !== undefined) return known;
    const node = { slots: new Slots(this.#options.connectionsMax), idle: [] };
    this.#nodes.set(host, node);
    return node;
  }

  #connect(url: URL, node: Node): ReplicaConnection {
    if (this.#closed !== undefined) throw this.#closed.reason;
    const connection = new ReplicaConnection(
      { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80) },
      {
        connectTimeoutMs: this.#options.connectTimeoutMs,
        onEnd: () => {
          this.#open.delete(connection);
          node.idle = node.idle.filter((idle) => idle !== connection);
        },
      },
    );
    this.#open.add(connection);
    return connection;
  }
}

/** A connection while one answer is read from it. */
class Lease implements ReplicaBody {
  head: ResponseHead = { status: 0, headers: new Map(), bodyBytes: 0, keepAlive: false };
  readonly #connection: ReplicaConnection;
  readonly #node: Node;
  readonly #signal: AbortSignal;
  readonly #abort = () => this.#connection.destroy(this.#signal.reason);
  #ended = false;

  constructor(
    connection: ReplicaConnection,
    { node, signal }: { node: Node; signal: AbortSignal },
  ) {
    this.#connection = connection;
    this.#node = node;
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort);
  }

  async open(request: string, kept: boolean): Promise<void> {
    if (kept) this.#connection.wake();
    else await this.#connection.connected();
    this.head = await this.#connection.ask(request);
  }

  next(): Promise<Buffer | undefined> {
    return this.#connection.next();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.forget();
    if (this.#connection.reusable) {
      this.#connection.rest(idleMs);
      this.#node.idle.push(this.#connection);
    } else this.#connection.destroy(new Error('not read on'));
    this.#node.slots.give();
  }

  forget(): void {
    this.#signal.removeEventListener('abort', this.#abort);
  }
}
