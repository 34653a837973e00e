/**
 * The devices of this node: found below the docroot, looked at regularly, adopted on first sight.
 * A device that was there once and is not now stays known, so that its files are never called
 * missing.
 */
import { randomBytes } from 'node:crypto';
import { OmgfsError } from '@omgfs/protocol';
import { devidOf, noDevice } from '../http/path.ts';
import type { Log } from '../log.ts';
import { Device, type DeviceContext } from './device.ts';
import { errnoOf, readdir, realpath, stat } from './files.ts';
import type { SyncMode } from './io/file-sync.ts';
import { keptFilesMax } from './io/kept-files.ts';
import { threadsMax } from './io/small-files.ts';
import { NodeMemory } from './node-memory.ts';
import { readMounts } from './usage.ts';

/** More calls at once do not make a disk faster. */
const laneWidthMax = 16;
/** Where there are too few threads for all devices, work goes on without keeping them apart. */
const laneWidthMin = 2;
/** For what belongs to no device. */
const sharedThreads = 4;

export interface DevicesOptions {
  docroot: string;
  sync: SyncMode;
  /** Threads of this process for system calls, which the devices share. */
  threads: number;
  /** Bytes of each device that uploads leave free. */
  reserveBytes: number;
  /** Devids whose present disk is accepted whatever was there before. */
  adopt: readonly number[];
  log: Log;
}

export class Devices {
  readonly #context: DeviceContext;
  readonly #devices = new Map<number, Device>();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #closed = false;

  private constructor(context: DeviceContext) {
    this.#context = context;
  }

  /**
   * Finds and looks at the devices.
   * @throws FAILURE when the docroot is no directory; NO_DEVICE when one to adopt is not there.
   */
  static async open(options: DevicesOptions): Promise<Devices> {
    const { sync, reserveBytes, log } = options;
    const docroot = await realDirectory(options.docroot);
    const memory = await NodeMemory.load(docroot);
    // Other than any of before, so that leftovers of a dead process are told from our own.
    const tempPrefix = `${randomBytes(6).toString('hex')}-`;
    const present = (await readdir(docroot)).flatMap((name) => devidOf(name) ?? []);
    const devids = new Set([...present, ...memory.devids]);
    const laneWidth = laneWidthOf({ threads: options.threads, devices: devids.size });
    const fileThreads = { free: threadsMax };
    const keptFiles = { free: keptFilesMax };
    const rest = { sync, laneWidth, fileThreads, keptFiles, reserveBytes, tempPrefix };
    const devices = new Devices({ docroot, memory, log, ...rest });
    for (const devid of present) devices.#add(devid);
    for (const devid of options.adopt) {
      const device = devices.#devices.get(devid);
      if (device === undefined) throw noDevice(`dev${devid}`);
      device.acceptDisk();
    }
    for (const devid of memory.devids) devices.#add(devid);
    await Promise.all(devices.all().map((device) => device.look()));
    return devices;
  }

  /** Removes leftovers, writes usage files, and does so again and again until `close`. */
  async start({ sweepMs }: { sweepMs: number }): Promise<void> {
    this.#timer = setInterval(() => void this.#sweepOnce(), sweepMs);
    await this.#sweepOnce();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#sweeping;
    await Promise.all(this.all().map((device) => device.close()));
  }

  /** Every known device, in the order of their ids. */
  all(): Device[] {
    return [...this.#devices.values()].sort((a, b) => a.devid - b.devid);
  }

  /** A device if its disk was looked at just now and is the right one; the quick `find`. */
  findReady(devid: number): Device | undefined {
    const device = this.#devices.get(devid);
    return device === undefined || device.stale || device.state === 'refused' ? undefined : device;
  }

  /** A device whose disk was looked at just now. @throws NO_DEVICE. */
  async find(devid: number): Promise<Device> {
    const device = this.#devices.get(devid) ?? (await this.#discover(devid));
    if (device.stale) await device.look();
    return device;
  }

  async #discover(devid: number): Promise<Device> {
    try {
      if ((await stat(`${this.#context.docroot}/dev${devid}`)).isDirectory()) {
        return this.#add(devid);
      }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    throw noDevice(`dev${devid}`);
  }

  #add(devid: number): Device {
    const known = this.#devices.get(devid);
    if (known !== undefined) return known;
    const device = new Device(devid, this.#context);
    this.#devices.set(devid, device);
    return device;
  }

  #sweepOnce(): Promise<void> {
    // A disk that hangs delays its own sweep only; the others go on with the next tick.
    const sweeping = this.#sweep();
    this.#sweeping = sweeping;
    return sweeping;
  }

  async #sweep(): Promise<void> {
    try {
      for (const devid of await this.#present()) this.#add(devid);
    } catch (error) {
      this.#context.log.error({ reason: String(error) }, 'docroot.unreadable');
    }
    const mounts = await readMounts();
    if (this.#closed) return;
    await Promise.all(this.all().map((device) => device.sweep(mounts)));
  }

  async #present(): Promise<number[]> {
    const names = await readdir(this.#context.docroot);
    return names.flatMap((name) => devidOf(name) ?? []);
  }
}

/** Each device may hold this many threads and one more that looks at its disk. */
function laneWidthOf({ threads, devices }: { threads: number; devices: number }): number {
  const share = Math.floor((threads - sharedThreads) / Math.max(1, devices)) - 1;
  return Math.min(laneWidthMax, Math.max(laneWidthMin, share));
}

async function realDirectory(path: string): Promise<string> {
  try {
    const real = await realpath(path);
    if ((await stat(real)).isDirectory()) return real;
  } catch (cause) {
    throw new OmgfsError('FAILURE', {
      message: `The docroot ${path} cannot be read (${String(cause)}); create it or fix --docroot.`,
      cause,
    });
  }
  throw new OmgfsError('FAILURE', { message: `The docroot ${path} is no directory.` });
}
