/**
 * Lets files go on together whose turn came one by one. What follows the sync of a file, a rename
 * and the sync of its directory, costs hardly more for sixteen than for one: each thread is woken
 * once for all of them. Nobody waits for a file that is not at work itself.
 */

/** As many as are synced side by side. */
const groupMax = 16;

export class Gather {
  #atWork = 0;
  #ready: (() => void)[] = [];

  /**
   * Does the work, then waits for those who are at theirs: until enough of them are done, or all.
   * @throws what the work throws, at once.
   */
  async run(work: () => Promise<void>): Promise<void> {
    this.#atWork += 1;
    let together: Promise<void> | undefined;
    try {
      await work();
      together = new Promise((resolve) => this.#ready.push(resolve));
    } finally {
      this.#atWork -= 1;
      if (this.#atWork === 0 || this.#ready.length >= groupMax) this.#goOn();
    }
    return together;
  }

  #goOn(): void {
    const ready = this.#ready;
    this.#ready = [];
    for (const resolve of ready) resolve();
  }
}
