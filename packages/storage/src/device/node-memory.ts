/**
 * What the node remembers about its devices across restarts, in a file of the docroot: which disk
 * belongs into which slot. Without it a bare mount point would look like a new device (I6).
 */
import { OmgfsError } from '@omgfs/protocol';
import {
  errnoOf,
  fdatasync,
  readFile,
  rename,
  syncDirectory,
  unlink,
  writeAtomically,
  writeFully,
} from './files.ts';
import { SharedRun } from './shared-run.ts';

const nodeMemoryName = '.omgfs-node.json';

export interface KnownDevice {
  uuid: string;
  /** The device was a file system of its own, not a directory on that of the docroot. */
  mounted: boolean;
}

export class NodeMemory {
  readonly #path: string;
  readonly #docroot: string;
  readonly #known: Map<number, KnownDevice>;
  readonly #saving = new SharedRun(() => this.#save());

  private constructor(docroot: string, known: Map<number, KnownDevice>) {
    this.#docroot = docroot;
    this.#path = `${docroot}/${nodeMemoryName}`;
    this.#known = known;
  }

  /** @throws FAILURE when the file is damaged: forgetting it silently would defeat its purpose. */
  static async load(docroot: string): Promise<NodeMemory> {
    const path = `${docroot}/${nodeMemoryName}`;
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return new NodeMemory(docroot, new Map());
    }
    try {
      const { devices } = JSON.parse(text) as { devices: Record<string, KnownDevice> };
      const known = Object.entries(devices).map(([devid, { uuid, mounted }]) => {
        return [Number(devid), { uuid, mounted }] as const;
      });
      return new NodeMemory(docroot, new Map(known));
    } catch (cause) {
      throw new OmgfsError('FAILURE', {
        message:
          `${path} is damaged. It says which disk belongs into which slot; restore it, or remove ` +
          'it after making sure that every device is mounted where it belongs.',
        cause,
      });
    }
  }

  get devids(): number[] {
    return [...this.#known.keys()];
  }

  get(devid: number): KnownDevice | undefined {
    return this.#known.get(devid);
  }

  /** The slot a disk was last known in. */
  slotOf(uuid: string): number | undefined {
    for (const [devid, known] of this.#known) if (known.uuid === uuid) return devid;
    return undefined;
  }

  /** Remembers a device at once, and durably when it resolves. @throws errors of the system. */
  async remember(devid: number, known: KnownDevice): Promise<void> {
    this.#known.set(devid, known);
    await this.#saving.run();
  }

  async #save(): Promise<void> {
    const temp = `${this.#path}.tmp`;
    // Left over by a crash; runs never overlap, so it is nobody's.
    await unlink(temp).catch(() => {});
    const devices = Object.fromEntries(this.#known);
    const text = `${JSON.stringify({ version: 1, devices }, undefined, 2)}\n`;
    await writeAtomically({
      temp,
      sync: fdatasync,
      fill: (fd) => writeFully(fd, Buffer.from(text)),
      place: async () => {
        await rename(temp, this.#path);
        await syncDirectory(this.#docroot);
      },
    });
  }
}
