/**
 * Locks, in memory, bounded in number and time. They are advice between clients that edit, so a
 * restart that forgets them costs a client a 412 and no data.
 */
import { randomUUID } from 'node:crypto';
import { DavError } from './errors.ts';
import { isWithin } from './path.ts';

export interface Lock {
  token: string;
  root: string;
  deep: boolean;
  exclusive: boolean;
  /** The owner element as XML; empty without. */
  owner: string;
  seconds: number;
  expiresMs: number;
}

export const lockSecondsMax = 3600;
const ownerCharactersMax = 4096;

export class Locks {
  readonly #locks = new Map<string, Lock>();
  readonly #countMax: number;

  constructor({ countMax }: { countMax: number }) {
    this.#countMax = countMax;
  }

  /** The locks that hold for a path. */
  covering(path: string): Lock[] {
    return this.#live().filter(
      (lock) => lock.root === path || (lock.deep && isWithin(path, lock.root)),
    );
  }

  /** The locks on what is below a path. */
  below(path: string): Lock[] {
    return this.#live().filter((lock) => lock.root !== path && isWithin(lock.root, path));
  }

  /** @throws DavError 423 on a conflict, 507 when there are too many. */
  add(wanted: Omit<Lock, 'token' | 'expiresMs'>): Lock {
    const others = [...this.covering(wanted.root), ...(wanted.deep ? this.below(wanted.root) : [])];
    if (others.some((other) => wanted.exclusive || other.exclusive)) {
      throw new DavError(423, 'Another lock is in the way.', 'no-conflicting-lock');
    }
    if (this.#locks.size >= this.#countMax) throw new DavError(507, 'There are too many locks.');
    if (wanted.owner.length > ownerCharactersMax) throw new DavError(400, 'The owner is too long.');
    const token = `urn:uuid:${randomUUID()}`;
    const lock = { ...wanted, token, expiresMs: deadline(wanted.seconds) };
    this.#locks.set(token, lock);
    return lock;
  }

  refresh(lock: Lock, seconds: number): void {
    lock.seconds = seconds;
    lock.expiresMs = deadline(seconds);
  }

  remove(token: string): void {
    this.#locks.delete(token);
  }

  /** Forgets the locks on a path and below, because what they locked is gone. */
  drop(path: string): void {
    for (const lock of this.#live()) if (isWithin(lock.root, path)) this.remove(lock.token);
  }

  #live(): Lock[] {
    const now = performance.now();
    for (const lock of this.#locks.values()) if (lock.expiresMs < now) this.remove(lock.token);
    return [...this.#locks.values()];
  }
}

function deadline(seconds: number): number {
  return performance.now() + seconds * 1000;
}
