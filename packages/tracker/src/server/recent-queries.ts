/** The last finished requests for `!recent` (spec §1.6), in bounded memory. */

interface FinishedQuery {
  address: string;
  line: string;
  ms: number;
  endedAtMs: number;
}

const entriesMax = 50;
/** Longer lines are shown cut. */
export const shownCharsMax = 1000;

export class RecentQueries {
  readonly #ring: FinishedQuery[] = [];
  #next = 0;

  add(address: string, line: string, ms: number): void {
    this.#ring[this.#next] = {
      address,
      // A part of a longer string would keep all of it.
      line: line.length <= shownCharsMax ? line : cut(line),
      ms,
      endedAtMs: performance.timeOrigin + performance.now(),
    };
    this.#next = (this.#next + 1) % entriesMax;
  }

  /** `<ip> <line> <total seconds> <seconds of work>`, oldest first. */
  entries(): { text: string; endedAtMs: number }[] {
    const ordered = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    return ordered.map(({ address, line, ms, endedAtMs }) => {
      const seconds = (ms / 1000).toFixed(4);
      return { text: `${address} ${line} ${seconds} ${seconds}`, endedAtMs };
    });
  }
}

/** The beginning of a line as a string of its own. */
export function cut(line: string): string {
  return Buffer.from(line.slice(0, shownCharsMax), 'latin1').toString('latin1');
}
