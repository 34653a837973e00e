/** A pid file: written when the daemon is up, removed when it ends, not taken from a living one. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

export class Pidfile {
  readonly #path: string;
  #written = false;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Writes the number of this process. A file that a dead process left behind is replaced.
   * @throws Error when another daemon of the same kind runs, or when it cannot be written.
   */
  write(): void {
    const other = this.#runningPid();
    if (other !== undefined) {
      throw new Error(`process ${other} of ${this.#path} is running; stop it first`);
    }
    writeFileSync(this.#path, `${process.pid}\n`);
    this.#written = true;
  }

  /** Removes the file, unless it has become that of another process. */
  remove(): void {
    if (this.#written && this.#readPid() === process.pid) rmSync(this.#path, { force: true });
  }

  #readPid(): number | undefined {
    try {
      const pid = Number(readFileSync(this.#path, 'utf8').trim());
      return Number.isInteger(pid) && pid > 1 ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  /** The process of the file, if it runs the same program as this one. */
  #runningPid(): number | undefined {
    const pid = this.#readPid();
    if (pid === undefined || pid === process.pid) return undefined;
    const program = (of: number | 'self') => {
      return readFileSync(`/proc/${of}/cmdline`, 'utf8').split('\0')[1];
    };
    try {
      // A number is given again: another program may have it by now.
      return program(pid) === program('self') ? pid : undefined;
    } catch {
      return undefined;
    }
  }
}
