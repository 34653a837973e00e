/**
 * Runs something again and again, never twice at once, with a wait in between that `wake` ends. An
 * error never ends it: it is reported, and the wait grows up to a bound while errors last.
 */
export interface RepeaterOptions {
  /** The wait after a run, in milliseconds. */
  everyMs: number;
  run: () => Promise<void>;
  onError: (error: unknown) => void;
}

const errorDelayMsMin = 100;
const errorDelayMsMax = 5_000;

export class Repeater {
  readonly #options: RepeaterOptions;
  #loop: Promise<void> = Promise.resolve();
  #stopped = false;
  #woken = false;
  #endWait: () => void = () => {};

  constructor(options: RepeaterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#repeat();
  }

  /** Ends the wait; called during a run, there is another run right after it. */
  wake(): void {
    this.#woken = true;
    this.#endWait();
  }

  /** Resolves when the run in progress is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#endWait();
    await this.#loop;
  }

  async #repeat(): Promise<void> {
    let errors = 0;
    while (!this.#stopped) {
      this.#woken = false;
      try {
        await this.#options.run();
        errors = 0;
        if (!this.#woken) await this.#wait(this.#options.everyMs);
      } catch (error) {
        this.#options.onError(error);
        // Not ended by `wake`: what fails should not be hurried.
        this.#woken = false;
        await this.#waitUnhurried(Math.min(errorDelayMsMax, errorDelayMsMin * 2 ** errors));
        errors += 1;
      }
    }
  }

  async #waitUnhurried(delayMs: number): Promise<void> {
    const deadline = performance.now() + delayMs;
    for (
      let leftMs = delayMs;
      leftMs > 0 && !this.#stopped;
      leftMs = deadline - performance.now()
    ) {
      await this.#wait(leftMs);
    }
  }

  #wait(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
