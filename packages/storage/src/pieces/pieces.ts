/**
 * Uploads that come in pieces (`Content-Range`), of which nothing is seen before the last. What is
 * there of one lies on its own device under a name made of its path and total length, so that it
 * is found again after the connection, or this process, has died; the length of that file is how
 * much is held. What nobody goes on with is removed after a while.
 */
import { createHash } from 'node:crypto';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { errnoOf, lstat, makeDirectories, readdir, unlink } from '../device/files.ts';
import { stateDirectory } from '../integrity/scrub-report.ts';
import type { Log } from '../log.ts';

const piecesDirectory = `${stateDirectory}/pieces`;
const sweepMs = 600_000;

interface Writer {
  /** Ends its request: somebody else goes on with the upload. */
  leave: () => void;
  done: Promise<void>;
}

export interface PiecesOptions {
  devices: Devices;
  /** Without a piece for so long an upload is given up. */
  keepMs: number;
  log: Log;
}

export class Pieces {
  readonly #options: PiecesOptions;
  readonly #writers = new Map<string, Writer>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PiecesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.sweep(), sweepMs);
    this.#timer.unref();
    void this.sweep();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Where the bytes of an upload are kept until it is complete. */
  async pathOf(device: Device, { name, total }: { name: string; total: number }): Promise<string> {
    const directory = `${device.root}/${piecesDirectory}`;
    await makeDirectories(device.root, piecesDirectory, device.run);
    const id = createHash('sha256').update(name).digest('hex').slice(0, 40);
    return `${directory}/${id}-${total}`;
  }

  /**
   * Runs `work` alone on a file. A client whose connection was cut comes back before this node may
   * have noticed; so the newer request ends the older one, and begins after it.
   */
  async alone<T>(path: string, leave: () => void, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const other = this.#writers.get(path);
      if (other === undefined) break;
      other.leave();
      await other.done;
    }
    const working = work();
    const done = working.then(
      () => {},
      () => {},
    );
    this.#writers.set(path, { leave, done });
    try {
      return await working;
    } finally {
      this.#writers.delete(path);
    }
  }

  /** Removes what nobody has gone on with. */
  async sweep(): Promise<void> {
    const ready = this.#options.devices.all().filter(({ state }) => state === 'ready');
    await Promise.all(ready.map((device) => this.#sweepDevice(device)));
  }

  async #sweepDevice(device: Device): Promise<void> {
    const { keepMs, log } = this.#options;
    const { devid, run } = device;
    const directory = `${device.root}/${piecesDirectory}`;
    try {
      for (const name of await run(() => readdir(directory))) {
        const path = `${directory}/${name}`;
        const { mtimeMs, size } = await run(() => lstat(path));
        if (this.#writers.has(path) || Date.now() - mtimeMs < keepMs) continue;
        await run(() => unlink(path));
        log.info({ devid, bytes: size }, 'pieces.dropped');
      }
    } catch (error) {
      // Completed meanwhile, or there never was one.
      if (errnoOf(error) === 'ENOENT') return;
      log.warn({ devid, reason: String(error) }, 'pieces.kept');
    }
  }
}
