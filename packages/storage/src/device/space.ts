/**
 * How much a device can still take: what the file system said last, less what has been written
 * since and what uploads in flight have announced. It refuses early; a disk that fills up by other
 * hands still answers ENOSPC later.
 */
import { OmgfsError } from '@omgfs/protocol';

/** The space of one upload, given back as it is used. */
export class Claim {
  readonly #space: Space;
  #leftBytes: number;

  constructor(space: Space, bytes: number) {
    this.#space = space;
    this.#leftBytes = bytes;
  }

  /**
   * Accounts for bytes that are written now.
   * @throws DEVICE_FULL when they were not announced and the reserve is reached.
   */
  use(bytes: number): void {
    const announced = Math.min(bytes, this.#leftBytes);
    this.#leftBytes -= announced;
    this.#space.spend({ bytes, announced });
    if (announced < bytes) this.#space.check(0);
  }

  /** Gives back what was announced and not used. */
  release(): void {
    this.#space.spend({ bytes: 0, announced: this.#leftBytes });
    this.#leftBytes = 0;
  }
}

export class Space {
  readonly #reserveBytes: number;
  #freeBytes = 0;
  #claimedBytes = 0;

  constructor(reserveBytes: number) {
    this.#reserveBytes = reserveBytes;
  }

  /** Takes over what the file system says is free for users, in bytes. */
  refresh(freeBytes: number): void {
    this.#freeBytes = freeBytes;
  }

  /** @throws DEVICE_FULL when the reserve would be touched; `exempt` uploads may touch it. */
  claim(bytes: number, options: { exempt: boolean }): Claim {
    if (!options.exempt) this.check(bytes);
    this.#claimedBytes += bytes;
    return new Claim(this, bytes);
  }

  /** Whether so many bytes more would leave the reserve untouched. */
  fits(bytes: number): boolean {
    return this.#freeBytes - this.#claimedBytes - bytes >= this.#reserveBytes;
  }

  /** @throws DEVICE_FULL when so many bytes more do not fit. */
  check(bytes: number): void {
    if (this.fits(bytes)) return;
    throw new OmgfsError('DEVICE_FULL', {
      message:
        `The device is full: ${this.#freeBytes} bytes are free, ${this.#claimedBytes} of them ` +
        `announced by other uploads, and ${this.#reserveBytes} are kept as a reserve.`,
    });
  }

  /** For Claim: bytes that reached the disk, and how many of them had been announced. */
  spend({ bytes, announced }: { bytes: number; announced: number }): void {
    this.#freeBytes -= bytes;
    this.#claimedBytes -= announced;
  }
}
