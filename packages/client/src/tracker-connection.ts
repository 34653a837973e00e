/**
 * One connection to a tracker that carries one request at a time. A connection whose request timed
 * out, was aborted or was answered with garbage is destroyed, never used again: a late reply can
 * then not be taken for the reply to another request.
 */
import { once } from 'node:events';
import { connect, type OnReadOpts, type Socket } from 'node:net';
import { decodeReply, OmgfsError, type Reply } from '@omgfs/protocol';

/** Longest reply line; `list_keys` with a thousand escaped keys of 255 bytes stays below. */
const replyBytesMax = 4 * 1024 * 1024;

/** What one read takes; a reply to a lookup has a few hundred bytes. */
const readBytes = 16 * 1024;

interface Exchange {
  resolve: (reply: Reply) => void;
  reject: (reason: unknown) => void;
}

export class TrackerConnection {
  readonly #address: string;
  readonly #socket: Socket;
  /** The reply line as far as it came. */
  #partial = '';
  #exchange: Exchange | undefined;
  #end: { reason: unknown } | undefined;
  #wait = { timeoutMs: 0, endsAtMs: 0 };
  /** When the timer fires, which may be too early for the exchange of the moment. */
  #timer: { timeout: NodeJS.Timeout; firesAtMs: number } | undefined;

  private constructor(address: string, socket: Socket) {
    this.#address = address;
    this.#socket = socket;
    socket.on('error', (error) => this.destroy(unreachable(address, error)));
    socket.on('close', () => this.destroy(unreachable(address, new Error('connection closed'))));
  }

  /** @throws NO_TRACKER_UP, or the reason of the signal. */
  static async open(
    address: string,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<TrackerConnection> {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    let connection: TrackerConnection | undefined;
    // Into one buffer, without a stream in between: that halves the cost of a lookup.
    const onread: OnReadOpts = {
      buffer: Buffer.allocUnsafe(readBytes),
      callback: (length, buffer) => {
        const text = (buffer as Buffer).toString('latin1', 0, length);
        if (connection !== undefined) connection.#read(text);
        return true;
      },
    };
    const socket = connect({ host, port, noDelay: true, keepAlive: true, onread });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      await once(socket, 'connect', { signal });
      connection = new TrackerConnection(address, socket);
      return connection;
    } catch (error) {
      socket.on('error', () => {}).destroy();
      signal.throwIfAborted();
      throw unreachable(address, error instanceof Error ? error : new Error(String(error)));
    } finally {
      clearTimeout(timer);
    }
  }

  get usable(): boolean {
    return this.#end === undefined;
  }

  /**
   * Sends a request line and waits for its reply.
   * @throws NO_TRACKER_UP, BAD_REPLY, DEADLINE_EXCEEDED, or the reason of the signal; the
   * connection is then gone.
   */
  exchange(
    line: string,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<Reply> {
    if (signal?.aborted) this.destroy(signal.reason);
    if (this.#end !== undefined) return Promise.reject(this.#end.reason);
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#exchange = { resolve, reject };
      this.#expectWithin(timeoutMs);
      this.#socket.write(line, 'latin1');
    });
    return signal === undefined ? reply : this.#orAborted(reply, signal);
  }

  async #orAborted(reply: Promise<Reply>, signal: AbortSignal): Promise<Reply> {
    const abort = () => this.destroy(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await reply;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * One timer serves many exchanges: it is not stopped after a reply, but looks when it fires
   * whether somebody has waited too long. A timer for each costs as much as the reply itself.
   */
  #expectWithin(timeoutMs: number): void {
    const endsAtMs = performance.now() + timeoutMs;
    this.#wait = { timeoutMs, endsAtMs };
    if (this.#timer !== undefined && this.#timer.firesAtMs <= endsAtMs) return;
    clearTimeout(this.#timer?.timeout);
    this.#arm();
  }

  #arm(): void {
    const { endsAtMs } = this.#wait;
    const timeout = setTimeout(() => this.#look(), Math.max(1, endsAtMs - performance.now()));
    // The socket keeps the process alive while somebody waits.
    timeout.unref();
    this.#timer = { timeout, firesAtMs: endsAtMs };
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#exchange === undefined) return;
    const { timeoutMs, endsAtMs } = this.#wait;
    // Timers may fire a little early.
    if (performance.now() < endsAtMs - 1) {
      this.#arm();
      return;
    }
    const waitMs = Math.round(timeoutMs);
    const message = `no reply of tracker ${this.#address} within ${waitMs} ms`;
    this.destroy(new OmgfsError('DEADLINE_EXCEEDED', { message }));
  }

  /** Lets the process end although the connection is open but idle. */
  setIdle(idle: boolean): void {
    if (idle) this.#socket.unref();
    else this.#socket.ref();
  }

  destroy(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { reason };
    clearTimeout(this.#timer?.timeout);
    this.#socket.destroy();
    this.#partial = '';
    this.#exchange?.reject(reason);
    this.#exchange = undefined;
  }

  #read(chunk: string): void {
    const end = chunk.indexOf('\n');
    if (this.#exchange === undefined || (end >= 0 && end !== chunk.length - 1)) {
      this.destroy(garbage(this.#address, 'sent a line that nobody asked for'));
      return;
    }
    const text = this.#partial + chunk;
    if (text.length > replyBytesMax) {
      this.destroy(garbage(this.#address, 'sent an endless line'));
      return;
    }
    if (end < 0) {
      this.#partial = text;
      return;
    }
    this.#partial = '';
    const line = text.slice(0, text.endsWith('\r\n') ? -2 : -1);
    const reply = decodeReply(line);
    if (reply === undefined) {
      this.destroy(garbage(this.#address, `sent '${line.slice(0, 100)}'`));
      return;
    }
    const { resolve } = this.#exchange;
    this.#exchange = undefined;
    resolve(reply);
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
