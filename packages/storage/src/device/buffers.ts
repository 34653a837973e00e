/**
 * Memory for bodies in flight, bounded for the whole node (I7): who gets no large buffer works
 * with a small one instead of waiting. Buffers of a few sizes are used again, because allocating
 * them costs as much as reading a small file.
 */

/** Takes memory out of reach and drops it, because nobody receives what is sent here. */
const sink = new MessageChannel().port1;
sink.close();

/**
 * Frees the memory of a chunk now that it is written. Left to the garbage collector, which sees
 * only small objects, 64 uploads at once held 320 MiB of it (2026-11). The chunk must not be used
 * afterwards.
 */
export function discard(chunk: Buffer): void {
  const { buffer } = chunk;
  // Only memory that nothing else can be in.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length) {
    sink.postMessage(undefined, [buffer]);
  }
}

/** Room for the head of an answer besides the body. */
const headBytesMax = 512;
const sizes = [4, 16, 64, 256].map((kib) => kib * 1024 + headBytesMax);
/** Free buffers kept, per size. */
const freeBytesMax = 8 * 1024 * 1024;

export class Buffers {
  readonly #bytesMax: number;
  #leftBytes: number;
  readonly #free = sizes.map((): Buffer[] => []);

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#leftBytes = bytesMax;
  }

  /** Memory that is in use now. */
  get usedBytes(): number {
    return this.#bytesMax - this.#leftBytes;
  }

  /** Whether as much is free as is in use. */
  get plentiful(): boolean {
    return this.#leftBytes * 2 >= this.#bytesMax;
  }

  /** Accounts for memory that someone else allocates; false when there is not enough. */
  claim(bytes: number): boolean {
    if (bytes > this.#leftBytes) return false;
    this.#leftBytes -= bytes;
    return true;
  }

  release(bytes: number): void {
    this.#leftBytes += bytes;
  }

  /** A buffer of at least `bytes`, to be given back; undefined when memory is short. */
  take(bytes: number): Buffer | undefined {
    const index = sizes.findIndex((size) => size >= bytes);
    const size = sizes[index];
    if (size === undefined || !this.claim(size)) return undefined;
    return this.#free[index]?.pop() ?? Buffer.allocUnsafeSlow(size);
  }

  /** Takes a buffer back; `reusable` only when nobody can still read or write it. */
  give(buffer: Buffer, options: { reusable: boolean }): void {
    this.release(buffer.length);
    const free = this.#free[sizes.indexOf(buffer.length)];
    if (free === undefined || !options.reusable) return;
    if ((free.length + 1) * buffer.length <= freeBytesMax) free.push(buffer);
  }
}
