/** URLs of replicas for a short time, bounded; changes through the same client are seen at once. */
import { RecentMap } from '@omgfs/protocol';

export interface PathCacheOptions {
  /** Keys remembered at most, those looked up last: half of it for certain; with 0 none. */
  entries: number;
  /** How long a change through another client may go unseen; default 5 s. */
  ttlMs?: number;
}

interface Entry {
  paths: readonly string[];
  /** How many were asked for. */
  count: number;
  until: number;
}

export class PathCache {
  readonly #options: Required<PathCacheOptions>;
  readonly #entries: RecentMap<string, Entry>;
  #changes = 0;

  constructor(options: PathCacheOptions) {
    this.#options = { ttlMs: 5_000, ...options };
    this.#entries = new RecentMap(options.entries);
  }

  /** At most `count` paths of a key, where they are known. */
  get(key: string, count: number): string[] | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.count < count) return undefined;
    return entry.until > performance.now() ? entry.paths.slice(0, count) : undefined;
  }

  /** Asks for at most `count` paths of a key, and remembers them. */
  async find(key: string, count: number, ask: () => Promise<string[]>): Promise<string[]> {
    const before = this.#changes;
    const paths = await ask();
    // An answer from before a change must not outlive it, and a file may get its replicas soon.
    if (before !== this.#changes || paths.length === 0) return paths;
    const until = performance.now() + this.#options.ttlMs;
    this.#entries.set(key, { paths: [...paths], count, until });
    return paths;
  }

  forget(key: string): void {
    this.#changes += 1;
    this.#entries.delete(key);
  }
}
