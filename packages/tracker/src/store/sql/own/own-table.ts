/** Tables of ours, which MogileFS does not have: made when they are first written to. */
import type { Engine } from '../engine.ts';

export class OwnTable {
  readonly #engine: Engine;
  readonly #creation: string;
  #created = false;

  constructor(engine: Engine, creation: string) {
    this.#engine = engine;
    this.#creation = creation;
  }

  /** Runs a write with the table there. @throws FAILURE when it may not be made. */
  async write<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#created) await this.#engine.run(this.#creation);
    this.#created = true;
    try {
      return await work();
    } catch (error) {
      // It may have been dropped: the next write makes it anew.
      this.#created = false;
      throw error;
    }
  }

  /** Without the table there is nothing to read. */
  async read<T>(nothing: T, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (this.#engine.dialect.isMissingTable(error)) return nothing;
      throw error;
    }
  }
}
