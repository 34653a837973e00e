/**
 * A thread that writes and reads the small files of one device. For a file that is there as a
 * whole, one message each way, shared with all others of the moment, takes the place of three to
 * five trips to the thread pool; nobody but this device waits when its disk hangs.
 */
import { Worker } from 'node:worker_threads';
import { closeNow } from '../files.ts';
import {
  at,
  FileSlots,
  readsBody,
  type Slot,
  slotBodyBytesMax,
  slotCount,
  slotTextBytesMax,
  state,
  word,
} from './file-slots.ts';

/** What a file was when it was written. */
export interface Stamp {
  ino: number;
  size: number;
  mtimeMs: number;
}

export interface Written {
  /** Open, and the caller's to close; -1 when the file is in its place. */
  fd: number;
  stamp: Stamp | undefined;
  /** What was read; 0 when nothing was to be. */
  bytes: number;
}

interface Order {
  /** Of the temporary file, or the one to read. */
  temp: string;
  /** Where it is moved, if it is. */
  path?: string;
  /** Undefined when the file is written already. */
  body?: Buffer;
  stamped?: boolean;
  /** Where the whole file is to be read to; it has room for `slotBodyBytesMax`. */
  into?: Buffer;
}

/** What becomes of an order: one of the two is called, in a later turn of the event loop. */
interface Outcome {
  resolve: (written: Written) => void;
  /** With NotDone, or what `failWaiting` was given. */
  reject: (reason: Error) => void;
}

interface Pending extends Outcome {
  into: Buffer | undefined;
}

/** The thread did not do it, for whatever reason; there may be a temporary file. */
export class NotDone extends Error {}

/** In the build also when this module runs from its source, which a thread cannot. */
export const fileWorker = new URL('../../../dist/device/io/file-worker.js', import.meta.url);

export class FileThread {
  readonly #slots = new FileSlots();
  readonly #pending: (Pending | undefined)[] = [];
  #pushed = 0;
  #settled = 0;
  #waking = false;
  #movedAtMs = 0;
  #movedTo = 0;
  #state: 'starting' | 'ready' | 'ended' = 'starting';
  /** Resolves when the thread is gone: with a reason, unless it was told to end. */
  readonly gone: Promise<Error | undefined>;

