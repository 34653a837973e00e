/**
 * Stores an upload on a device: whole, durable and visible at once, or not at all (I1, I3). The
 * bytes go to a temporary file on the same disk, which is moved into place when it is complete.
 */
import type { Device } from './device.ts';
import { parentOf } from './directories.ts';
import {
  closeNow,
  errnoOf,
  moveToFree,
  rename,
  statNow,
  unlink,
  writeAtomically,
  writeFully,
} from './files.ts';
import { type FileThread, NotDone, type Stamp } from './io/file-thread.ts';

type Move = (from: string, to: string) => Promise<void>;

/** Whoever wanted the file has given it up while the disk kept it waiting. */
class Unwanted extends Error {}

const always = () => true;

interface Whole {
  stamped?: boolean;
  /** Looked at when the file is durable and comes into its place, if it is synced at all. */
  isWanted?: () => boolean;
}

/**
 * Stores what `fill` writes under a name relative to the device; what is there is replaced, or not.
 * When it resolves, the file and the directories above it survive a power cut, unless the node does
 * not sync at all.
 * @throws PATH_CONFLICT, DEVICE_REFUSED, errors of the system and whatever `fill` throws.
 */
export function storeFile(
  device: Device,
  name: string,
  fill: (fd: number) => Promise<void>,
  { replace = true, isWanted = always }: { replace?: boolean; isWanted?: () => boolean } = {},
): Promise<void> {
  return store(device, name, { fill, move: replace ? rename : moveToFree, isWanted });
}

/**
 * The same for a file that is there as a whole, which takes fewer trips between threads. Where many
 * are stored, it may come into place a little later, together with others.
 * @returns what the file is, if it is to be `stamped`.
 */
export async function storeWhole(
  device: Device,
  name: string,
  bytes: Buffer,
  { stamped = false, isWanted = always }: Whole = {},
): Promise<Stamp | undefined> {
  // It may have been long on its way.
  if (device.stale) await device.look();
  device.assertWritable();
  await device.directories.ensure(parentOf(name));
  const [temp, path] = [device.tempPath(), `${device.root}/${name}`];
  const thread = device.smallFiles.thread(bytes.length, temp, path);
  if (thread !== undefined) {
    const file = { temp, path, device, bytes, stamped, isWanted };
    const done = await storeByThread(thread, file);
    if (done !== undefined) {
      await device.directories.sync(parentOf(name));
      return done.stamp;
    }
    // What went wrong may be the disk, and another one may be in its place by now.
    await device.look();
    device.assertWritable();
  }
  let stamp: Stamp | undefined;
  const fill = async (fd: number) => {
    await device.run(() => writeFully(fd, bytes));
    if (stamped) stamp = statNow(fd);
  };
  await store(device, name, { fill, syncWrites: device.syncsEachFile, isWanted });
  return stamp;
}

/**
 * The same on a device that syncs nothing, if nothing has to be waited for but its thread.
 * @param done is called later; with false when the file is to be stored again by `storeWhole`.
 * @returns false, and does nothing, where it cannot be so.
 */
export function storeNow(
  device: Device,
  name: string,
  body: Buffer,
  done: (stored: boolean) => void,
): boolean {
  if (device.sync !== undefined || device.stale || device.state !== 'ready') return false;
  if (!(device.space.fits(body.length) && device.directories.has(parentOf(name)))) return false;
  const paths = { temp: device.tempPath(), path: `${device.root}/${name}` };
  const thread = device.smallFiles.running(body.length, paths.temp, paths.path);
  if (thread === undefined) return false;
  device.space.spend({ bytes: body.length, announced: 0 });
  const reject = (error: Error) => void giveUp(device, paths.temp, error).then(() => done(false));
  thread.push({ ...paths, body }, { resolve: () => done(true), reject });
  return true;
}

/** Tidies up for another attempt and looks whether the disk is still the right one. Never fails. */
async function giveUp(device: Device, temp: string, error: unknown): Promise<void> {
  if (error instanceof NotDone) await device.run(() => unlink(temp)).catch(() => {});
  await device.look();
}

/** @returns undefined when it is to be done again the other way, which also knows what is wrong. */
async function storeByThread(
  thread: FileThread,
  file: Required<Whole> & { device: Device; temp: string; path: string; bytes: Buffer },
): Promise<{ stamp: Stamp | undefined } | undefined> {
  const { device, temp, path, bytes: body, stamped, isWanted } = file;
  const { sync, run } = device;
  let opened = false;
  try {
    if (sync === undefined) return await thread.order({ temp, path, body, stamped });
    const { fd, stamp } = await thread.order({ temp, body, stamped });
    opened = true;
    try {
      await device.smallFiles.synced.run(() => sync(fd));
    } finally {
      closeNow(fd);
    }
    if (!isWanted()) throw new Unwanted();
    await (thread.free ? thread.order({ temp, path }) : run(() => rename(temp, path)));
    return { stamp };
  } catch (error) {
    const again = error instanceof NotDone || errnoOf(error) === 'ENOENT';
    if (opened || again) await run(() => unlink(temp)).catch(() => {});
    if (!again) throw error;
    return undefined;
  }
}

async function store(
  device: Device,
  name: string,
  {
    fill,
    isWanted,
    move = rename,
    syncWrites = false,
  }: {
    fill: (fd: number) => Promise<void>;
    isWanted: () => boolean;
    move?: Move;
    syncWrites?: boolean;
  },
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
        if (!isWanted()) throw new Unwanted();
        await run(() => move(temp, target)).catch(async (error: unknown) => {
          if (errnoOf(error) !== 'ENOENT') throw error;
          // Someone tidies away empty directories behind our back.
          directories.forget();
          await directories.ensure(directory);
          await run(() => move(temp, target));
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
