/**
 * Lengths of replicas by HEAD over plain sockets: each close of an upload asks for one, and undici
 * takes 75 µs for what this takes 15 for (2026-11). It is a shortcut: taken are only answers of one
 * strict form that came in one piece. Everything else is left to be asked again by the client for
 * all other requests, which knows HTTP and has the words for what is wrong.
 */
import { connect, type Socket } from 'node:net';
import { placeOf } from './http.ts';
import { ownSignature } from './signing.ts';
import type { SizeOutcome } from './size.ts';

export interface HeadsOptions {
  /** To one node at a time; who comes later is not served here. */
  connections: number;
  connTimeoutMs: number;
  /** For an answer; also how long an idle connection is kept. */
  deadlineMs: number;
  urlSecret: string | undefined;
}

/** A node that answers in another form is not asked here for so long. */
const rememberMs = 600_000;
const headBytesMax = 4096;

const plainHead = /^HTTP\/1\.1 (200|404) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n$/;
const lengthLine = /\r\ncontent-length: ?(\d{1,15})\r\n/i;
const closeLine = /\r\nconnection: ?close\r\n/i;

interface Node {
  host: string;
  port: number;
  idle: HeadConnection[];
  open: number;
  withoutUntilMs: number;
}

type Told = (outcome: SizeOutcome | 'odd' | undefined) => void;

export class Heads {
  readonly #options: HeadsOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #open = new Set<HeadConnection>();

  constructor(options: HeadsOptions) {
    this.#options = options;
  }

  /** Never rejects. @returns undefined when it is to be asked the other way. */
  size(url: string): Promise<SizeOutcome | undefined> {
    const { origin, pathname } = placeOf(url);
    const node = this.#nodeOf(origin);
    const { urlSecret } = this.#options;
    const path = urlSecret === undefined ? pathname : ownSignature(urlSecret, 'HEAD', pathname);
    return new Promise((resolve) => {
      const connection = node.idle.pop() ?? this.#connect(node);
      if (connection === undefined) resolve(undefined);
      else {
        connection.ask(path, (outcome) => {
          if (outcome === 'odd') node.withoutUntilMs = performance.now() + rememberMs;
          resolve(outcome === 'odd' ? undefined : outcome);
        });
      }
    });
  }

  close(): void {
    for (const connection of this.#open) connection.destroy();
  }

  #nodeOf(origin: string): Node {
    let node = this.#nodes.get(origin);
    if (node === undefined) {
      const { hostname, port } = new URL(origin);
      const host = hostname.replace(/^\[|\]$/g, '');
      node = { host, port: Number(port || 80), idle: [], open: 0, withoutUntilMs: 0 };
      this.#nodes.set(origin, node);
    }
    return node;
  }

  #connect(node: Node): HeadConnection | undefined {
    if (node.open >= this.#options.connections) return undefined;
    if (node.withoutUntilMs > performance.now()) return undefined;
    const connection = new HeadConnection(node, {
      ...this.#options,
      onIdle: () => node.idle.push(connection),
      onEnd: () => {
        node.open -= 1;
        node.idle = node.idle.filter((idle) => idle !== connection);
        this.#open.delete(connection);
      },
    });
    node.open += 1;
    this.#open.add(connection);
    return connection;
  }
}

/** One request at a time. */
class HeadConnection {
  readonly #socket: Socket;
  readonly #hostLine: string;
  readonly #onIdle: () => void;
  #told: Told | undefined;

  constructor(
    { host, port }: Pick<Node, 'host' | 'port'>,
    options: HeadsOptions & { onIdle: () => void; onEnd: () => void },
  ) {
    const { connTimeoutMs, deadlineMs } = options;
    this.#hostLine = `Host: ${host.includes(':') ? `[${host}]` : host}:${port}\r\n\r\n`;
    this.#onIdle = options.onIdle;
    const buffer = Buffer.allocUnsafe(headBytesMax);
    const callback = (length: number) => {
      this.#read(buffer.toString('latin1', 0, length));
      return true;
    };
    this.#socket = connect({ host, port, noDelay: true, onread: { buffer, callback } });
    this.#socket.setTimeout(connTimeoutMs);
    this.#socket.once('connect', () => this.#socket.setTimeout(deadlineMs));
    this.#socket.on('timeout', () => {
      const told = this.#told;
      const { connecting } = this.#socket;
      const reason = connecting ? 'no connection in time' : `no answer within ${deadlineMs} ms`;
      // After a sleep timers come first: what came meanwhile is read in this turn.
      setImmediate(() => {
        const isSame = this.#told === told && this.#socket.connecting === connecting;
        if (isSame) this.#end({ state: 'unreachable', reason });
      });
    });
    // A node may close an idle connection at the moment when it is used again: asked once more.
    this.#socket.on('error', () => {});
    this.#socket.on('end', () => this.#end(undefined));
    this.#socket.on('close', () => {
      options.onEnd();
      this.#end(undefined);
    });
  }

  ask(path: string, told: Told): void {
    this.#told = told;
    this.#socket.write(`HEAD ${path} HTTP/1.1\r\n${this.#hostLine}`, 'latin1');
  }

  destroy(): void {
    this.#end(undefined);
  }

  #read(text: string): void {
    const told = this.#told;
    const status = plainHead.exec(text)?.[1];
    const length = lengthLine.exec(text)?.[1];
    if (told === undefined || (status === '200' ? length : status) === undefined) {
      this.#end('odd');
    } else if (status === '404') {
      // What servers send along with it is not worth looking at.
      this.#end({ state: 'missing' });
    } else if (closeLine.test(text)) {
      this.#end({ state: 'present', bytes: Number(length) });
    } else {
      this.#told = undefined;
      this.#onIdle();
      told({ state: 'present', bytes: Number(length) });
    }
  }

  #end(outcome: SizeOutcome | 'odd' | undefined): void {
    const told = this.#told;
    this.#told = undefined;
    this.#socket.destroy();
    told?.(outcome);
  }
}
