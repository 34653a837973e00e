/**
 * Reads plain requests from a connection itself, because node:http costs more than all the rest of
 * serving a small file. The first request of another form takes the connection with it to the
 * strict server, for good and with not a byte lost.
 */
import type { Socket } from 'node:net';
import type { Buffers } from '../device/buffers.ts';
import { type PlainHead, PlainReader } from './plain.ts';
import { keepAliveMs } from './plain-head.ts';
import { PlainReply } from './plain-reply.ts';
import type { WholeExchange } from './reply.ts';

export interface FrontOptions {
  buffers: Buffers;
  /** The whole answer to a request, if it can be had at once. */
  answerNow: (head: PlainHead, socket: Socket) => { buffer: Buffer; bytes: number } | undefined;
  /** Answers a request; it never fails. */
  serve: (exchange: WholeExchange) => Promise<void>;
  /** Takes a connection over, whose bytes have been put back. */
  strict: (socket: Socket) => void;
  /** Whether requests with this method are served here at all. */
  takes: (method: PlainHead['method']) => boolean;
  /** The first request must have come within this time. */
  headersMs: number;
  /** After it a connection on which nothing moves is closed after this long. */
  stallMs: number;
  /** What is sent when the first request does not come. */
  lateAnswer: string;
}

/** Longer bodies are stored while they come, by the strict server's way. */
const bodyBytesMax = 256 * 1024;
/** After so many requests that came together it is the turn of other connections. */
const inRowMax = 32;
const none = Buffer.alloc(0);

export class Front {
  readonly #options: FrontOptions;
  readonly #connections = new Set<PlainConnection>();
  readonly #looking: NodeJS.Timeout;
  #closing = false;

  constructor(options: FrontOptions) {
    this.#options = options;
    const { headersMs, stallMs } = options;
    this.#looking = setInterval(
      () => {
        for (const connection of this.#connections) connection.look();
      },
      Math.min(headersMs, stallMs, keepAliveMs) / 4,
    ).unref();
  }

