/**
 * The cheapest possible HTTP/1.1 client for replicas: keep-alive, one request in flight, bodies
 * counted and thrown away. It understands `Content-Length` only, which is what storage nodes send
 * for files; anything else is an error.
 */
import { connect, type Socket } from 'node:net';

interface Waiting {
  resolve: (bodyBytes: number) => void;
  reject: (error: Error) => void;
}

const readBufferBytes = 256 * 1024;
const headBytesMax = 8192;
const headEnd = '\r\n\r\n';

export class HttpConnection {
  readonly #socket: Socket;
  #waiting: Waiting | undefined;
  #failure: Error | undefined;
  #head = '';
  #bodyBytes = 0;
  #bodyLeft = 0;
  #inBody = false;

  constructor(origin: { hostname: string; port: number }) {
    this.#socket = connect({
      host: origin.hostname,
      port: origin.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(readBufferBytes),
        callback: (length, buffer) => {
          this.#receive(buffer as Buffer, length);
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  get usable(): boolean {
    return this.#failure === undefined;
  }

  /** Sends a request. @returns the bytes of the body. @throws Error unless the status is 2xx. */
  request(head: string, body?: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting = { resolve, reject };
      if (body === undefined) {
        this.#socket.write(head, 'latin1');
        return;
      }
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(buffer: Buffer, length: number): void {
    if (this.#inBody) {
      this.#countBody(length);
      return;
    }
    const text = this.#head + buffer.toString('latin1', 0, Math.min(length, headBytesMax));
    const found = text.indexOf(headEnd);
    if (found < 0) {
      if (text.length >= headBytesMax) this.#fail(new Error('the response head has no end'));
      this.#head = text;
      return;
    }
    const bodyBytes = this.#head.length + length - found - headEnd.length;
    this.#head = '';
    this.#takeHead(text.slice(0, found));
    this.#countBody(bodyBytes);
  }

  #takeHead(head: string): void {
    const status = Number(head.slice(9, 12));
    const match = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (match === null && status !== 204) {
      this.#fail(new Error(`no Content-Length in: ${head}`));
      return;
    }
    if (status < 200 || status > 299) {
      this.#fail(new Error(`unexpected answer: ${head.slice(0, 200)}`));
      return;
    }
    this.#inBody = true;
    this.#bodyBytes = match === null ? 0 : Number(match[1]);
    this.#bodyLeft = this.#bodyBytes;
  }

  #countBody(length: number): void {
    this.#bodyLeft -= length;
    if (this.#bodyLeft > 0 || !this.#inBody) return;
    this.#inBody = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(this.#bodyBytes);
  }

  /** An answer that was not understood spoils the connection too: nobody knows where it ends. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}

/** Connections to any number of storage nodes, as many as there are requests in flight. */
export class HttpPool {
  readonly #idle = new Map<string, HttpConnection[]>();
  readonly #all = new Set<HttpConnection>();

  /** Stores `body` at a URL. @throws Error unless the node accepts it. */
  async put(url: string, body: Buffer): Promise<void> {
    const { origin, path } = splitUrl(url);
    const head =
      `PUT ${path} HTTP/1.1\r\nHost: ${origin}\r\n` + `Content-Length: ${body.length}\r\n\r\n`;
    await this.#request(origin, head, body);
  }

  /** Reads a URL. @throws Error unless exactly `bytes` bytes come back. */
  async get(url: string, bytes: number): Promise<void> {
    const { origin, path } = splitUrl(url);
    const got = await this.#request(origin, `GET ${path} HTTP/1.1\r\nHost: ${origin}\r\n\r\n`);
    if (got !== bytes) throw new Error(`GET ${url}: ${got} bytes instead of ${bytes}`);
  }

  close(): void {
    for (const connection of this.#all) connection.close();
    this.#all.clear();
    this.#idle.clear();
  }

  async #request(origin: string, head: string, body?: Buffer): Promise<number> {
    const connection = this.#take(origin);
    try {
      return await connection.request(head, body);
    } finally {
      if (connection.usable) this.#idle.get(origin)?.push(connection);
      else this.#all.delete(connection);
    }
  }

  #take(origin: string): HttpConnection {
    const idle = this.#idle.get(origin) ?? [];
    this.#idle.set(origin, idle);
    for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (connection.usable) return connection;
      this.#all.delete(connection);
    }
    const colon = origin.lastIndexOf(':');
    const port = Number(origin.slice(colon + 1));
    const connection = new HttpConnection({ hostname: origin.slice(0, colon), port });
    this.#all.add(connection);
    return connection;
  }
}

/** `http://host:port/path` in two; storage URLs always carry the port (spec §4.1). */
function splitUrl(url: string): { origin: string; path: string } {
  const slash = url.indexOf('/', 7);
  if (!url.startsWith('http://') || slash < 0) throw new Error(`not a storage URL: ${url}`);
  return { origin: url.slice(7, slash), path: url.slice(slash) };
}
