/** Logs a fault that lasts once, and again only when it changes or after it was gone. */
import type { Log } from '../log.ts';

export class FaultLog {
  readonly #log: Log;
  readonly #job: string;
  #last: string | undefined;

  constructor(log: Log, job: string) {
    this.#log = log;
    this.#job = job;
  }

  /** What failed last, in words, unless it went well since. */
  get last(): string | undefined {
    return this.#last;
  }

  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (message !== this.#last) this.#log.error({ job: this.#job, err: error }, 'job.failed');
    this.#last = message;
  }

  wentWell(): void {
    if (this.#last !== undefined) this.#log.info({ job: this.#job }, 'job.recovered');
    this.#last = undefined;
  }
}
