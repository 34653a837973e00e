/** One replica database: opened when it is first needed, rested when it fails. */
import { limits } from '@omgfs/protocol';
import { Batcher } from '../../batcher.ts';
import { openEngine } from '../open-store.ts';
import type { Engine } from '../sql/engine.ts';
import { findFiles, type Key } from '../sql/files.ts';
import type { FileWithReplicas } from '../store.ts';
import type { ReplicaPlace } from './replica-list.ts';

/** Consecutive failures that lengthen the rest. */
const failuresMax = 20;
const readsInFlight = 2;
/** One that takes longer to answer does so later than the master would. */
const answerMsMax = 2_000;

export interface ReplicaTiming {
  connectTimeoutMs: number;
  deadRetryMs: number;
}

export class Replica {
  readonly place: ReplicaPlace;
  readonly #options: { timing: () => ReplicaTiming; onRest: (reason: string) => void };
  #ended = false;
  #opened: Promise<Reader> | undefined;
  #failures = 0;
  #restsUntilMs = 0;

  /** `onRest` is called once for each rest, however many lookups failed. */
  constructor(
    place: ReplicaPlace,
    options: { timing: () => ReplicaTiming; onRest: (reason: string) => void },
  ) {
    this.place = place;
    this.#options = options;
  }

  get isResting(): boolean {
    return performance.now() < this.#restsUntilMs;
  }

  /** @throws when it cannot be asked; it rests then. */
  async findFile(key: Key): Promise<FileWithReplicas | undefined> {
    // Who chose it before the settings changed must not open it again.
    if (this.#ended) throw new Error('the replica is not used any more');
    try {
      this.#opened ??= this.#open();
      const { finds } = await this.#opened;
      const file = await withinTime(finds.run(key), answerMsMax, 'no answer');
      this.#failures = 0;
      return file;
    } catch (error) {
      // Those that failed together count once.
      if (!this.isResting && !this.#ended) this.#rest(error);
      throw error;
    }
  }

  /** Closes it for good. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#close();
  }

  #rest(error: unknown): void {
    const { timing, onRest } = this.#options;
    this.#failures = Math.min(failuresMax, this.#failures + 1);
    this.#restsUntilMs = performance.now() + this.#failures * timing().deadRetryMs;
    onRest(error instanceof Error ? error.message : String(error));
    void this.#close();
  }

  async #close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then(({ engine }) => engine.close()).catch(() => {});
  }

  async #open(): Promise<Reader> {
    const opening = openEngine(this.place.dsn, { createSchema: false });
    const { connectTimeoutMs } = this.#options.timing();
    const engine = await withinTime(opening, connectTimeoutMs, 'no connection').catch((error) => {
      // It may open later.
      void opening.then((late) => late.close()).catch(() => {});
      throw error;
    });
    const { storeBatchRowsMax: rowsMax, storeQueueMax: queueMax } = limits;
    const send = (keys: Key[]) => findFiles(engine, keys);
    return { engine, finds: new Batcher({ rowsMax, queueMax, inFlightMax: readsInFlight, send }) };
  }
}

interface Reader {
  engine: Engine;
  finds: Batcher<Key, FileWithReplicas | undefined>;
}

/** @throws Error that says `what` within which time. */
async function withinTime<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
