/** The jobs, for a process that executes commands and reaches them by way of the front. */
import type { Channel } from './channel.ts';
import type { Background } from './core.ts';

export class RemoteJobs implements Background {
  readonly #channel: () => Channel;
  readonly #toWake = new Set<string>();

  constructor(channel: () => Channel) {
    this.#channel = channel;
  }

  async refresh(): Promise<void> {
    await this.#channel().call('refresh', undefined);
  }

  async reload(): Promise<void> {
    await this.#channel().call('reload', undefined);
  }

  async nextSweep(): Promise<void> {
    await this.#channel().call('nextSweep', undefined);
  }

  /** Many closes in one turn are one message. */
  wake(job: string): void {
    if (this.#toWake.size === 0) {
      setImmediate(() => {
        for (const name of this.#toWake) this.#channel().tell('wake', name);
        this.#toWake.clear();
      });
    }
    this.#toWake.add(job);
  }
}
