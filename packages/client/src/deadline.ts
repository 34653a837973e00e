/**
 * Bounds one exchange over the network: aborts it when what is waited for does not come in time, or
 * when the caller aborts. Only time spent waiting for the network counts: a slow source or a slow
 * reader is never the peer's fault.
 */
import { OmgfsError } from '@omgfs/protocol';

export class Deadline {
  readonly #abort = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #onCaller = () => this.#abort.abort(this.#caller?.reason);
  #timer: NodeJS.Timeout | undefined;

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller;
    if (caller?.aborted) this.#onCaller();
    else caller?.addEventListener('abort', this.#onCaller, { once: true });
  }

  /** Aborted with DEADLINE_EXCEEDED, or with the reason of the caller. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From here on `what` is waited for. */
  arm(waitMs: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const message = `no ${what} within ${waitMs} ms`;
      this.#abort.abort(new OmgfsError('DEADLINE_EXCEEDED', { message }));
    }, waitMs);
  }

  disarm(): void {
    clearTimeout(this.#timer);
  }

  /** Frees the timer and the listener; the signal stays as it is. */
  end(): void {
    this.disarm();
    this.#caller?.removeEventListener('abort', this.#onCaller);
  }

  /** Ends the exchange now. */
  cancel(reason: unknown): void {
    this.end();
    this.#abort.abort(reason);
  }
}
