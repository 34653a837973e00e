/**
 * Names that WebDAV uses for a moment while it replaces a collection, written down before, so that
 * the death of the process leaves neither a gap nor a name that nobody asked for: at the next start
 * what had stepped aside comes back, unless its successor is in place.
 */
import { rm } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import type { Device } from '../device/device.ts';
import { parentOf } from '../device/directories.ts';
import {
  errnoOf,
  lstat,
  makeDirectories,
  readdir,
  readFile,
  rename,
  rmdir,
  unlink,
  writeAtomically,
  writeFully,
} from '../device/files.ts';
import { stateDirectory } from '../integrity/scrub-report.ts';
import type { Log } from '../log.ts';

const asidesDirectory = `${stateDirectory}/asides`;
const remove = promisify(rm);

/** All names are relative to the device. */
interface Aside {
  name: string;
  /** What stepped aside for another; undefined for a copy that is not complete. */
  of?: { name: string; successor: number; by: string };
}

/**
 * Writes down that `name` is in use for a moment; `by` is the name of what takes the place of
 * `replaced`. @returns what forgets it again.
 */
export async function noteAside(
  device: Device,
  { name, replaced }: { name: string; replaced?: { name: string; by: string } },
): Promise<() => Promise<void>> {
  const { root, run, directories } = device;
  const aside: Aside = { name };
  if (replaced !== undefined) {
    const { ino: successor } = await run(() => lstat(`${root}/${replaced.by}`));
    aside.of = { ...replaced, successor };
  }
  await makeDirectories(root, asidesDirectory, run);
  const temp = device.tempPath();
  // Its name tells whose it is, as that of a temporary file does.
  const path = `${root}/${asidesDirectory}/${basename(temp)}`;
  await writeAtomically({
    temp,
    run,
    sync: device.sync,
    fill: (fd) => writeFully(fd, Buffer.from(JSON.stringify(aside))),
    place: () => run(() => rename(temp, path)),
  });
  await directories.sync(asidesDirectory);
  return () => run(() => unlink(path));
}

/**
 * Puts right what a dead process left; a failure is only said, and tried at the next start.
 * @param own begins the notes of this process, whose work goes on.
 */
export async function settleAsides(
  device: Device,
  { own, log }: { own: string; log: Log },
): Promise<void> {
  const { root, run, devid } = device;
  const directory = `${root}/${asidesDirectory}`;
  const names = await run(() => readdir(directory)).catch(() => []);
  for (const name of names.filter((one) => !one.startsWith(own))) {
    try {
      const aside = JSON.parse(await run(() => readFile(`${directory}/${name}`, 'utf8'))) as Aside;
      const { name: of = aside.name, by = of } = aside.of ?? {};
      const inside = [aside.name, of, by].every(isInside);
      if (!inside) throw new Error('it names what is not inside of the device');
      const outcome = await settle(device, aside);
      await run(() => unlink(`${directory}/${name}`));
      if (outcome !== undefined) log.warn({ devid, name: aside.name, outcome }, 'aside.settled');
    } catch (error) {
      log.error({ devid, name, reason: String(error) }, 'aside.unsettled');
    }
  }
}

/** @returns what was done, in words; undefined when there was nothing to do. */
async function settle(device: Device, { name, of }: Aside): Promise<string | undefined> {
  const { root, run, directories } = device;
  const path = `${root}/${name}`;
  const aside = await inodeOf(device, name);
  if (aside === undefined) return undefined;
  if (of === undefined) {
    await run(() => remove(path, { recursive: true }));
    return 'an incomplete copy was removed';
  }
  const inPlace = await inodeOf(device, of.name);
  // A file that moves has two names for a moment.
  if (inPlace === aside) {
    await run(() => unlink(path));
    return `it was a second name of ${of.name}`;
  }
  if (inPlace === of.successor) {
    if ((await inodeOf(device, of.by)) === inPlace) await run(() => unlink(`${root}/${of.by}`));
    await run(() => remove(path, { recursive: true }));
    return `removed: ${of.name} is replaced`;
  }
  // What a collection moves to is made before it, empty.
  if (inPlace !== undefined && !(await removeEmpty(device, of.name))) {
    if (await removeEmpty(device, name)) return `removed: ${of.name} had not stepped aside`;
    return `kept: ${of.name} was made anew meanwhile`;
  }
  await run(() => rename(path, `${root}/${of.name}`));
  await directories.sync(parentOf(of.name));
  return `what it replaces had not come: it is ${of.name} again`;
}

async function removeEmpty({ root, run }: Device, name: string): Promise<boolean> {
  return run(() => rmdir(`${root}/${name}`)).then(
    () => true,
    (error: unknown) => {
      if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error))) return false;
      throw error;
    },
  );
}

/** A disk may come from anywhere, and what is named is removed. */
function isInside(name: string): boolean {
  return !name.split('/').some((part) => ['', '.', '..'].includes(part));
}

/** @throws PATH_FORBIDDEN when a link leads there. */
async function inodeOf(device: Device, name: string): Promise<number | undefined> {
  const { root, run, directories } = device;
  try {
    await directories.check(parentOf(name));
    return (await run(() => lstat(`${root}/${name}`))).ino;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
