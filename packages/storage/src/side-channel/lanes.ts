/** Work in lanes, for example one for each device: so many at a time in each, the rest in order. */
export class Lanes {
  readonly #atOnce: number;
  readonly #lanes = new Map<number, { running: number; waiting: (() => void)[] }>();

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  async run<T>(lane: number, work: () => Promise<T>): Promise<T> {
    const state = this.#lanes.get(lane) ?? { running: 0, waiting: [] };
    this.#lanes.set(lane, state);
    if (state.running >= this.#atOnce) {
      // Whoever ends hands its place over.
      await new Promise<void>((resolve) => state.waiting.push(resolve));
    } else {
      state.running += 1;
    }
    try {
      return await work();
    } finally {
      const next = state.waiting.shift();
      if (next !== undefined) next();
      else state.running -= 1;
      if (state.running === 0) this.#lanes.delete(lane);
    }
  }
}
