/** DELETE of a file. Directories stay, also empty ones, as in the original. */

import { OmgfsError } from '@omgfs/protocol';
import type { Devices } from '../device/devices.ts';
import { parentOf } from '../device/directories.ts';
import { unlink } from '../device/files.ts';
import { explainMissing } from '../device/reader.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type Exchange, sendEmpty } from '../http/reply.ts';

/**
 * Removes a file and answers 204. The directory is not synced: a file that returns after a power
 * cut is a stray copy, not a loss.
 * @throws INVALID_PATH, PATH_FORBIDDEN, PATH_CONFLICT, NO_FILE, NO_DEVICE, DEVICE_REFUSED, errors
 * of the system.
 */
export async function handleDelete(
  { devices }: { devices: Devices },
  { res, target }: Exchange,
): Promise<void> {
  const { devid, name, directory } = parseWriteTarget(target);
  if (name === '' || directory) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path names a directory, not a file.' });
  }
  const device = await devices.find(devid);
  device.assertReadable();
  try {
    await device.directories.check(parentOf(name));
    await device.run(() => unlink(`${device.root}/${name}`));
  } catch (error) {
    throw await explainMissing(device, name, error);
  }
  sendEmpty(res, 204);
}
