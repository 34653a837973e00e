/**
 * The memory that the node and the file thread of a device share: a ring of slots, each for one
 * order, and the counters that say how far each of the two is. A slot belongs to the node until it
 * counts it as pushed, then to the thread until that counts it as done.
 */

/** Orders under way at once; a power of two, so that the counters may wrap. */
export const slotCount = 64;
/** Larger files are neither written nor read by the thread. */
export const slotBodyBytesMax = 64 * 1024;
/** For the two paths of an order. */
export const slotTextBytesMax = 2048;

/**
 * Places of `control`. The thread sets `asleep` while it waits to be notified, and `told` when it
 * sends a message, which stays set until the node looks.
 */
export const at = { pushed: 0, done: 1, asleep: 2, told: 3 } as const;

/** Places of a slot's `words`. Without a temporary file it is the last order. */
export const word = { state: 0, fd: 1, tempBytes: 2, pathBytes: 3, bodyBytes: 4, stamped: 5 };

/** In place of the length of a body: the file is to be read, and its length takes this place. */
export const readsBody = -2;

/** What becomes of an order: who changes `waiting` first, the thread or the node, has it. */
export const state = { waiting: 0, begun: 1, givenUp: 2, done: 3, failed: 4 } as const;

const controlBytes = 64;
const wordsBytes = 32;
const stampBytes = 32;
const headBytes = wordsBytes + stampBytes + slotTextBytesMax;
const slotBytes = headBytes + slotBodyBytesMax;

export interface Slot {
  words: Int32Array;
  /** Inode, size and time of change in milliseconds. */
  stamp: Float64Array;
  text: Buffer;
  body: Buffer;
}

export class FileSlots {
  readonly shared: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly #slots: Slot[];

  constructor(shared = new SharedArrayBuffer(controlBytes + slotCount * slotBytes)) {
    this.shared = shared;
    this.control = new Int32Array(shared, 0, 4);
    this.#slots = Array.from({ length: slotCount }, (_, index) => {
      const start = controlBytes + index * slotBytes;
      return {
        words: new Int32Array(shared, start, 6),
        stamp: new Float64Array(shared, start + wordsBytes, 3),
        text: Buffer.from(shared, start + wordsBytes + stampBytes, slotTextBytesMax),
        body: Buffer.from(shared, start + headBytes, slotBodyBytesMax),
      };
    });
  }

  /** The slot of an order, by its number. */
  of(order: number): Slot {
    return this.#slots[(order >>> 0) % slotCount] as Slot;
  }
}
