/**
 * One memcached server, of which entries are removed. It is a courtesy: a server that does not
 * answer is left alone for a while, and nobody waits for it longer than a moment.
 */
import { connect, type Socket } from 'node:net';
import { startAwakeTimer } from '@omgfs/daemon';

/**
 * How long removals may take; a tracker's answer waits for them. A server that is given up keeps
 * what was changed for ten seconds, so one that is merely busy should not be.
 */
const answerMs = 1_000;
const restMs = 10_000;
/** Removals on the way at once. */
const waitingMax = 10_000;

export class MemcacheServer {
  readonly #address: { host: string; port: number };
  readonly #onFault: (reason: string) => void;
  #socket: Socket | undefined;
  /** What waits for so many further lines of answer. */
  #waiting: { lines: number; done: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #restsUntilMs = 0;

  constructor(address: { host: string; port: number }, onFault: (reason: string) => void) {
    this.#address = address;
    this.#onFault = onFault;
  }

  /** Resolves when the entries are gone, or will not be removed. */
  remove(keys: readonly string[]): Promise<void> {
    const rests = performance.now() < this.#restsUntilMs;
    if (rests || this.#waiting.length >= waitingMax) return Promise.resolve();
    this.#socket ??= this.#open();
    this.#socket.write(keys.map((key) => `delete ${key}\r\n`).join(''), 'latin1');
    this.#timer ??= this.#expectAnswer();
    return new Promise((done) => this.#waiting.push({ lines: keys.length, done }));
  }

  close(): void {
    this.#socket?.destroy();
    this.#end();
  }

  #open(): Socket {
    const socket = connect({ ...this.#address, noDelay: true });
    socket.unref();
    socket.setEncoding('latin1');
    socket.on('data', (chunk: Buffer | string) =>
      this.#count(String(chunk).split('\n').length - 1),
    );
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => {
      if (this.#socket === socket) this.#end();
    });
    return socket;
  }

  #expectAnswer(): NodeJS.Timeout {
    return startAwakeTimer(answerMs, () => this.#fail(`no answer within ${answerMs} ms`));
  }

  #count(lines: number): void {
    let left = lines;
    while (left > 0) {
      const first = this.#waiting[0];
      if (first === undefined) break;
      const taken = Math.min(left, first.lines);
      first.lines -= taken;
      left -= taken;
      if (first.lines > 0) break;
      this.#waiting.shift();
      first.done();
    }
    clearTimeout(this.#timer);
    this.#timer = this.#waiting.length > 0 ? this.#expectAnswer() : undefined;
  }

  #fail(reason: string): void {
    this.#restsUntilMs = performance.now() + restMs;
    this.#socket?.destroy();
    this.#end();
    this.#onFault(reason);
  }

  #end(): void {
    this.#socket = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { done } of this.#waiting.splice(0)) done();
  }
}
