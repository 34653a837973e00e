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

interface Waiting {
  use: Use;
  start: () => void;
}

export class DeviceSlots {
  readonly #topology: Topology;
  /** Weight of what is under way, by device. */
  readonly #busy = new Map<number, number>();
  /** When the bytes that each device was given are paid for, on the clock of `performance`. */
  readonly #paidUntilMs = new Map<number, number>();
  #waiting: Waiting[] = [];
  /** How many of those that wait need a device. */
  readonly #wanted = new Map<number, number>();
  /** How many wait under each signal. */
  readonly #watched = new Map<AbortSignal, number>();
  #isStarting = false;

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
  #enter(use: Use): Promise<void> | undefined {
    const isFirst = use.devids.every((devid) => !this.#wanted.has(devid));
    if ((isFirst && this.#fits(use)) || isStopped(use)) {
      this.#add(use, 1);
      return undefined;
    }
    return new Promise((resolve) => {
      const start = () => {
        this.#watch(use.signals, -1);
        count(this.#wanted, use.devids, -1);
        this.#add(use, 1);
        resolve();
      };
      count(this.#wanted, use.devids, 1);
      this.#waiting.push({ use, start });
      this.#watch(use.signals, 1);
    });
  }

  /** One listener a signal: of hundreds each takes long to find again. */
  #watch(signals: readonly AbortSignal[], by: 1 | -1): void {
    for (const signal of signals) {
      const isNew = !this.#watched.has(signal);
      count(this.#watched, [signal], by);
      if (isNew) signal.addEventListener('abort', this.#onAbort);
      else if (!this.#watched.has(signal)) signal.removeEventListener('abort', this.#onAbort);
    }
  }

  readonly #onAbort = (): void => {
    const stopped = this.#waiting.filter(({ use }) => isStopped(use));
    this.#waiting = this.#waiting.filter(({ use }) => !isStopped(use));
    for (const { start } of stopped) start();
  };

  /** In order for each device: what does not fit yet keeps its place before what came later. */
  #startWaiting(): void {
    if (this.#isStarting || this.#waiting.length === 0) return;
    this.#isStarting = true;
    // What ends together makes room together.
    queueMicrotask(() => {
      this.#isStarting = false;
      const passed = new Set<number>();
      const left: Waiting[] = [];
      for (const waiting of this.#waiting) {
        const { devids } = waiting.use;
        if (!devids.some((devid) => passed.has(devid)) && this.#fits(waiting.use)) {
          waiting.start();
          continue;
        }
        for (const devid of devids) passed.add(devid);
        left.push(waiting);
      }
      this.#waiting = left;
    });
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
    count(this.#busy, devids, sign * weightOf(bytes));
  }

  #copiesMax(): number {
    return Number(this.#topology.setting(copiesField)) || copiesDefault;
  }
}

function count<Key>(counts: Map<Key, number>, keys: readonly Key[], by: number): void {
  for (const key of keys) {
    const sum = (counts.get(key) ?? 0) + by;
    if (sum === 0) counts.delete(key);
    else counts.set(key, sum);
  }
}

function isStopped({ signals }: Use): boolean {
  return signals.some(({ aborted }) => aborted);
}

function weightOf(bytes: number): number {
  return bytes > smallBytesMax ? largeWeight : 1;
}