  /** @throws errors of the system when there can be no thread. */
  constructor(program = fileWorker) {
    const worker = new Worker(program, {
      workerData: this.#slots.shared,
      // What it opens others close; at its end it would close numbers that are in use again.
      trackUnmanagedFds: false,
      // It holds two paths at a time.
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 },
      execArgv: [],
    });
    worker.unref();
    worker.on('message', () => {
      if (this.#state === 'starting') this.#state = 'ready';
      Atomics.store(this.#slots.control, at.told, 0);
      this.#settle(Atomics.load(this.#slots.control, at.done));
    });
    let failure: Error | undefined;
    worker.on('error', (error) => {
      failure = error;
    });
    this.gone = new Promise((resolve) => {
      worker.on('exit', (code) => {
        const ended = this.#state === 'ended';
        this.#state = 'ended';
        this.#settle(this.#pushed);
        resolve(ended ? undefined : (failure ?? new Error(`it exited with ${code}`)));
      });
    });
  }

  /** Whether an order of that size fits at all. */
  static fits(bytes: number, ...paths: string[]): boolean {
    // In UTF-8 a string takes at most three times its length.
    const textBytes = paths.reduce((sum, path) => sum + path.length * 3, 0);
    return bytes <= slotBodyBytesMax && textBytes <= slotTextBytesMax;
  }

  /** Whether it takes an order now. */
  get free(): boolean {
    // The last slot is for the last order.
    return this.#state === 'ready' && this.underWay < slotCount - 1;
  }

  /** Orders that were not answered yet. */
  get underWay(): number {
    return (this.#pushed - this.#settled) | 0;
  }

  /** For how long orders have been under way of which none was carried out. */
  get stalledMs(): number {
    const done = Atomics.load(this.#slots.control, at.done);
    if (done === this.#pushed) return 0;
    if (done !== this.#movedTo) this.#moved(done);
    return performance.now() - this.#movedAtMs;
  }

  /**
   * Does what the order says; to be called only while it is `free`.
   * @throws NotDone; what `failWaiting` was given.
   */
  order(order: Order): Promise<Written> {
    return new Promise((resolve, reject) => this.push(order, { resolve, reject }));
  }

  /** The same for who has no time for promises. */
  push(
    { temp, path = '', body, stamped = false, into }: Order,
    { resolve, reject }: Outcome,
  ): void {
    const { control } = this.#slots;
    const number = this.#pushed;
    const { words, text, body: room } = this.#slots.of(number);
    const tempBytes = text.write(temp);
    words[word.state] = state.waiting;
    words[word.fd] = -1;
    words[word.tempBytes] = tempBytes;
    words[word.pathBytes] = text.write(path, tempBytes);
    words[word.bodyBytes] = into === undefined ? put(body, room) : readsBody;
    words[word.stamped] = stamped ? 1 : 0;
    if (Atomics.load(control, at.done) === number) this.#moved(number);
    this.#pushed = (number + 1) | 0;
    Atomics.store(control, at.pushed, this.#pushed);
    this.#pending[(number >>> 0) % slotCount] = { into, resolve, reject };
    this.#wakeSoon();
  }

  /** Fails the orders that were not begun, which now never will be. */
  failWaiting(reason: Error): void {
    for (let number = this.#settled; number !== this.#pushed; number = (number + 1) | 0) {
      const { words } = this.#slots.of(number);
      const before = Atomics.compareExchange(words, word.state, state.waiting, state.givenUp);
      if (before === state.waiting) this.#pending[(number >>> 0) % slotCount]?.reject(reason);
    }
  }

  /** Takes no more orders, carries out those it has, and is gone. */
  async end(): Promise<void> {
    if (this.#state !== 'ended') {
      this.#state = 'ended';
      this.order({ temp: '' }).catch(() => {});
    }
    await this.gone;
  }

  /**
   * Once for all orders of this turn of the event loop: one by one the thread would take the
   * processor after each (2.7 instead of 0.4 switches and a fifth more time for a file, 2026-11).
   */
  #wakeSoon(): void {
    if (this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      const { control } = this.#slots;
      if (Atomics.load(control, at.asleep) === 1) Atomics.notify(control, at.pushed);
    });
  }

  #moved(done: number): void {
    this.#movedTo = done;
    this.#movedAtMs = performance.now();
  }

  /** Answers for the orders up to that number. */
  #settle(until: number): void {
    while (this.#settled !== until) {
      const number = this.#settled;
      const pending = this.#pending[(number >>> 0) % slotCount];
      this.#settled = (number + 1) | 0;
      if (pending !== undefined) answer(this.#slots.of(number), pending);
    }
  }
}

/** `copy` is far slower where one side is shared memory. @returns how many bytes; -1 for none. */
function put(bytes: Buffer | undefined, room: Buffer): number {
  if (bytes === undefined) return -1;
  if (bytes.length > 0) room.fill(bytes, 0, bytes.length);
  return bytes.length;
}

function answer({ words, stamp, body }: Slot, { into, resolve, reject }: Pending): void {
  const fd = words[word.fd] ?? -1;
  switch (Atomics.load(words, word.state)) {
    case state.done: {
      const [ino = 0, size = 0, mtimeMs = 0] = stamp;
      const bytes = into === undefined ? 0 : put(body.subarray(0, words[word.bodyBytes]), into);
      const written = words[word.stamped] === 1 ? { ino, size, mtimeMs } : undefined;
      resolve({ fd, stamp: written, bytes });
      break;
    }
    case state.givenUp:
      break;
    default:
      if (fd >= 0) closeNow(fd);
      reject(new NotDone());
  }
}
