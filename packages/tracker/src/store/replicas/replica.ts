/** One replica database: opened when it is first needed, rested when it fails. */
import { limits } from '@omgfs/protocol';
import { Batcher } from '../batcher.ts';
import { openEngine } from '../open-store.ts';
import type { Engine } from '../sql/engine.ts';
import { findFiles, type Key } from '../sql/files.ts';
import type { FileWithReplicas } from '../store.ts';
import type { ReplicaPlace } from './replica-list.ts';

/** Consecutive failures that lengthen the rest. */
const failuresMax = 20;
const readsInFlight = 2;

export class Replica {
  readonly place: ReplicaPlace;
  readonly #timing: { connectTimeoutMs: number; deadRetryMs: number };
  #opened: Promise<Reader> | undefined;
  #failures = 0;
  #restsUntilMs = 0;

  constructor(place: ReplicaPlace, timing: { connectTimeoutMs: number; deadRetryMs: number }) {
    this.place = place;
    this.#timing = timing;
  }

  get isResting(): boolean {
    return performance.now() < this.#restsUntilMs;
  }

  /** @throws when it cannot be asked; it rests then. */
  async findFile(key: Key): Promise<FileWithReplicas | undefined> {
    try {
      this.#opened ??= this.#open();
      const file = await (await this.#opened).finds.run(key);
      this.#failures = 0;
      return file;
    } catch (error) {
      // Those that failed together count once.
      if (!this.isResting) {
        this.#failures = Math.min(failuresMax, this.#failures + 1);
        this.#restsUntilMs = performance.now() + this.#failures * this.#timing.deadRetryMs;
        void this.close();
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then(({ engine }) => engine.close()).catch(() => {});
  }

  async #open(): Promise<Reader> {
    const opening = openEngine(this.place.dsn, { createSchema: false });
    const engine = await withinTime(opening, this.#timing.connectTimeoutMs);
    const { storeBatchRowsMax: rowsMax, storeQueueMax: queueMax } = limits;
    const send = (keys: Key[]) => findFiles(engine, keys);
    return { engine, finds: new Batcher({ rowsMax, queueMax, inFlightMax: readsInFlight, send }) };
  }
}

interface Reader {
  engine: Engine;
  finds: Batcher<Key, FileWithReplicas | undefined>;
}

/** Gives an engine up that opens too late, and closes it then. */
async function withinTime(opening: Promise<Engine>, timeoutMs: number): Promise<Engine> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      void opening.then((engine) => engine.close()).catch(() => {});
      reject(new Error(`no connection within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([opening, late]);
  } finally {
    clearTimeout(timer);
  }
}
