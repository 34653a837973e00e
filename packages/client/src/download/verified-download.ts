/** A download whose bytes are compared with the checksum that the tracker keeps. */
import { createHash, type Hash } from 'node:crypto';
import { pipeline, type Readable, Transform } from 'node:stream';
import { type Checksum, formatChecksum, hashTypes, OmgfsError } from '@omgfs/protocol';
import type { Download, UsePiece } from './download.ts';

/** The same download; reading it fails at the end with CHECKSUM_MISMATCH. */
export function verifiedDownload(download: Download, checksum: Checksum): Download {
  return new VerifiedDownload(download, checksum);
}

class VerifiedDownload implements Download {
  readonly length: number;
  readonly fileLength: number;
  readonly fid: number | undefined;
  readonly checksum: string;
  readonly #download: Download;
  readonly #hash: Hash;
  readonly #type: Checksum['type'];
  #stream: Readable | undefined;

  constructor(download: Download, checksum: Checksum) {
    const { length, fileLength, fid } = download;
    this.length = length;
    this.fileLength = fileLength;
    this.fid = fid;
    this.checksum = formatChecksum(checksum);
    this.#download = download;
    this.#type = checksum.type;
    this.#hash = createHash(hashTypes[checksum.type].algorithm);
  }

  get stream(): Readable {
    this.#stream ??= this.#checkedStream();
    return this.#stream;
  }

  async each(use: UsePiece): Promise<void> {
    await this.#download.each((piece) => {
      this.#hash.update(piece);
      return use(piece);
    });
    const fault = this.#fault();
    if (fault !== undefined) throw fault;
  }

  #checkedStream(): Readable {
    const stream = new Transform({
      transform: (chunk: Buffer, _, done) => {
        this.#hash.update(chunk);
        done(null, chunk);
      },
      flush: (done) => done(this.#fault()),
    });
    // What goes wrong is an error of the stream that the caller has.
    pipeline(this.#download.stream, stream, () => {});
    return stream;
  }

  #fault(): OmgfsError | undefined {
    const found = formatChecksum({ type: this.#type, hex: this.#hash.digest('hex') });
    if (found === this.checksum) return undefined;
    const message = `the bytes have the checksum ${found}, the tracker keeps ${this.checksum}`;
    return new OmgfsError('CHECKSUM_MISMATCH', { message });
  }
}
