/** Finds and opens files on the devices, and tells a missing file from a missing disk (I6). */
import type { Stats } from 'node:fs';
import { fidPath, OmgfsError } from '@omgfs/protocol';
import { explainUnreadable } from '../integrity/unreadable.ts';
import type { Device } from './device.ts';
import type { Devices } from './devices.ts';
import { parentOf } from './directories.ts';
import { errnoOf, openForRead } from './files.ts';

/** An open file; whoever gets it closes it. */
export interface OpenFile {
  fd: number;
  stats: Stats;
}

/**
 * Opens a file below a device.
 * @throws NO_FILE when it is not there and the disk has just been found to be the right one;
 * DEVICE_REFUSED otherwise; FILE_UNREADABLE; PATH_FORBIDDEN for a symbolic link; errors of the
 * system.
 */
export async function openFile(device: Device, name: string): Promise<OpenFile> {
  try {
    await device.directories.check(parentOf(name));
    return await device.run(() => openForRead(`${device.root}/${name}`));
  } catch (error) {
    throw await explainMissing(device, name, await explainUnreadable(device, name, error));
  }
}

/**
 * Opens a fid on whichever device has it.
 * @throws NO_FILE only when every device of the node could be asked; else DEVICE_REFUSED.
 */
export async function openFid(
  devices: Devices,
  fid: number,
): Promise<{ file: OpenFile; name: string; device: Device }> {
  let failure: unknown;
  for (const { devid } of devices.all()) {
    const name = fidPath(devid, fid).slice(`/dev${devid}/`.length);
    try {
      const device = await devices.find(devid);
      device.assertReadable();
      return { file: await openFile(device, name), name, device };
    } catch (error) {
      if (!(error instanceof OmgfsError && error.code === 'NO_FILE')) failure ??= error;
    }
  }
  throw failure ?? new OmgfsError('NO_FILE', { message: `No device of this node has fid ${fid}.` });
}

/** The error to answer with when a file is not there: a wrong disk is never a missing file. */
export async function explainMissing(
  device: Device,
  name: string,
  error: unknown,
): Promise<unknown> {
  const errno = errnoOf(error);
  if (errno !== 'ENOENT' && errno !== 'ENOTDIR') return error;
  await device.look();
  device.assertReadable();
  return new OmgfsError('NO_FILE', { message: `dev${device.devid} has no file ${name}.` });
}
