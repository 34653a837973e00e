/** Bounds on how much runs at once. */

/** So many callers at a time; the others wait in the order they came. */
export class Slots {
  readonly #count: () => number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** `count` is asked each time, so that it can change. */
  constructor(count: () => number) {
    this.#count = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    while (this.#taken >= Math.max(1, this.#count())) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#taken += 1;
    try {
      return await work();
    } finally {
      this.#taken -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/** Does something with each item, a number of them at once. Rejects with the first failure. */
export async function forEachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
}
