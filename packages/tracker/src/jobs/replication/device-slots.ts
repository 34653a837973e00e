/**
 * How much is copied from and to each device at once, and how fast, by all jobs of this tracker
 * together. The settings `omg_device_copies` and `omg_device_mib_per_second` are looked at for each
 * copy, so they can be changed while jobs run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Topology } from '../../topology/topology.ts';

export const copiesField = 'omg_device_copies';
export const rateField = 'omg_device_mib_per_second';

/** Enough for full batches of small files. */
const copiesDefault = 64;
/** A larger file keeps a disk busy by itself, so it counts for several. */
const smallBytesMax = 1024 * 1024;
const largeWeight = 16;
const bytesPerMib = 1024 * 1024;

interface Copy {
  source: number;
  target: number;
  bytes: number;
  signals: readonly AbortSignal[];
}

export class DeviceSlots {
  readonly #topology: Topology;
  /** Weight of the copies under way, by device. */
  readonly #busy = new Map<number, number>();
  /** When the copies that each device was given are paid for, on the clock of `performance`. */
  readonly #paidUntilMs = new Map<number, number>();
  #waiting: { copy: Copy; start: () => void }[] = [];

  constructor(topology: Topology) {
    this.#topology = topology;
  }

  /** Whether a copy from or to a device could begin now. */
  hasRoom(devid: number, bytes: number): boolean {
    const busy = this.#busy.get(devid) ?? 0;
    // One copy at least, however large.
    return busy === 0 || busy + weightOf(bytes) <= this.#copiesMax();
  }

  /** Runs `work` when both devices have room for it; at once when the copy is to be stopped. */
  async run<T>(copy: Copy, work: () => Promise<T>): Promise<T> {
    await this.#enter(copy);
    try {
      await this.#pay(copy);
      return await work();
    } finally {
      this.#add(copy, -1);
      this.#startWaiting();
    }
  }

  /** Resolves when the copy is counted as under way. */
  #enter(copy: Copy): Promise<void> {
    return new Promise((resolve) => {
      const start = () => {
        for (const signal of copy.signals) signal.removeEventListener('abort', start);
        this.#waiting = this.#waiting.filter((entry) => entry.start !== start);
        this.#add(copy, 1);
        resolve();
      };
      this.#waiting.push({ copy, start });
      for (const signal of copy.signals) signal.addEventListener('abort', start, { once: true });
      if (copy.signals.some(({ aborted }) => aborted)) start();
      else this.#startWaiting();
    });
  }

  /** In order for each device: what does not fit yet keeps its place before what came later. */
  #startWaiting(): void {
    const passed = new Set<number>();
    for (const { copy, start } of [...this.#waiting]) {
      const isNext = !passed.has(copy.source) && !passed.has(copy.target);
      if (isNext && this.#fits(copy)) start();
      else passed.add(copy.source).add(copy.target);
    }
  }

  /** Waits until what both devices were given before is paid for, and books this copy. */
  async #pay({ source, target, bytes, signals }: Copy): Promise<void> {
    const bytesPerSecond = Number(this.#topology.setting(rateField)) * bytesPerMib;
    if (!(bytesPerSecond > 0)) return;
    const nowMs = performance.now();
    let startMs = nowMs;
    for (const devid of [source, target]) {
      const paidMs = Math.max(nowMs, this.#paidUntilMs.get(devid) ?? 0);
      startMs = Math.max(startMs, paidMs);
      this.#paidUntilMs.set(devid, paidMs + (bytes / bytesPerSecond) * 1000);
    }
    if (startMs === nowMs) return;
    await delay(startMs - nowMs, undefined, { signal: AbortSignal.any([...signals]) }).catch(
      () => undefined,
    );
  }

  #fits({ source, target, bytes }: Copy): boolean {
    return this.hasRoom(source, bytes) && this.hasRoom(target, bytes);
  }

  #add({ source, target, bytes }: Copy, sign: 1 | -1): void {
    for (const devid of [source, target]) {
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
