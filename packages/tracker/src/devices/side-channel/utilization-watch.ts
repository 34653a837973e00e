/**
 * Keeps a `watch` open to the side channel of every host and passes on how busy each device is
 * (spec §8.3). A node without a side channel is tried again now and then.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LineSocket } from './line-socket.ts';

export interface UtilizationWatchOptions {
  port: number;
  connTimeoutMs: number;
  /** Percent as the node wrote it, for example `12.50`; undefined when it is not known any more. */
  onUtilization: (devid: number, percent: string | undefined) => void;
}

/** Blocks come about once a second; a node that is silent for so long is given up. */
const silentMsMax = 60_000;
const retryMs = 15_000;

export class UtilizationWatch {
  readonly #options: UtilizationWatchOptions;
  readonly #watched = new Map<string, AbortController>();

  constructor(options: UtilizationWatchOptions) {
    this.#options = options;
  }

  /** Watches exactly these addresses from now on. */
  follow(addresses: ReadonlySet<string>): void {
    for (const [address, controller] of this.#watched) {
      if (addresses.has(address)) continue;
      controller.abort();
      this.#watched.delete(address);
    }
    for (const address of addresses) {
      if (this.#watched.has(address)) continue;
      const controller = new AbortController();
      this.#watched.set(address, controller);
      void this.#watch(address, controller.signal);
    }
  }

  close(): void {
    this.follow(new Set());
  }

  async #watch(host: string, signal: AbortSignal): Promise<void> {
    const { port, connTimeoutMs: timeoutMs } = this.#options;
    while (!signal.aborted) {
      try {
        const socket = await LineSocket.open({ host, port, timeoutMs });
        signal.addEventListener('abort', () => socket.close(), { once: true });
        if (signal.aborted) socket.close();
        await this.#read(socket);
      } catch {
        // Optional by the protocol: a host without a side channel is an ordinary one.
      }
      await delay(retryMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** @throws when the connection ends. */
  async #read(socket: LineSocket): Promise<never> {
    const seen = new Set<number>();
    socket.send('watch\r\n');
    try {
      for (;;) {
        const line = await socket.next(silentMsMax);
        const match = /^(\d{1,9})\t(\S+)$/.exec(line);
        if (match === null) continue;
        const devid = Number(match[1]);
        seen.add(devid);
        this.#options.onUtilization(devid, match[2] === '-' ? undefined : match[2]);
      }
    } finally {
      for (const devid of seen) this.#options.onUtilization(devid, undefined);
    }
  }
}
