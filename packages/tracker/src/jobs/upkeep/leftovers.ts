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
  #afterUpload = '';

  constructor(store: Store) {
    this.#store = store;
  }

  async step(): Promise<void> {
    const { descriptions, uploads } = this.#store;
    const limit = rowsPerStep;
    this.#after = (await descriptions.prune({ after: this.#after, limit })) ?? 0;
    this.#afterUpload = (await uploads.expire({ after: this.#afterUpload, limit })) ?? '';
  }
}
