/** Pieces that are good for a moment as a stream of chunks that the reader may keep. */
import { Readable } from 'node:stream';
import { handOut } from '../young-memory.ts';

interface Pieces {
  /** As `ReplicaConnection.next`. */
  next(): Promise<Buffer | undefined>;
  /** Nobody reads on. */
  end(): void;
}

export class DownloadStream extends Readable {
  readonly #pieces: Pieces;

  constructor(pieces: Pieces) {
    super({ highWaterMark: 64 * 1024 });
    this.#pieces = pieces;
  }

  override _read(): void {
    this.#pieces.next().then(
      (piece) => {
        if (piece === undefined) {
          this.push(null);
          return;
        }
        const chunk = Buffer.allocUnsafeSlow(piece.length);
        piece.copy(chunk);
        handOut(chunk.length);
        this.push(chunk);
      },
      (error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#pieces.end();
    done(error);
  }
}
