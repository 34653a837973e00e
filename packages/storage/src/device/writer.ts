/**
 * Stores an upload on a device: whole, durable and visible at once, or not at all (I1, I3). The
 * bytes go to a temporary file on the same disk, which is moved into place when it is complete.
 */
import type { Device } from './device.ts';
import { parentOf } from './directories.ts';
import { errnoOf, rename, writeAtomically, writeFully } from './files.ts';

/**
 * Stores what `fill` writes under a name relative to the device. When it resolves, the file and
 * the directories above it survive a power cut, unless the node does not sync at all.
 * @throws PATH_CONFLICT, DEVICE_REFUSED, errors of the system and whatever `fill` throws.
 */
export function storeFile(
  device: Device,
  name: string,
  fill: (fd: number) => Promise<void>,
): Promise<void> {
  return store(device, name, { fill });
}

/** The same for a small file that is there as a whole: fewer trips to the thread pool. */
export function storeWhole(device: Device, name: string, bytes: Buffer): Promise<void> {
  const fill = (fd: number) => device.run(() => writeFully(fd, bytes));
  return store(device, name, { fill, syncWrites: device.syncsEachFile });
}

async function store(
  device: Device,
  name: string,
  { fill, syncWrites = false }: { fill: (fd: number) => Promise<void>; syncWrites?: boolean },
): Promise<void> {
  const directory = parentOf(name);
  const { directories, run } = device;
  await directories.ensure(directory);
  const target = `${device.root}/${name}`;
  let opened = false;
  const attempt = (): Promise<void> => {
    const temp = device.tempPath();
    return writeAtomically({
      temp,
      sync: syncWrites ? undefined : device.sync,
      syncWrites,
      run,
      fill: (fd) => {
        opened = true;
        return fill(fd);
      },
      place: async () => {
        await run(() => rename(temp, target)).catch(async (error: unknown) => {
          if (errnoOf(error) !== 'ENOENT') throw error;
          // Someone tidies away empty directories behind our back.
          directories.forget();
          await directories.ensure(directory);
          await run(() => rename(temp, target));
        });
        await directories.sync(directory);
      },
    });
  };
  try {
    await attempt();
  } catch (error) {
    if (opened || errnoOf(error) !== 'ENOENT') throw error;
    // The directory of temporary files is gone: tidied away, or the whole disk is.
    await device.look();
    device.assertWritable();
    await device.makeTempDirectory();
    await attempt();
  }
}
