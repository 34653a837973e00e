/**
 * One connection to a tracker that carries one request at a time. A connection whose request timed
 * out, was aborted or was answered with garbage is destroyed, never used again: a late reply can
 * then not be taken for the reply to another request.
 */
import { connect, type Socket } from 'node:net';
import { decodeReply, OmgfsError, type Reply } from '@omgfs/protocol';

/** Longest reply line; `list_keys` with a thousand escaped keys of 255 bytes stays below. */
const replyBytesMax = 4 * 1024 * 1024;

interface Exchange {
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

export class TrackerConnection {
  readonly address: string;
  readonly #socket: Socket;
  readonly #onEnd: (connection: TrackerConnection) => void;
  #pieces: string[] = [];
  #bytes = 0;
  #exchange: Exchange | undefined;
  #ended = false;

  private constructor(
    address: string,
    socket: Socket,
    onEnd: (connection: TrackerConnection) => void,
  ) {
    this.address = address;
    this.#socket = socket;
    this.#onEnd = onEnd;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: Buffer | string) => this.#read(String(chunk)));
    socket.on('error', (error) => this.#end(unreachable(address, error)));
    socket.on('close', () => this.#end(unreachable(address, new Error('connection closed'))));
  }

  /** Opens a connection. `onEnd` is called once, when it can no longer be used. */
  static async open(
    address: string,
    options: { timeoutMs: number; onEnd: (connection: TrackerConnection) => void },
  ): Promise<TrackerConnection> {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    const socket = connect({ host, port, noDelay: true, keepAlive: true });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy(new Error(`no connection within ${options.timeoutMs} ms`));
      }, options.timeoutMs);
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve();
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(unreachable(address, error));
      });
    });
    return new TrackerConnection(address, socket, options.onEnd);
  }

  get usable(): boolean {
    return !this.#ended;
  }

  /** Sends a request line and waits for its reply. */
  async exchange(
    line: string,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<Reply> {
    const give = (message: string) => {
      const error = new OmgfsError('DEADLINE_EXCEEDED', { message: `${this.address}: ${message}` });
      this.#end(error);
    };
    const timer = setTimeout(() => give(`no reply within ${timeoutMs} ms`), timeoutMs);
    const abort = () => this.#end(signal?.reason as Error);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<Reply>((resolve, reject) => {
        this.#exchange = { resolve, reject };
        this.#socket.write(line, 'latin1');
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Lets the process end although the connection is open but idle. */
  setIdle(idle: boolean): void {
    if (idle) this.#socket.unref();
    else this.#socket.ref();
  }

  destroy(): void {
    this.#end(new OmgfsError('NO_TRACKER_UP', { message: 'the connection was closed' }));
  }

  #read(chunk: string): void {
    const end = chunk.indexOf('\n');
    if (this.#exchange === undefined || (end >= 0 && end !== chunk.length - 1)) {
      this.#end(garbage(this.address, 'sent a line that nobody asked for'));
      return;
    }
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    if (end < 0) {
      if (this.#bytes > replyBytesMax) this.#end(garbage(this.address, 'sent an endless line'));
      return;
    }
    const line = this.#pieces.join('').replace(/\r?\n$/, '');
    this.#pieces = [];
    this.#bytes = 0;
    const reply = decodeReply(line);
    if (reply === undefined) {
      this.#end(garbage(this.address, `sent '${line.slice(0, 100)}'`));
      return;
    }
    const { resolve } = this.#exchange;
    this.#exchange = undefined;
    resolve(reply);
  }

  #end(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#exchange?.reject(error);
    this.#exchange = undefined;
    this.#onEnd(this);
  }
}

function unreachable(address: string, cause: Error): OmgfsError {
  const message = `tracker ${address} cannot be reached: ${cause.message}`;
  return new OmgfsError('NO_TRACKER_UP', { message, cause });
}

function garbage(address: string, what: string): OmgfsError {
  const message = `${address} ${what}; is it a tracker?`;
  return new OmgfsError('BAD_REPLY', { message });
}
