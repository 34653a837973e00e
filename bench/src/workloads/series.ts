/** Names of the files one workload stores: a prefix and a counter, so that memory stays flat. */
import { encodeText } from '@omgfs/protocol';

export class Series {
  readonly prefix: string;
  readonly bytes: number;
  /** Empty for the default class. */
  readonly className: string;
  #stored = 0;
  #deleted = 0;

  constructor(facts: { prefix: string; bytes: number; className: string }) {
    this.prefix = encodeText(facts.prefix);
    this.bytes = facts.bytes;
    this.className = encodeText(facts.className);
  }

  /** How many names were handed out for storing. */
  get stored(): number {
    return this.#stored;
  }

  /** How many of them were not handed out for deletion yet. */
  get left(): number {
    return this.#stored - this.#deleted;
  }

  /** A key of the series, encoded for the wire. */
  key(number: number): string {
    return `${this.prefix}/${number}`;
  }

  keyToStore(): string {
    this.#stored += 1;
    return this.key(this.#stored - 1);
  }

  /** @throws RangeError when all are deleted. */
  keyToDelete(): string {
    if (this.left === 0) throw new RangeError('nothing is left to delete');
    this.#deleted += 1;
    return this.key(this.#deleted - 1);
  }

  /** A key that was stored. */
  anyKey(): string {
    return this.key(Math.floor(Math.random() * this.#stored));
  }
}
