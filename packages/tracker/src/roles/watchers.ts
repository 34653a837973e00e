/** The connections of a process that follow the log (`!watch`, spec §1.6). */
import type { Connection } from '../server/connection.ts';
import { watchText } from './watch-text.ts';

export class Watchers {
  readonly #connections = new Set<Connection>();
  readonly #onChange: (any: boolean) => void;

  /** `onChange` is told whether anybody watches, when that changes. */
  constructor(onChange: (any: boolean) => void = () => {}) {
    this.#onChange = onChange;
  }

  /** @returns whether the connection watches now. */
  toggle(connection: Connection): boolean {
    if (this.remove(connection)) return false;
    this.#connections.add(connection);
    if (this.#connections.size === 1) this.#onChange(true);
    return true;
  }

  /** @returns whether the connection watched. */
  remove(connection: Connection): boolean {
    const watched = this.#connections.delete(connection);
    if (watched && this.#connections.size === 0) this.#onChange(false);
    return watched;
  }

  has(connection: Connection): boolean {
    return this.#connections.has(connection);
  }

  /** Shows a line of the log to all. */
  show(json: string): void {
    if (this.#connections.size === 0) return;
    const line = `:: ${watchText(json)}\r\n`;
    for (const connection of this.#connections) connection.push(line);
  }
}
