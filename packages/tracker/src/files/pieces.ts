/**
 * Cuts a stream into pieces of bounded length, each of which can be stored by itself. A stream that
 * breaks ends like one that is over: what came is worth keeping, and whoever cares asks for
 * `failure`.
 */
import { OmgfsError } from '@omgfs/protocol';

export class Pieces {
  /** What the stream broke with. */
  failure: unknown;
  readonly #source: AsyncIterator<Uint8Array>;
  #next: Uint8Array | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Whether a further byte has come. */
  async hasMore(): Promise<boolean> {
    while (this.#next === undefined || this.#next.length === 0) {
      const next = await this.#pull();
      if (next === undefined) return false;
      this.#next = next;
    }
    return true;
  }

  async *piece(bytesMax: number): AsyncGenerator<Uint8Array> {
    for (let left = bytesMax; left > 0 && (await this.hasMore()); ) {
      const chunk = (this.#next as Uint8Array).subarray(0, left);
      this.#next = this.#next?.subarray(chunk.length);
      left -= chunk.length;
      yield chunk;
    }
  }

  /** Everything that is left. @throws BODY_TOO_LARGE when that is more than `bytesMax`. */
  async *rest(bytesMax: number): AsyncGenerator<Uint8Array> {
    yield* this.piece(bytesMax);
    if (!(await this.hasMore())) return;
    const message = `More came than the ${bytesMax} bytes that are left of the upload.`;
    throw new OmgfsError('BODY_TOO_LARGE', { message });
  }

  async #pull(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#source.next();
      return done ? undefined : value;
    } catch (error) {
      this.failure = error;
      return undefined;
    }
  }
}
