/** Bytes on their way, counted and digested; a file that is not what was promised never ends. */
import { createHash } from 'node:crypto';
import {
  type Checksum,
  formatChecksum,
  type HashType,
  hashTypes,
  OmgfsError,
} from '@omgfs/protocol';

export interface Promised {
  /** In bytes. */
  length: number;
  /** Undefined where nobody knows it; a function where it follows the last byte. */
  checksum: Checksum | (() => Promise<Checksum>) | undefined;
}

/** What digests are of when nothing says otherwise. */
export const hashTypeDefault: HashType = 'MD5';

export class CheckedBytes implements AsyncIterable<Buffer> {
  readonly #source: AsyncIterable<Buffer>;
  readonly #promised: Promised;
  readonly #onBytes: ((bytes: number) => Promise<void> | void) | undefined;
  readonly type: HashType;
  #checksum: Checksum | undefined;

  constructor(
    source: AsyncIterable<Buffer>,
    promised: Promised,
    options: { type?: HashType; onBytes?: (bytes: number) => Promise<void> | void } = {},
  ) {
    this.#source = source;
    this.#promised = promised;
    this.#onBytes = options.onBytes;
    const { checksum } = promised;
    const known = typeof checksum === 'function' ? undefined : checksum?.type;
    this.type = known ?? options.type ?? hashTypeDefault;
  }

  /** @throws SIZE_MISMATCH, CHECKSUM_MISMATCH before the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const { length } = this.#promised;
    const hash = createHash(hashTypes[this.type].algorithm);
    let bytes = 0;
    for await (const chunk of this.#source) {
      bytes += chunk.length;
      if (bytes > length) break;
      hash.update(chunk);
      await this.#onBytes?.(chunk.length);
      yield chunk;
    }
    if (bytes !== length) {
      const found = bytes > length ? `more than ${length}` : bytes;
      const message = `there are ${found} bytes where ${length} belong`;
      throw new OmgfsError('SIZE_MISMATCH', { message });
    }
    const found = { type: this.type, hex: hash.digest('hex') };
    const { checksum } = this.#promised;
    const kept = typeof checksum === 'function' ? await checksum() : checksum;
    this.#checksum = found;
    if (kept === undefined || formatChecksum(kept) === formatChecksum(found)) return;
    const message =
      `the bytes have the checksum ${formatChecksum(found)}, ` + `${formatChecksum(kept)} is kept`;
    throw new OmgfsError('CHECKSUM_MISMATCH', { message });
  }

  /** Of all bytes, when they were read to the end. */
  get checksum(): Checksum {
    if (this.#checksum === undefined) throw new OmgfsError('FAILURE');
    return this.#checksum;
  }
}

/** Reads to the end and keeps nothing. @throws as CheckedBytes. */
export async function digestOf(
  source: AsyncIterable<Buffer>,
  promised: Promised,
  type: HashType,
  onBytes?: (bytes: number) => Promise<void>,
): Promise<Checksum> {
  const bytes = new CheckedBytes(source, promised, { type, ...(onBytes ? { onBytes } : {}) });
  for await (const _ of bytes);
  return bytes.checksum;
}
