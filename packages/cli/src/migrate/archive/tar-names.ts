/** Names of keys in an archive, of which no two may be a file and a directory for the same path. */
import { hashedName, plainName } from './manifest.ts';

export class TarNames {
  /** Keys that those to come may lie below, as `a` and `a/b`; each begins with the one before. */
  readonly #above: string[] = [];

  /** To be asked for all keys in byte order. */
  nameOf(key: string): string {
    // Behind all that begin with `<key>/` comes `<key>0`.
    while (this.#above.length > 0 && key >= `${this.#above.at(-1)}0`) this.#above.pop();
    const below = this.#above.some((above) => key.startsWith(`${above}/`));
    this.#above.push(key);
    return (below ? undefined : plainName(key)) ?? hashedName(key);
  }
}
