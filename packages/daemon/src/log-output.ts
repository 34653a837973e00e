/**
 * Standard output for the log: it never throws and never waits. What cannot be written, because the
 * disk is full or the reader of the pipe sleeps or is gone, is dropped, and the loss is told when
 * lines can be written again.
 */
import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

const descriptor = 1;
/** What a slow reader may leave unread before lines are dropped. */
const unreadBytesMax = 1024 * 1024;
/** A turn that says more than this writes more than once. */
const turnCharsMax = 64 * 1024;

export class LogOutput {
  readonly #pipe: Socket | undefined;
  #lost = 0;
  /** Lines of this turn of the event loop: one call writes them all. */
  #lines: string[] = [];
  #chars = 0;

  constructor() {
    const kind = fstatSync(descriptor);
    if (!kind.isFIFO() && !kind.isSocket()) return;
    this.#pipe = new Socket({ fd: descriptor, readable: false, writable: true });
    // The reader has gone: every further line is lost.
    this.#pipe.on('error', () => {});
    this.#pipe.unref();
  }

  write(line: string): void {
    if (this.#lines.length === 0) {
      setImmediate(this.#flush);
      process.once('exit', this.#flush);
    }
    this.#lines.push(line);
    this.#chars += line.length;
    if (this.#chars > turnCharsMax) this.#flush();
  }

  readonly #flush = (): void => {
    process.off('exit', this.#flush);
    const lines = this.#lines;
    if (lines.length === 0) return;
    this.#lines = [];
    this.#chars = 0;
    const told = this.#lost === 0 ? '' : lossLine(this.#lost);
    if (this.#put(told + lines.join(''))) this.#lost = 0;
    else this.#lost += lines.length;
  };

  #put(text: string): boolean {
    if (this.#pipe !== undefined) {
      if (this.#pipe.destroyed || this.#pipe.writableLength > unreadBytesMax) return false;
      this.#pipe.write(text);
      return true;
    }
    try {
      writeSync(descriptor, text);
      return true;
    } catch {
      return false;
    }
  }
}

function lossLine(lines: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', time, event: 'log.lost', lines })}\n`;
}
