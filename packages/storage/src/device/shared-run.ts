/**
 * An action that many ask for at once, run one at a time: each caller gets a run that *started*
 * after it asked. It is what makes one fsync of a directory serve every rename before it, and one
 * look at a disk every request that waits for it. A run starts when the code that asks for it has
 * come to its end, so that those whose turn comes together share one.
 */
export class SharedRun {
  readonly #action: () => Promise<void>;
  #current: Promise<void> | undefined;
  /** The run after the current one, if there is one; it has not started while this is set. */
  #following: Promise<void> | undefined;

  constructor(action: () => Promise<void>) {
    this.#action = action;
  }

  get idle(): boolean {
    return this.#current === undefined && this.#following === undefined;
  }

  /** Resolves or fails with a run of the action that began after this call. */
  run(): Promise<void> {
    const before = this.#current ?? Promise.resolve();
    this.#following ??= before.then(this.#begin, this.#begin);
    return this.#following;
  }

  readonly #begin = (): Promise<void> => {
    this.#following = undefined;
    const run = this.#action().finally(() => {
      // While a follower waits the place stays taken, so that no second run starts beside it.
      if (this.#following === undefined) this.#current = undefined;
    });
    this.#current = run;
    return run;
  };
}
