/**
 * Ends an exchange with a storage node that makes no progress. Only the time spent waiting for the
 * network counts: a slow source or a slow reader is never the node's fault.
 */
export class StallGuard {
  readonly #abort = new AbortController();
  readonly #stallMs: number;
  readonly #caller: AbortSignal | undefined;
  readonly #onCaller = () => this.#abort.abort(this.#caller?.reason);
  #timer: NodeJS.Timeout | undefined;

  constructor(stallMs: number, caller: AbortSignal | undefined) {
    this.#stallMs = stallMs;
    this.#caller = caller;
    if (caller?.aborted) this.#onCaller();
    else caller?.addEventListener('abort', this.#onCaller, { once: true });
  }

  /** Aborted when the node stalls, or when the caller aborts. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From here on the network is waited for. */
  arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#abort.abort(new Error(`no progress for ${this.#stallMs} ms`));
    }, this.#stallMs);
  }

  disarm(): void {
    clearTimeout(this.#timer);
  }

  /** Frees the timer and the listener; the signal stays as it is. */
  end(): void {
    this.disarm();
    this.#caller?.removeEventListener('abort', this.#onCaller);
  }
}
