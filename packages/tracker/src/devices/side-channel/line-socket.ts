/** A connection to a side channel: lines out, lines in, every wait bounded. */
import { connect, type Socket } from 'node:net';

/** Longer than any line of the side channel. */
const lineBytesMax = 16 * 1024;
/** More than a block of `watch` has; lines that nobody waits for must not pile up. */
const linesMax = 10_000;

export class LineSocket {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #input = '';
  #error: Error | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#fail(error));
    socket.once('close', () => this.#fail(new Error('the node closed the connection')));
  }

  /** @throws when nothing accepts within `timeoutMs`. */
  static open(place: { host: string; port: number; timeoutMs: number }): Promise<LineSocket> {
    const { host, port, timeoutMs } = place;
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true, keepAlive: true });
      const late = () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`));
      const timer = setTimeout(late, timeoutMs);
      socket.once('error', reject);
      socket.once('close', () => clearTimeout(timer));
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.off('error', reject);
        resolve(new LineSocket(socket));
      });
    });
  }

  get isOpen(): boolean {
    return this.#error === undefined;
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** The next line without its end. @throws when none comes within `timeoutMs`. */
  async next(timeoutMs: number): Promise<string> {
    let line = this.#lines.shift();
    if (line !== undefined) return line;
    if (this.#error !== undefined) throw this.#error;
    const late = () => this.#fail(new Error(`no answer within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    clearTimeout(timer);
    line = this.#lines.shift();
    if (line !== undefined) return line;
    throw this.#error ?? new Error('no line');
  }

  close(): void {
    this.#fail(new Error('closed'));
  }

  #take(text: string): void {
    const parts = (this.#input + text).split('\n');
    this.#input = parts.pop() ?? '';
    for (const part of parts) this.#lines.push(part.replace(/\r$/, ''));
    if (this.#input.length > lineBytesMax) this.#fail(new Error('a line is too long'));
    else if (this.#lines.length > linesMax) this.#fail(new Error('more lines than were asked for'));
    else if (parts.length > 0) this.#wake();
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
    this.#wake();
  }
}
