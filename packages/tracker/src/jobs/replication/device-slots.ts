/**
 * How much is asked of each device at once, and how fast, by all jobs of this tracker together:
 * copies from and to it, and what fsck reads. The settings `omg_device_copies` and
 * `omg_device_mib_per_second` are looked at each time, so they can be changed while jobs run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { underAny } from '../../devices/any-signal.ts';
import type { Topology } from '../../topology/topology.ts';

export const copiesField = 'omg_device_copies';
export const rateField = 'omg_device_mib_per_second';

/** Enough for two full batches of small files. */
const copiesDefault = 128;
/** A larger file keeps a disk busy by itself, so it counts for several. */
const smallBytesMax = 1024 * 1024;
const largeWeight = 16;
const bytesPerMib = 1024 * 1024;

/** A copy, or a read. */
interface Use {
  /** The devices that take part. */
  devids: readonly number[];
  /** What each of them reads or writes; 0 for a question that it answers without reading. */
  bytes: number;
  signals: readonly AbortSignal[];
}

export class DeviceSlots {
  readonly #topology: Topology;
  /** Weight of what is under way, by device. */
  readonly #busy = new Map<number, number>();
  /** When the bytes that each device was given are paid for, on the clock of `performance`. */
  readonly #paidUntilMs = new Map<number, number>();
  #waiting: { use: Use; start: () => void }[] = [];

  constructor(topology: Topology) {
    this.#topology = topology;
  }

  /** Whether a copy from or to a device could begin now. */
  hasRoom(devid: number, bytes: number): boolean {
    const busy = this.#busy.get(devid) ?? 0;
    // One copy at least, however large.
    return busy === 0 || busy + weightOf(bytes) <= this.#copiesMax();
  }

  /** Runs `work` when all its devices have room for it; at once when it is to be stopped. */
  async run<T>(use: Use, work: () => Promise<T>): Promise<T> {
    await this.#enter(use);
    try {
      await this.#pay(use);
      return await work();
    } finally {
      this.#add(use, -1);
      this.#startWaiting();
    }
  }

  /** Resolves when it is counted as under way. */
  #enter(use: Use): Promise<void> {
    return new Promise((resolve) => {
      const start = () => {
        for (const signal of use.signals) signal.removeEventListener('abort', start);
        this.#waiting = this.#waiting.filter((entry) => entry.start !== start);
        this.#add(use, 1);
        resolve();
      };
      this.#waiting.push({ use, start });
      for (const signal of use.signals) signal.addEventListener('abort', start, { once: true });
      if (use.signals.some(({ aborted }) => aborted)) start();
      else this.#startWaiting();
    });
  }

  /** In order for each device: what does not fit yet keeps its place before what came later. */
  #startWaiting(): void {
    const passed = new Set<number>();
    for (const { use, start } of [...this.#waiting]) {
      const isNext = !use.devids.some((devid) => passed.has(devid));
      if (isNext && this.#fits(use)) start();
      else for (const devid of use.devids) passed.add(devid);
    }
  }

  /** Waits until what the devices were given before is paid for, and books this. */
  async #pay({ devids, bytes, signals }: Use): Promise<void> {
    const bytesPerSecond = Number(this.#topology.setting(rateField)) * bytesPerMib;
    if (!(bytesPerSecond > 0) || bytes === 0) return;
    const nowMs = performance.now();
    let startMs = nowMs;
    for (const devid of devids) {
      const paidMs = Math.max(nowMs, this.#paidUntilMs.get(devid) ?? 0);
      startMs = Math.max(startMs, paidMs);
      this.#paidUntilMs.set(devid, paidMs + (bytes / bytesPerSecond) * 1000);
    }
    if (startMs === nowMs) return;
    await underAny(signals, (signal) => delay(startMs - nowMs, undefined, { signal })).catch(
      () => undefined,
    );
  }

  #fits({ devids, bytes }: Use): boolean {
    return devids.every((devid) => this.hasRoom(devid, bytes));
  }

  #add({ devids, bytes }: Use, sign: 1 | -1): void {
    for (const devid of devids) {
      const busy = (this.#busy.get(devid) ?? 0) + sign * weightOf(bytes);
      if (busy === 0) this.#busy.delete(devid);
      else this.#busy.set(devid, busy);
    }
  }

  #copiesMax(): number {
    return Number(this.#topology.setting(copiesField)) || copiesDefault;
  }
}

function weightOf(bytes: number): number {
  return bytes > smallBytesMax ? largeWeight : 1;
}
