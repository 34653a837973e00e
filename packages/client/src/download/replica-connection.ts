/**
 * One connection to a storage node that carries one GET at a time and reads into one buffer for as
 * long as it lives. Whatever goes wrong destroys it; only one whose answer was read to its last
 * byte can be used again.
 */
import { connect, type OnReadOpts, type Socket } from 'node:net';
import { parseResponseHead, type ResponseHead } from './response-head.ts';

/** What one read takes at most. */
const readBytes = 64 * 1024;
const headBytesMax = 16 * 1024;
const headEnd = Buffer.from('\r\n\r\n');

interface Waiter<T> {
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

export class ReplicaConnection {
  readonly #socket: Socket;
  #connected: Waiter<void> | undefined;
  /** Who waits for the head of an answer, and what came of it so far. */
  #answer: Waiter<ResponseHead> | undefined;
  #head = Buffer.alloc(0);
  /** Who waits for the next piece of the body. */
  #reader: Waiter<Buffer | undefined> | undefined;
  /** What came with the head. */
  #piece: Buffer | undefined;
  #bodyLeft = 0;
  #keepAlive = false;
  #end: { reason: unknown } | undefined;
  readonly #onEnd: () => void;
  /** Whether a byte of an answer to the last request came. */
  answered = false;

  /** @param options `onEnd` is called once, when nothing can be sent any more. */
  constructor(
    origin: { host: string; port: number },
    options: { connectTimeoutMs: number; onEnd: () => void },
  ) {
    const { connectTimeoutMs } = options;
    this.#onEnd = options.onEnd;
    const onread: OnReadOpts = {
      buffer: Buffer.allocUnsafeSlow(readBytes),
      callback: (length, buffer) => this.#read((buffer as Buffer).subarray(0, length)),
    };
    this.#socket = connect({ ...origin, noDelay: true, onread });
    const timer = setTimeout(() => {
      this.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    this.#socket.on('connect', () => {
      clearTimeout(timer);
      this.#connected?.resolve();
    });
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('close', () => {
      clearTimeout(timer);
      this.destroy(new Error('the connection was closed'));
    });
    this.#socket.on('timeout', () => this.destroy(new Error('not used any more')));
  }

  /** Resolves when the node took the connection. @throws what ended it. */
  connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#connected = { resolve, reject };
      if (this.#end !== undefined) reject(this.#end.reason);
    });
  }

  /** Whether another request may be sent. */
  get reusable(): boolean {
    return this.#end === undefined && this.#keepAlive && this.#bodyLeft === 0;
  }

  /** @param head a whole request without a body. @throws what ended the connection. */
  ask(head: string): Promise<ResponseHead> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end.reason);
        return;
      }
      this.#answer = { resolve, reject };
      this.#keepAlive = false;
      this.#piece = undefined;
      this.answered = false;
      this.#socket.write(head, 'latin1');
      this.#socket.resume();
    });
  }

  /**
   * The next bytes of the body, undefined behind the last; they are good until the next call.
   * Nothing is read in between, so that a slow reader holds up the node and fills no memory.
   * @throws what ended the connection.
   */
  next(): Promise<Buffer | undefined> {
    const piece = this.#piece;
    this.#piece = undefined;
    if (piece !== undefined) return Promise.resolve(piece);
    if (this.#bodyLeft === 0) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end.reason);
        return;
      }
      this.#reader = { resolve, reject };
      this.#socket.resume();
    });
  }

  /** Until the next request: does not keep the process alive, and ends after a while. */
  rest(idleMs: number): void {
    this.#socket.unref();
    this.#socket.setTimeout(idleMs);
    // To see that the node closes it.
    this.#socket.resume();
  }

  wake(): void {
    this.#socket.ref();
    this.#socket.setTimeout(0);
  }

  destroy(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { reason };
    this.#socket.destroy();
    this.#piece = undefined;
    for (const waiter of [this.#connected, this.#answer, this.#reader]) waiter?.reject(reason);
    this.#onEnd();
  }

  /** @returns whether to go on reading into the same buffer. */
  #read(bytes: Buffer): boolean {
    if (this.#answer !== undefined) return this.#readHead(bytes);
    const reader = this.#reader;
    if (reader === undefined) {
      this.destroy(new Error('sent bytes that nobody asked for'));
      return false;
    }
    this.#reader = undefined;
    reader.resolve(this.#ofBody(bytes));
    return false;
  }

  #readHead(bytes: Buffer): boolean {
    this.answered = true;
    const before = this.#head.length;
    const head = before === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    const end = head.indexOf(headEnd);
    if (end < 0 && head.length <= headBytesMax) {
      this.#head = Buffer.from(head);
      return true;
    }
    this.#head = Buffer.alloc(0);
    const answer = this.#answer;
    this.#answer = undefined;
    try {
      if (end < 0 || end > headBytesMax) throw new Error('sent an endless head');
      const parsed = parseResponseHead(head.toString('latin1', 0, end));
      this.#bodyLeft = parsed.bodyBytes;
      this.#keepAlive = parsed.keepAlive;
      const body = bytes.subarray(end + headEnd.length - before);
      if (body.length > 0) this.#piece = this.#ofBody(body);
      answer?.resolve(parsed);
    } catch (error) {
      answer?.reject(error);
      this.destroy(error);
    }
    return false;
  }

  #ofBody(bytes: Buffer): Buffer {
    const body = bytes.subarray(0, this.#bodyLeft);
    this.#bodyLeft -= body.length;
    // Behind the last byte stands nothing that was asked for.
    if (body.length < bytes.length) this.#keepAlive = false;
    return body;
  }
}
