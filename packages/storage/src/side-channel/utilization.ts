/**
 * How busy the disk of each device is, in percent of the time, measured once a second while
 * somebody wants to know (spec §8.3 `watch`).
 */
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { inTime } from '../device/io/in-time.ts';
import { blockDevicesOf, type KernelFiles, readBusyTimes } from './block-devices.ts';

/** Devices come and go, and disks are mounted: what lies where is looked up again after so long. */
const mappingMsMax = 10_000;
const answerMsMax = 500;

interface Sample {
  atMs: number;
  busy: ReadonlyMap<string, number>;
}

/** Calls back with a block of `<devid>\t<percent>` lines, closed by a line with a full stop. */
export class Utilization {
  readonly #devices: Devices;
  readonly #kernel: KernelFiles | undefined;
  readonly #everyMs: number;
  readonly #listeners = new Set<(block: string) => void>();
  readonly #mapping = new Map<number, { atMs: number; disks: readonly string[] }>();
  #before: Sample | undefined;
  #timer: NodeJS.Timeout | undefined;
  #measuring = false;

  /** Without `kernel` nothing is measured, and every device is shown as unknown. */
  constructor(devices: Devices, kernel: KernelFiles | undefined, everyMs = 1000) {
    this.#devices = devices;
    this.#kernel = kernel;
    this.#everyMs = everyMs;
  }

  /** @returns a function that ends the watch. */
  watch(listener: (block: string) => void): () => void {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => void this.#measure(), this.#everyMs);
    if (this.#before === undefined) void this.#measure();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#before = undefined;
    };
  }

  /** Seconds that each device was busy since boot; without those of which nobody knows. */
  async busySeconds(): Promise<Map<number, number>> {
    const busy = await this.#busyTimes();
    const seconds = new Map<number, number>();
    const look = async ({ devid, root }: Device) => {
      const times = (await this.#disksOf(devid, root)).flatMap((disk) => busy.get(disk) ?? []);
      if (times.length > 0) seconds.set(devid, Math.max(...times) / 1000);
    };
    // A disk that hangs says nothing now.
    const looks = Promise.all(this.#devices.all().map(look));
    await inTime(looks, answerMsMax);
    return seconds;
  }

  async #measure(): Promise<void> {
    // A disk that hangs makes a look at it slow; the others are shown again when it is through.
    if (this.#measuring) return;
    this.#measuring = true;
    try {
      const busy = await this.#busyTimes();
      const now = { atMs: performance.now(), busy };
      const before = this.#before;
      this.#before = now;
      const lines = [];
      for (const { devid, root } of this.#devices.all()) {
        const disks = await this.#disksOf(devid, root);
        lines.push(`${devid}\t${before === undefined ? '-' : percent(disks, before, now)}\n`);
      }
      const block = `${lines.join('')}.\n`;
      for (const listener of this.#listeners) listener(block);
    } finally {
      this.#measuring = false;
    }
  }

  async #busyTimes(): Promise<ReadonlyMap<string, number>> {
    if (this.#kernel === undefined) return new Map();
    return readBusyTimes(this.#kernel).catch(() => new Map());
  }

  async #disksOf(devid: number, root: string): Promise<readonly string[]> {
    const known = this.#mapping.get(devid);
    if (known !== undefined && performance.now() - known.atMs < mappingMsMax) return known.disks;
    if (this.#kernel === undefined) return [];
    const disks = await blockDevicesOf(root, this.#kernel).catch(() => []);
    this.#mapping.set(devid, { atMs: performance.now(), disks });
    return disks;
  }
}

/** Of the busiest of the disks; `-` when none is counted. */
function percent(disks: readonly string[], before: Sample, now: Sample): string {
  const elapsedMs = now.atMs - before.atMs;
  const shares = disks.flatMap((disk) => {
    const [from, to] = [before.busy.get(disk), now.busy.get(disk)];
    // The kernel counts in 32 bits on some machines.
    return from === undefined || to === undefined || to < from ? [] : (to - from) / elapsedMs;
  });
  if (shares.length === 0 || elapsedMs <= 0) return '-';
  return Math.min(100, 100 * Math.max(...shares)).toFixed(2);
}
