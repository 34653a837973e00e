/** A file of lines that is only added to, and that a killed process leaves readable. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { linesOf } from './lines.ts';

export class LineLog {
  readonly #file: FileHandle;
  #waiting = '';
  #writing: Promise<void> | undefined;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens or makes it; half a line at its end, of a process that was killed, goes away. */
  static async open(path: string): Promise<LineLog> {
    const file = await open(path, 'a+');
    const { size } = await file.stat();
    const whole = await endOfLines(file, size);
    if (whole < size) await file.truncate(whole);
    return new LineLog(file);
  }

  /** Resolves when the line is with the operating system. Lines of one moment are one write. */
  async append(line: string): Promise<void> {
    this.#waiting += `${line}\n`;
    while (this.#waiting !== '' || this.#writing !== undefined) {
      const before = this.#writing;
      if (before !== undefined) {
        await before;
        // Whoever waits with us may have begun to write ours, too.
        if (this.#writing === undefined && this.#waiting === '') return;
        continue;
      }
      const text = this.#waiting;
      this.#waiting = '';
      this.#writing = this.#file.appendFile(text).finally(() => {
        this.#writing = undefined;
      });
    }
  }

  async close(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }
}

/** Position behind the last line end. */
async function endOfLines(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(65_536);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - buffer.length);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}

/** Whole lines; none when there is no such file. */
export async function* readLines(path: string): AsyncGenerator<string> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  const { size } = await file.stat();
  const end = await endOfLines(file, size).finally(() => file.close());
  if (end === 0) return;
  yield* linesOf(createReadStream(path, { end: end - 1 }));
}
