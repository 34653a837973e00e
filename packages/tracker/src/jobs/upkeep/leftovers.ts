/**
 * Drops what our own tables keep of fids that are gone: Perl trackers delete files without knowing
 * of these tables, and uploads that were given up leave rows too. Goes round and round, a few rows
 * each time; two trackers that do so at once only do it twice.
 */
import type { Store } from '../../store/store.ts';

const rowsPerStep = 500;

export class Leftovers {
  readonly #store: Store;
  #after = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  async step(): Promise<void> {
    await this.#store.uploads.expire(rowsPerStep);
    const request = { after: this.#after, limit: rowsPerStep };
    this.#after = (await this.#store.descriptions.prune(request)) ?? 0;
  }
}
