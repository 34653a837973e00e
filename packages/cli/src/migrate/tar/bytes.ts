/** Where a tar archive is read from: a file, in which bodies can be passed over, or a stream. */
import type { FileHandle } from 'node:fs/promises';

export interface TarBytes {
  /** Bytes read or passed over so far. */
  readonly position: number;
  /** At most so many bytes; none at the end. */
  read(count: number): Promise<Buffer>;
  /** @returns false when there are not so many bytes. */
  skip(count: number): Promise<boolean>;
}

export class FileBytes implements TarBytes {
  position = 0;
  readonly #file: FileHandle;
  readonly #size: number;

  /** @param size of the file in bytes. */
  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  async read(count: number): Promise<Buffer> {
    const length = Math.max(0, Math.min(count, this.#size - this.position));
    const { buffer, bytesRead } = await this.#file.read(
      Buffer.allocUnsafe(length),
      0,
      length,
      this.position,
    );
    this.position += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  async skip(count: number): Promise<boolean> {
    this.position += count;
    return this.position <= this.#size;
  }
}

export class StreamBytes implements TarBytes {
  position = 0;
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async read(count: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return this.#rest;
      this.#rest = next.value;
    }
    const bytes = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    this.position += bytes.length;
    return bytes;
  }

  async skip(count: number): Promise<boolean> {
    for (let left = count; left > 0; ) {
      const { length } = await this.read(left);
      if (length === 0) return false;
      left -= length;
    }
    return true;
  }
}
