/** How many requests were answered, by method and status, and how many connections refused. */
export class RequestCounts {
  readonly #byMethod = new Map<string, Map<number | undefined, number>>();
  /** Connections that were one too many. */
  dropped = 0;

  /** Counts a request that is over; without a status it was cut before its answer. */
  add(method: string, status: number | undefined): void {
    let byStatus = this.#byMethod.get(method);
    if (byStatus === undefined) {
      byStatus = new Map();
      this.#byMethod.set(method, byStatus);
    }
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
  }

  /** Everything that was counted; node:http lets only known methods through. */
  *all(): Generator<{ method: string; status: number | undefined; count: number }> {
    for (const [method, byStatus] of this.#byMethod) {
      for (const [status, count] of byStatus) yield { method, status, count };
    }
  }
}
