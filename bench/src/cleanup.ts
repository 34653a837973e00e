/** What a run has to undo, last made first undone, however it ends. */

export class Cleanup {
  readonly #steps: (() => Promise<void>)[] = [];
  #building: Promise<unknown> = Promise.resolve();
  #running: Promise<void> | undefined;

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Lets `run` wait until what is being made is made, and can be undone. */
  building<T>(work: Promise<T>): Promise<T> {
    this.#building = work.catch(() => {});
    return work;
  }

  /** Undoes everything when the process is told to end, then calls `exit`. */
  onSignals(exit: (code: number) => void): void {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        const end = () => exit(130);
        this.run().then(end, end);
      });
    }
  }

  /** Runs every step once, also after one failed. @throws the first failure. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    await this.#building;
    const failures = [];
    for (const step of this.#steps.reverse()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
