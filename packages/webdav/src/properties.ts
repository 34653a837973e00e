/** Dead properties, in memory, bounded in count and size. */
import { DavError } from './errors.ts';
import { isWithin } from './path.ts';

/** XML of each property by `{namespace}name`. */
export type PropertySet = ReadonlyMap<string, string>;

export class Properties {
  readonly #sets = new Map<string, PropertySet>();
  readonly #charactersMax: number;
  #characters = 0;

  constructor({ charactersMax }: { charactersMax: number }) {
    this.#charactersMax = charactersMax;
  }

  get(path: string): PropertySet {
    return this.#sets.get(path) ?? new Map();
  }

  /** Replaces all properties of a path. @throws DavError 507 when memory for them is used up. */
  set(path: string, properties: PropertySet): void {
    const more = weigh(path, properties) - weigh(path, this.#sets.get(path));
    if (more > 0 && this.#characters + more > this.#charactersMax) {
      throw new DavError(507, 'There is no room for more properties.');
    }
    this.#characters += more;
    if (properties.size === 0) this.#sets.delete(path);
    else this.#sets.set(path, properties);
  }

  /** Forgets the properties of a path and what is below it. */
  drop(path: string): void {
    for (const key of [...this.#sets.keys()]) if (isWithin(key, path)) this.set(key, new Map());
  }

  /** What a copied tree takes along. @throws DavError 507. */
  copy(from: string, to: string): void {
    for (const [key, properties] of [...this.#sets]) {
      if (isWithin(key, from)) this.set(to + key.slice(from.length), properties);
    }
  }

  move(from: string, to: string): void {
    this.drop(to);
    for (const [key, properties] of [...this.#sets]) {
      if (!isWithin(key, from)) continue;
      this.set(key, new Map());
      this.set(to + key.slice(from.length), properties);
    }
  }
}

/** Characters with a share for what a Map costs. */
function weigh(path: string, properties: PropertySet | undefined): number {
  if (properties === undefined || properties.size === 0) return 0;
  let characters = path.length + 200;
  for (const [key, value] of properties) characters += key.length + value.length + 100;
  return characters;
}
