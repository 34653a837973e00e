/** Makes one thumbnail at a time in a thread that is replaced when it fails or hangs. */
import { Worker } from 'node:worker_threads';

type Answer = { thumbnail: Uint8Array } | { reason: string; thumbnail?: undefined };

/** The bytes are no picture that a thumbnail can be made of; trying again does not help. */
export class NoPicture extends Error {}

const makeMsMax = 30_000;
const heapMegabytesMax = 512;

export class ThumbnailMaker {
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @param read called when it is its turn, so that few pictures are in memory at once. */
  make(read: () => Promise<Buffer>): Promise<Buffer> {
    const made = this.#last.then(async () => this.#make(await read()));
    this.#last = made.catch(() => {});
    return made;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
    await this.#last;
  }

  async #make(picture: Buffer): Promise<Buffer> {
    if (this.#closed) throw new Error('the site stops');
    const worker = this.#worker ?? this.#start();
    const timer = setTimeout(() => void worker.terminate(), makeMsMax);
    worker.postMessage(picture);
    try {
      const answer = await answerOf(worker);
      if (answer.thumbnail === undefined) throw new NoPicture(answer.reason);
      return Buffer.from(answer.thumbnail);
    } finally {
      clearTimeout(timer);
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('./thumbnail-worker.js', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytesMax },
    });
    this.#worker = worker;
    // What the memory limit ends is an error, too; its exit follows.
    worker.on('error', () => {});
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    worker.unref();
    return worker;
  }
}

/** What it says, or that it ended. */
async function answerOf(worker: Worker): Promise<Answer> {
  let onMessage: (answer: Answer) => void = () => {};
  let onExit = () => {};
  try {
    return await new Promise((resolve) => {
      onMessage = resolve;
      onExit = () => resolve({ reason: 'the thread that made it ended' });
      worker.once('message', onMessage).once('exit', onExit);
    });
  } finally {
    worker.off('message', onMessage).off('exit', onExit);
  }
}
