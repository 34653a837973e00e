/**
 * A job that goes in rounds: what is shared by those that look again every few seconds. It rests
 * while it is paused, or this tracker takes no part; a round that fails does not end it.
 */
import { stopController } from '../devices/any-signal.ts';
import type { Log } from '../log.ts';
import { FaultLog } from './fault-log.ts';
import { Repeater } from './repeater.ts';

export interface RoundJobOptions {
  everyMs: number;
  /** Whether this tracker takes part now; asked before each round. */
  takesPart: () => boolean;
}

export abstract class RoundJob {
  readonly #takesPart: () => boolean;
  readonly #repeater: Repeater;
  readonly #stopping = stopController();
  #paused = false;

  constructor(name: string, log: Log, { everyMs, takesPart }: RoundJobOptions) {
    this.#takesPart = takesPart;
    const faults = new FaultLog(log, name);
    this.#repeater = new Repeater({
      everyMs,
      run: async () => {
        if (this.#paused || !this.#takesPart()) return;
        await this.round();
        faults.wentWell();
      },
      onError: (error) => faults.failed(error),
    });
  }

  protected abstract round(): Promise<void>;

  /** Whether a round is to come to an end early. */
  protected get isResting(): boolean {
    return this.#paused || this.#stopping.signal.aborted;
  }

  protected get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  start(): void {
    this.#repeater.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#repeater.stop();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  wake(): void {
    this.#repeater.wake();
  }
}
