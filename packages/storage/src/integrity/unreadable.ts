/**
 * Tells a file whose bytes cannot be read from a disk that fails as a whole. Only the former says
 * something about the file, and trackers replace such a replica from another (I2, I6).
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import { errnoOf, fdatasync, unlink, writeAtomically, writeFully } from '../device/files.ts';

interface Trial {
  atMs: number;
  passed: Promise<boolean>;
}

/** Readers of one bad file come again and again; their disk is not tried for each of them. */
const trialMs = 1000;
const trials = new WeakMap<Device, Trial>();

/**
 * The error to answer with when a file could not be read: FILE_UNREADABLE when its disk has just
 * taken and synced another one, else `error` as it is.
 */
export async function explainUnreadable(
  device: Device,
  name: string,
  error: unknown,
): Promise<unknown> {
  if (errnoOf(error) !== 'EIO' || !(await works(device))) return error;
  const { devid } = device;
  return new OmgfsError('FILE_UNREADABLE', {
    message:
      `dev${devid} works, but ${name} on it cannot be read: ${String(error)}. ` +
      'Another replica has its bytes.',
    details: { devid },
    cause: error,
  });
}

function works(device: Device): Promise<boolean> {
  const last = trials.get(device);
  if (last !== undefined && performance.now() - last.atMs < trialMs) return last.passed;
  const passed = tryWrite(device);
  trials.set(device, { atMs: performance.now(), passed });
  return passed;
}

/** A write, because what is read may come from memory. */
async function tryWrite(device: Device): Promise<boolean> {
  const { run } = device;
  const temp = device.tempPath();
  await device.look();
  if (device.state !== 'ready') return false;
  try {
    await writeAtomically({
      temp,
      run,
      fill: (fd) => run(() => writeFully(fd, Buffer.from('trial'))),
      sync: (fd) => run(() => fdatasync(fd)),
      place: () => run(() => unlink(temp)),
    });
    return true;
  } catch {
    return false;
  }
}
