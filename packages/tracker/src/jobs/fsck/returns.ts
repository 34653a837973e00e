/**
 * Lets checks go on that wait for a device as soon as it may be expected to answer again, instead
 * of sitting out their time (I5).
 */
import { FaultLog } from '../fault-log.ts';
import { Repeater } from '../repeater.ts';
import type { JobServices } from '../services.ts';
import type { Reach } from './reach.ts';

export class Returns {
  readonly #services: JobServices;
  readonly #reach: Reach;
  readonly #onReturn: () => void;
  readonly #repeater: Repeater;
  /** Devices that could be judged when last looked. */
  #judgeable = new Set<number>();

  constructor(
    parts: { services: JobServices; reach: Reach },
    options: { everyMs: number; onReturn: () => void },
  ) {
    this.#services = parts.services;
    this.#reach = parts.reach;
    this.#onReturn = options.onReturn;
    const faults = new FaultLog(parts.services.log, 'fsck');
    this.#repeater = new Repeater({
      everyMs: options.everyMs,
      onError: (error) => faults.failed(error),
      run: async () => {
        await this.#look();
        faults.wentWell();
      },
    });
  }

  start(): void {
    this.#repeater.start();
  }

  stop(): Promise<void> {
    return this.#repeater.stop();
  }

  async #look(): Promise<void> {
    const { topology, store, log } = this.#services;
    const now = new Set<number>();
    for (const { devid } of topology.devices()) if (this.#reach.isJudgeable(devid)) now.add(devid);
    const isNew = (devid: number): boolean => {
      return !this.#judgeable.has(devid) || this.#reach.isDoubted(devid);
    };
    if ([...now].some(isNew)) {
      const awaited = await store.fsck.awaitedDevices();
      const back = awaited.filter((devid) => isNew(devid) && this.#reach.isJudgeable(devid));
      if (back.length > 0) {
        log.info({ devids: back }, 'fsck.hastened');
        await store.fsck.hasten(back);
        this.#onReturn();
      }
    }
    // Only now: what failed on the way is to be done again.
    this.#judgeable = now;
  }
}
