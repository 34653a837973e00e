/**
 * Lets files go on together whose turn came one by one: what comes next costs hardly more for
 * sixteen than for one, because each thread is woken once for all of them. Nobody waits for a file
 * that is not at work itself.
 */
export class Gather {
  readonly #groupMax: number;
  #atWork = 0;
  #ready: (() => void)[] = [];

  /** @param groupMax who is done waits for no more others than make up a group. */
  constructor(groupMax: number) {
    this.#groupMax = groupMax;
  }

  /**
   * Does the work, then waits for those who are at theirs: until enough of them are done, or all.
   * @throws what the work throws, at once.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#atWork += 1;
    let together: Promise<void> | undefined;
    try {
      const result = await work();
      together = new Promise((resolve) => this.#ready.push(resolve));
      return result;
    } finally {
      this.#atWork -= 1;
      if (this.#atWork === 0 || this.#ready.length >= this.#groupMax) this.#goOn();
      await together;
    }
  }

  #goOn(): void {
    const ready = this.#ready;
    this.#ready = [];
    for (const resolve of ready) resolve();
  }
}
