/** A bounded number of places with a fair queue: who has waited longest comes next. */
export class Slots {
  #free: number;
  readonly #waiting = new Set<{ enter: () => void; refuse: (reason: unknown) => void }>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes a place if one is free. */
  takeNow(): boolean {
    if (this.#free <= 0) return false;
    this.#free -= 1;
    return true;
  }

  /** Takes a place, waiting for one until the signal aborts. @throws the signal's reason. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.takeNow()) return;
    await new Promise<void>((enter, refuse) => {
      const place = {
        enter: () => {
          signal.removeEventListener('abort', leave);
          enter();
        },
        refuse: (reason: unknown) => {
          this.#waiting.delete(place);
          signal.removeEventListener('abort', leave);
          refuse(reason);
        },
      };
      const leave = () => place.refuse(signal.reason);
      signal.addEventListener('abort', leave);
      this.#waiting.add(place);
    });
  }

  /** Hands the place to the next in the queue. */
  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next.enter();
  }

  /** Sends away everybody who waits. */
  refuseAll(reason: unknown): void {
    for (const place of [...this.#waiting]) place.refuse(reason);
  }
}
