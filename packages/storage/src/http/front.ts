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
  answerNow: (head: PlainHead, socket: Socket) => NowAnswer | undefined;
  /**
   * Stores the body of a PUT, if nothing has to be waited for before: `done` is called later, with
   * the answer, or without one when the request is to be served like others.
   */
  putNow: (put: NowPut, done: (answer: Buffer | undefined) => void) => boolean;
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

/** An answer in a buffer that is to be given back. */
export interface NowAnswer {
  buffer: Buffer;
  bytes: number;
}

export interface NowPut {
  head: PlainHead;
  body: Buffer;
  socket: Socket;
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
  /** Have an answer to send. */
  #answering: PlainConnection[] = [];

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
    const connection = new PlainConnection(socket, {
      ...this.#options,
      leave: () => this.#connections.delete(connection),
      sendSoon: this.#sendSoon,
    });
    this.#connections.add(connection);
    if (this.#closing) connection.endWhenIdle();
  }

  /**
   * The answers of a turn of the event loop leave together. One by one each would wake a client
   * that has nothing else to do, which costs half of a small GET (25 instead of 16 µs, 2026-11).
   */
  readonly #sendSoon = (connection: PlainConnection): void => {
    if (this.#answering.push(connection) === 1) setImmediate(this.#sendAll);
  };

  readonly #sendAll = (): void => {
    const connections = this.#answering;
    this.#answering = [];
    for (const connection of connections) connection.send();
  };

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

interface ConnectionOptions extends FrontOptions {
  leave: () => void;
  /** Has `send` called. */
  sendSoon: (connection: PlainConnection) => void;
}

class PlainConnection {
  readonly socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader = new PlainReader();
  /** `body`: of a PUT, on its way; `busy`: a request is being served. */
  #state: 'first' | 'idle' | 'body' | 'busy' | 'gone' = 'first';
  #ending = false;
  /** Requests served of what came at once with others. */
  #inRow = 0;
  /** What came while a request was served. */
  #rest: Buffer = none;
  #upload: { head: PlainHead; buffer: Buffer; received: number } | undefined;
  /** On its way in one piece. */
  #answer: NowAnswer | undefined;
  /** Grows with whatever happens here. */
  #events = 0;
  #eventsSeen = 0;

  constructor(socket: Socket, options: ConnectionOptions) {
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
    const end = head.bytes + head.bodyBytes;
    if (head.bodyBytes > 0 && bytes.length >= end && this.#putArrived(head, bytes)) {
      this.#rest = bytes.length === end ? none : bytes.subarray(end);
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
    const body = buffer.subarray(0, head.bodyBytes);
    const release = () => this.#options.buffers.give(buffer, { reusable: true });
    if (!this.#putNow(head, body, release)) void this.#serve(head, body).finally(release);
  }

  /** A PUT that came with its whole body, whose bytes need not be collected. */
  #putArrived(head: PlainHead, bytes: Buffer): boolean {
    const { buffers } = this.#options;
    if (!buffers.claim(head.bodyBytes)) return false;
    const body = bytes.subarray(head.bytes, head.bytes + head.bodyBytes);
    const release = () => buffers.release(head.bodyBytes);
    if (this.#putNow(head, body, release)) return true;
    release();
    return false;
  }

  #putNow(head: PlainHead, body: Buffer, release: () => void): boolean {
    const { socket } = this;
    const taken = this.#options.putNow({ head, body, socket }, (answer) => {
      if (answer === undefined) {
        void this.#serve(head, body).finally(release);
        return;
      }
      release();
      if (!socket.destroyed) socket.write(answer, this.#onSent);
    });
    if (taken) this.#state = 'busy';
    return taken;
  }

  #answerNow(head: PlainHead): boolean {
    this.#answer = this.#options.answerNow(head, this.socket);
    if (this.#answer === undefined) return false;
    this.#state = 'busy';
    this.#options.sendSoon(this);
    return true;
  }

  /** Sends the answer that is there. */
  send(): void {
    if (this.#answer === undefined) return;
    const { buffer, bytes } = this.#answer;
    this.socket.write(buffer.subarray(0, bytes), this.#onSent);
  }

  readonly #onSent = (error?: Error | null): void => {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer !== undefined) this.#options.buffers.give(answer.buffer, { reusable: !error });
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
