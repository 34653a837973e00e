/** Work may take longer than its claim lasts; nobody else is to begin it meanwhile. */

export interface RenewingOptions<Unit> {
  /** Less than half of what a claim lasts: the second round after its begin renews a unit. */
  everyMs: number;
  /** Begins the claims of all these units anew. */
  renew: (units: Unit[]) => Promise<void>;
  onError: (error: unknown) => void;
}

/**
 * Renews the claims of all units in work together. What ends within a round or two is never
 * renewed, so a job that gets through short units pays nothing.
 */
export class Renewing<Unit> {
  readonly #options: RenewingOptions<Unit>;
  /** Begun since the last round. */
  readonly #fresh = new Set<Unit>();
  readonly #lasting = new Set<Unit>();
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: RenewingOptions<Unit>) {
    this.#options = options;
  }

  begin(unit: Unit): void {
    this.#fresh.add(unit);
    this.#timer ??= setInterval(() => this.#round(), this.#options.everyMs).unref();
  }

  end(unit: Unit): void {
    this.#fresh.delete(unit);
    this.#lasting.delete(unit);
  }

  /** Once all units have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewal;
  }

  #round(): void {
    if (this.#renewal !== undefined) return;
    const units = [...this.#lasting];
    for (const unit of this.#fresh) this.#lasting.add(unit);
    this.#fresh.clear();
    if (this.#lasting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    if (units.length === 0) return;
    const { renew, onError } = this.#options;
    this.#renewal = renew(units)
      .catch(onError)
      .finally(() => {
        this.#renewal = undefined;
      });
  }
}