  /** Serves a new connection. */
  take(socket: Socket): void {
    const leave = () => this.#connections.delete(connection);
    const connection = new PlainConnection(socket, { ...this.#options, leave });
    this.#connections.add(connection);
    if (this.#closing) connection.endWhenIdle();
  }

  /** Ends connections, each after the request it is serving. */
  close(): void {
    this.#closing = true;
    clearInterval(this.#looking);
    for (const connection of this.#connections) connection.endWhenIdle();
  }

  /** Ends all connections at once. */
  closeAll(): void {
    for (const { socket } of this.#connections) socket.destroy();
  }
}

class PlainConnection {
  readonly socket: Socket;
  readonly #options: FrontOptions & { leave: () => void };
  readonly #reader = new PlainReader();
  /** `body`: of a PUT, on its way; `busy`: a request is being served. */
  #state: 'first' | 'idle' | 'body' | 'busy' | 'gone' = 'first';
  #ending = false;
  /** Requests served of what came at once with others. */
  #inRow = 0;
  /** What came while a request was served. */
  #rest: Buffer = none;
  #upload: { head: PlainHead; buffer: Buffer; received: number } | undefined;
  /** Of an answer on its way that is one piece. */
  #sending: Buffer = none;
  /** Grows with whatever happens here. */
  #events = 0;
  #eventsSeen = 0;

  constructor(socket: Socket, options: FrontOptions & { leave: () => void }) {
    this.socket = socket;
    this.#options = options;
    socket.setTimeout(options.headersMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('timeout', this.#onTimeout);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  endWhenIdle(): void {
    this.#ending = true;
    if (this.#state === 'idle') this.socket.end();
  }

  /**
   * Called every now and then. Only a connection on which nothing happened since gets a timer: Node
   * renews one at each read and write, which takes a tenth of the time of a small GET.
   */
  look(): void {
    if (this.#events !== this.#eventsSeen) {
      this.#eventsSeen = this.#events;
      this.socket.setTimeout(0);
    } else if (!this.socket.timeout) {
      this.socket.setTimeout(this.#state === 'idle' ? keepAliveMs : this.#options.stallMs);
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#events += 1;
    if (this.#state === 'busy') {
      // Read no further, so that a client that asks faster than it is served keeps its bytes.
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      this.socket.pause();
    } else if (this.#state === 'body') {
      this.#collect(chunk);
    } else {
      this.#begin(chunk);
    }
  };

  readonly #onEnd = (): void => {
    this.endWhenIdle();
    // An upload that was cut is nothing to answer.
    if (this.#state === 'first' || this.#state === 'body') this.socket.destroy();
  };

  readonly #onTimeout = (): void => {
    const { bytesRead } = this.socket;
    // Timers come first when this process was busy: what came meanwhile has not been read yet.
    setImmediate(() => {
      if (this.socket.bytesRead === bytesRead && this.#state !== 'gone') this.#giveUp();
    });
  };

  #giveUp(): void {
    if (this.#state !== 'first') this.socket.destroy();
    else this.socket.end(this.#options.lateAnswer, () => this.socket.destroy());
  }

  readonly #onError = (): void => {
    this.socket.destroy();
  };

  readonly #onClose = (): void => {
    this.#dropUpload();
    this.#options.leave();
  };

  /** Looks at bytes that begin with a request. */
  #begin(bytes: Buffer): void {
    const head = this.#reader.read(bytes);
    if (head === undefined || head.bodyBytes > bodyBytesMax || !this.#options.takes(head.method)) {
      this.#handOver(bytes);
      return;
    }
    this.#rest = bytes.subarray(head.bytes);
    if (head.bodyBytes === 0) {
      if (!this.#answerNow(head)) void this.#serve(head, none);
      return;
    }
    const buffer = this.#options.buffers.take(head.bodyBytes);
    if (buffer === undefined) {
      this.#handOver(bytes);
      return;
    }
    this.#state = 'body';
    this.#upload = { head, buffer, received: 0 };
    this.#collect(this.#rest);
  }

  #collect(chunk: Buffer): void {
    const upload = this.#upload;
    if (upload === undefined) return;
    const { head, buffer } = upload;
    const taken = chunk.copy(buffer, upload.received, 0, head.bodyBytes - upload.received);
    upload.received += taken;
    if (upload.received < head.bodyBytes) {
      this.#readOn();
      return;
    }
    this.#rest = chunk.subarray(taken);
    // From here on it may be in use by the disk.
    this.#upload = undefined;
    void this.#serve(head, buffer.subarray(0, head.bodyBytes)).finally(() => {
      this.#options.buffers.give(buffer, { reusable: true });
    });
  }

  #answerNow(head: PlainHead): boolean {
    const { socket } = this;
    const answer = this.#options.answerNow(head, socket);
    if (answer === undefined) return false;
    this.#state = 'busy';
    const { buffer, bytes } = answer;
    this.#sending = buffer;
    socket.write(buffer.subarray(0, bytes), this.#onSent);
    return true;
  }

  readonly #onSent = (error?: Error | null): void => {
    this.#options.buffers.give(this.#sending, { reusable: !error });
    this.#sending = none;
    if (!error) this.#next();
  };

  async #serve(head: PlainHead, body: Buffer): Promise<void> {
    const { socket } = this;
    const { buffers, serve } = this.#options;
    this.#state = 'busy';
    const { method, target, headers } = head;
    const res = new PlainReply({ socket, buffers, headOnly: method === 'HEAD' });
    await serve({ req: { method, headers, socket }, res, target, body });
    if (socket.writableNeedDrain) await drained(socket);
    if (!socket.destroyed) this.#next();
  }

  #next(): void {
    const bytes = this.#rest;
    if (bytes.length > 0) {
      this.#inRow += 1;
      if (this.#inRow % inRowMax !== 0) this.#begin(bytes);
      else setImmediate(() => !this.socket.destroyed && this.#begin(this.#rest));
      return;
    }
    // Empty, but of the memory of what came.
    this.#rest = none;
    this.#state = 'idle';
    this.#events += 1;
    if (this.#ending) this.socket.end();
    else this.#readOn();
  }

  #readOn(): void {
    if (this.socket.isPaused()) this.socket.resume();
  }

  #handOver(bytes: Buffer): void {
    const { socket } = this;
    if (socket.readableEnded) {
      // Too late to put anything back: what the client said last was no plain request.
      socket.destroySoon();
      return;
    }
    this.#state = 'gone';
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('timeout', this.#onTimeout);
    socket.off('error', this.#onError);
    socket.off('close', this.#onClose);
    this.#options.leave();
    socket.pause();
    socket.unshift(bytes);
    this.#options.strict(socket);
    // Not at once: inside of its own `data` event the socket would never be paused again.
    process.nextTick(() => socket.resume());
  }

  #dropUpload(): void {
    if (this.#upload === undefined) return;
    this.#options.buffers.give(this.#upload.buffer, { reusable: true });
    this.#upload = undefined;
  }
}

/** Resolves when the client has taken enough of the answers before, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}
