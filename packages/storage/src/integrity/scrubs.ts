/** The scrubs of all devices of the node: one each, begun a while after the start. */
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import type { Log } from '../log.ts';
import { Scrub } from './scrub.ts';
import { ScrubReport } from './scrub-report.ts';

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
    return this.#scrubs.get(device.devid)?.report ?? (await ScrubReport.load(device.root));
  }

  #startAll(): void {
    const { devices, bytesPerSecond, log } = this.#options;
    for (const device of devices.all()) {
      if (this.#scrubs.has(device.devid)) continue;
      const scrub = new Scrub(device, { bytesPerSecond, log });
      this.#scrubs.set(device.devid, scrub);
      scrub.start();
    }
  }
}
