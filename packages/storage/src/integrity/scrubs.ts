/** The scrubs of all devices of the node: one each, begun a while after the start. */
import type { ScrubOrder } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import type { Log } from '../log.ts';
import { Scrub } from './scrub.ts';
import type { ScrubReport } from './scrub-report.ts';

export interface ScrubsOptions {
  devices: Devices;
  /** Of each device; 0 turns scrubs off. */
  bytesPerSecond: number;
  log: Log;
}

/** A node that has just started has better things to do; also how soon a new device is noticed. */
const startMs = 60_000;

export class Scrubs {
  readonly #options: ScrubsOptions;
  readonly #scrubs = new Map<number, Scrub>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ScrubsOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.bytesPerSecond === 0) return;
    this.#timer = setInterval(() => this.#startAll(), startMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#scrubs.values()].map((scrub) => scrub.close()));
  }

  /** What the scrub of a device has found so far, also before the last restart. */
  async report(device: Device): Promise<ScrubReport> {
    const scrub = this.#scrubOf(device);
    await scrub.load();
    return scrub.report;
  }

  /** Does what trackers say about a device. */
  async obey(device: Device, order: ScrubOrder): Promise<Scrub> {
    const scrub = this.#scrubOf(device);
    await scrub.obey(order);
    return scrub;
  }

  #startAll(): void {
    for (const device of this.#options.devices.all()) this.#scrubOf(device).start();
  }

  #scrubOf(device: Device): Scrub {
    const { bytesPerSecond, log } = this.#options;
    const known = this.#scrubs.get(device.devid);
    if (known !== undefined) return known;
    const scrub = new Scrub(device, { bytesPerSecond, log });
    this.#scrubs.set(device.devid, scrub);
    return scrub;
  }
}
