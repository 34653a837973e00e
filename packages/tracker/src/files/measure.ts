/** What passes by of a body, compared with what was announced of it; and its checksum. */
import { createHash, type Hash } from 'node:crypto';
import {
  type Checksum,
  type DigestCheck,
  type HashType,
  hashTypes,
  OmgfsError,
} from '@omgfs/protocol';

export interface MeasureOptions {
  length?: number | undefined;
  bytesMax?: number | undefined;
  digests?: DigestCheck | undefined;
  /** Name of the checksum that the class keeps; any other value means none. */
  hashtype: unknown;
}

export class Measure {
  bytes = 0;
  /** In the kind that the class keeps, when the body was right. */
  checksum: Checksum | undefined;
  readonly #options: MeasureOptions;
  readonly #type: HashType | undefined;
  readonly #hash: Hash | undefined;

  constructor(options: MeasureOptions) {
    this.#options = options;
    this.#type = hashTypeNamed(options.hashtype);
    if (this.#type !== undefined) this.#hash = createHash(hashTypes[this.#type].algorithm);
  }

  add(chunk: Uint8Array): void {
    const { length, bytesMax, digests } = this.#options;
    this.bytes += chunk.length;
    if (length !== undefined && this.bytes > length) this.#refuseLength();
    if (bytesMax !== undefined && this.bytes > bytesMax) {
      throw new OmgfsError('BODY_TOO_LARGE', {
        message: `The body has more than ${bytesMax} bytes.`,
      });
    }
    digests?.update(chunk);
    this.#hash?.update(chunk);
  }

  verify(): void {
    const { length, digests } = this.#options;
    if (length !== undefined && this.bytes !== length) this.#refuseLength();
    digests?.verify();
    const hex = this.#hash?.digest('hex');
    if (this.#type !== undefined && hex !== undefined) this.checksum = { type: this.#type, hex };
  }

  #refuseLength(): never {
    const { length } = this.#options;
    const message = `${length} bytes were announced, and ${this.bytes} or more came.`;
    throw new OmgfsError('SIZE_MISMATCH', { message });
  }
}

function hashTypeNamed(name: unknown): HashType | undefined {
  return Object.keys(hashTypes).find((type): type is HashType => type === name);
}
