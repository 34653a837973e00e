/** A file of lines that is only added to, and that a killed process leaves readable. */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { openRegular } from '../../regular-file.ts';
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
    const { O_RDWR, O_APPEND, O_CREAT } = constants;
    const file = await openRegular(path, { flags: O_RDWR | O_APPEND | O_CREAT });
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

/** Whole lines; none when there is no such file. @throws BAD_ARGS for a link or what is no file. */
export async function* readLines(path: string): AsyncGenerator<string> {
  const file = await openRegular(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    const end = await endOfLines(file, size);
    if (end === 0) return;
    yield* linesOf(file.createReadStream({ start: 0, end: end - 1, autoClose: false }));
  } finally {
    await file.close();
  }
}
