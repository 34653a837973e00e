/**
 * Bounds what all clients of a process together may have it keep in memory: whoever holds most is
 * dropped when the sum is exceeded (I7). Many small clients are safe from a few large ones.
 */
export interface Holder {
  /** Bytes held for this client now. */
  readonly heldBytes: number;
  /** Ends the client, so that it holds nothing any more. */
  drop(): void;
}

export class Budget {
  readonly #bytesMax: number;
  /** Only clients that hold something, so that looking for the largest is seldom and short. */
  readonly #held = new Map<Holder, number>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Takes note of what a client holds now. */
  update(holder: Holder): void {
    const bytes = holder.heldBytes;
    this.#bytes += bytes - (this.#held.get(holder) ?? 0);
    if (bytes === 0) this.#held.delete(holder);
    else this.#held.set(holder, bytes);
    while (this.#bytes > this.#bytesMax && this.#dropLargest());
  }

  #dropLargest(): boolean {
    let largest: Holder | undefined;
    let most = 0;
    for (const [holder, bytes] of this.#held) {
      if (bytes <= most) continue;
      largest = holder;
      most = bytes;
    }
    if (largest === undefined) return false;
    this.#held.delete(largest);
    this.#bytes -= most;
    largest.drop();
    return true;
  }
}
