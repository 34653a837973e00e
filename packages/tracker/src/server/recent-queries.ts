/** The last finished requests for `!recent` (spec §1.6), in bounded memory. */

interface FinishedQuery {
  address: string;
  line: string;
  ms: number;
}

const entriesMax = 50;
const lineCharsMax = 1000;

export class RecentQueries {
  readonly #ring: FinishedQuery[] = [];
  #next = 0;

  add(query: FinishedQuery): void {
    const { line } = query;
    this.#ring[this.#next] =
      line.length <= lineCharsMax ? query : { ...query, line: line.slice(0, lineCharsMax) };
    this.#next = (this.#next + 1) % entriesMax;
  }

  /** `<ip> <line> <total seconds> <seconds of work>`, oldest first. */
  lines(): string[] {
    const ordered = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    return ordered.map(({ address, line, ms }) => {
      const seconds = (ms / 1000).toFixed(4);
      return `${address} ${line} ${seconds} ${seconds}`;
    });
  }
}
