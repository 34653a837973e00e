/**
 * Tables of ours, which MogileFS does not have: made when they are first written to, and brought up
 * to date when they are first used, if an earlier version made them otherwise.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Engine } from '../engine.ts';

/** What a table had that an earlier version made. */
export interface EarlierTable {
  /** A SELECT that fails where the table is as it should be. */
  probe: string;
  /** Each does no harm when others do the same at the same time, or did a part of it. */
  steps: readonly string[];
}

export class OwnTable {
  readonly #engine: Engine;
  readonly #creation: string;
  #earlier: EarlierTable | undefined;
  #created = false;

  constructor(engine: Engine, creation: string, earlier?: EarlierTable) {
    this.#engine = engine;
    this.#creation = creation;
    this.#earlier = earlier;
  }

  /** Runs a write with the table there. @throws FAILURE when it may not be made. */
  async write<T>(work: () => Promise<T>): Promise<T> {
    await this.#bringUp();
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
    await this.#bringUp();
    try {
      return await read();
    } catch (error) {
      if (this.#engine.dialect.isMissingTable(error)) return nothing;
      throw error;
    }
  }

  async #bringUp(): Promise<void> {
    if (this.#earlier === undefined) return;
    const { probe, steps } = this.#earlier;
    const isEarlier = await this.#engine.rows(probe).then(() => true, ifFailed);
    for (const step of isEarlier ? steps : []) await this.#engine.run(step).catch(ifFailed);
    this.#earlier = undefined;
  }
}

/** The statement does not apply here; what ails the database is thrown. */
function ifFailed(error: unknown): false {
  if (error instanceof OmgfsError && error.code === 'FAILURE') return false;
  throw error;
}
