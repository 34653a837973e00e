/**
 * An action that many ask for at once, run one at a time: each caller gets a run that *started*
 * after it asked. It is what makes one fsync of a directory serve every rename before it, and one
 * look at a disk every request that waits for it.
 */
export class SharedRun {
  readonly #action: () => Promise<void>;
  #current: Promise<void> | undefined;
  /** The run after the current one; it has not started while this is set. */
  #following: Promise<void> | undefined;

  constructor(action: () => Promise<void>) {
    this.#action = action;
  }

  get idle(): boolean {
    return this.#current === undefined;
  }

  /** Resolves or fails with a run of the action that began after this call. */
  run(): Promise<void> {
    if (this.#current === undefined) return this.#begin();
    this.#following ??= this.#current.then(this.#beginFollowing, this.#beginFollowing);
    return this.#following;
  }

  readonly #beginFollowing = (): Promise<void> => {
    this.#following = undefined;
    return this.#begin();
  };

  #begin(): Promise<void> {
    const run = this.#action().finally(() => {
      // While a follower waits the place stays taken, so that no second run starts beside it.
      if (this.#following === undefined) this.#current = undefined;
    });
    this.#current = run;
    return run;
  }
}
