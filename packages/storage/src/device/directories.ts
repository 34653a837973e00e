/**
 * The directories below one device: made when needed, durable before they are relied upon, and
 * never a symbolic link that leads out of the device. The protocol cannot make links, so a
 * directory is looked at once and then remembered, up to a bound.
 */
import { OmgfsError, RecentMap } from '@omgfs/protocol';
import { errnoOf, lstat, mkdir, realpath, syncDirectory } from './files.ts';
import type { Runner } from './io/runner.ts';
import { SharedRun } from './shared-run.ts';

/** About 8 MB at most; beyond it the oldest are looked at again. */
const rememberedMax = 50_000;

export interface DirectoriesOptions {
  durable: boolean;
  /** Where the calls take their turn. */
  run: Runner;
  /** Says whether the right disk is there. */
  disk: {
    look(): Promise<void>;
    /** @throws DEVICE_REFUSED. */
    assertWritable(): void;
  };
}

export class Directories {
  readonly #root: string;
  readonly #durable: boolean;
  readonly #run: Runner;
  readonly #disk: DirectoriesOptions['disk'];
  /** Directories whose entry in their parent this process has synced. */
  readonly #made = new RecentMap<string, true>(rememberedMax);
  /** Directories that were seen to be no links, with none above them. */
  readonly #seen = new RecentMap<string, true>(rememberedMax);
  readonly #making = new Map<string, Promise<boolean>>();
  readonly #syncs = new Map<string, SharedRun>();

  /** @param root the device directory, without symbolic links. */
  constructor(root: string, { durable, run, disk }: DirectoriesOptions) {
    this.#root = root;
    this.#durable = durable;
    this.#run = run;
    this.#disk = disk;
  }

  /** Whether there is nothing to `ensure`. */
  has(directory: string): boolean {
    return directory === '' || this.#made.get(directory) === true;
  }

  /**
   * Makes a directory, relative to the device, and those above it. When it resolves, all of them
   * survive a power cut. @returns whether it was not there before.
   * @throws PATH_CONFLICT when something else has one of the names, DEVICE_REFUSED.
   */
  ensure(directory: string): Promise<boolean> {
    if (this.has(directory)) return Promise.resolve(false);
    const running = this.#making.get(directory);
    if (running !== undefined) return running.then(() => false);
    const making = this.#make(directory).finally(() => this.#making.delete(directory));
    this.#making.set(directory, making);
    return making;
  }

  /** Makes the names in a directory durable; concurrent callers share the work. */
  async sync(directory: string): Promise<void> {
    if (!this.#durable) return;
    let shared = this.#syncs.get(directory);
    if (shared === undefined) {
      shared = new SharedRun(() => syncDirectory(this.#pathOf(directory), this.#run));
      this.#syncs.set(directory, shared);
    }
    try {
      await shared.run();
    } finally {
      if (shared.idle && this.#syncs.get(directory) === shared) this.#syncs.delete(directory);
    }
  }

  /** @throws PATH_FORBIDDEN when a link leads elsewhere; ENOENT or ENOTDIR of the system. */
  async check(directory: string): Promise<void> {
    if (directory === '' || this.#seen.get(directory) === true) return;
    const path = this.#pathOf(directory);
    if ((await this.#run(() => realpath(path))) !== path) {
      throw new OmgfsError('PATH_FORBIDDEN', {
        message: `${directory} leads over a symbolic link; links are not followed in a device.`,
      });
    }
    this.#seen.set(directory, true);
  }

  /** Forgets what is known, because someone else changed the directories. */
  forget(): void {
    this.#made.clear();
    this.#seen.clear();
  }

  async #make(directory: string): Promise<boolean> {
    const parent = parentOf(directory);
    await this.ensure(parent);
    const path = this.#pathOf(directory);
    const make = () => this.#run(() => mkdir(path, 0o755));
    let created = true;
    try {
      // Where a disk was unmounted is a bare directory, which would take it (I6).
      if (parent === '') await this.#verify();
      await make().catch(async (error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw error;
        // Someone tidies away empty directories behind our back, or the disk is gone.
        await this.#verify();
        this.forget();
        await this.ensure(parent);
        await make();
      });
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      created = false;
      const found = await this.#run(() => lstat(path)).catch((failure: unknown) => {
        if (errnoOf(failure) !== 'ENOENT') throw failure;
      });
      // What stood in the way was deleted since.
      if (found === undefined) return this.#make(directory);
      if (!found.isDirectory()) {
        throw new OmgfsError('PATH_CONFLICT', { message: `${directory} is not a directory.` });
      }
    }
    // Also for one that was there: whoever made it may have died before its own sync.
    await this.sync(parent);
    this.#made.set(directory, true);
    return created;
  }

  async #verify(): Promise<void> {
    await this.#disk.look();
    this.#disk.assertWritable();
  }

  #pathOf(directory: string): string {
    return directory === '' ? this.#root : `${this.#root}/${directory}`;
  }
}

/** The directory that holds a name, both relative to the device; empty for the device itself. */
export function parentOf(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash < 0 ? '' : name.slice(0, slash);
}
