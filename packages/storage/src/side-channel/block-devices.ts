/**
 * Which block devices a directory lies on, by their numbers, and how busy these are. Works for
 * whole disks, partitions, NVMe, md and device mapper, whose counters the kernel keeps, and for
 * file systems with a number of their own (btrfs, ZFS on a disk), whose source the mount table
 * names.
 */
import { join } from 'node:path';
import { readdir, readFile, statBig } from '../device/files.ts';

/** Where the kernel tells about itself; another place in tests. */
export interface KernelFiles {
  proc: string;
  sys: string;
}

export const kernelFiles: KernelFiles = { proc: '/proc', sys: '/sys' };

/** Milliseconds each block device was busy since boot, by `major:minor`. */
export async function readBusyTimes({ proc }: KernelFiles): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const line of (await readFile(join(proc, 'diskstats'), 'utf8')).split('\n')) {
    // major minor name, then the counters: the tenth is the time with requests in work.
    const fields = line.trim().split(/\s+/);
    const busy = Number(fields[12]);
    if (fields.length >= 14 && Number.isFinite(busy)) times.set(`${fields[0]}:${fields[1]}`, busy);
  }
  return times;
}

/**
 * The block devices below a directory: its own, and the disks that an md or mapper device is made
 * of, because some kernels do not count the time of the upper one. Empty when there are none.
 */
export async function blockDevicesOf(directory: string, kernel: KernelFiles): Promise<string[]> {
  const { dev } = await statBig(directory);
  const number = numberOf(dev);
  const own = number.startsWith('0:') ? await sourceOf(number, kernel) : number;
  return own === undefined ? [] : [own, ...(await slavesOf(own, kernel))];
}

/** `major:minor` as Linux packs them into a device number. */
export function numberOf(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** The block device that a file system without one of its own was mounted from. */
async function sourceOf(number: string, { proc }: KernelFiles): Promise<string | undefined> {
  for (const line of (await readFile(join(proc, 'self/mountinfo'), 'utf8')).split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const source = after.split(' ')[1];
    if (before.split(' ')[2] !== number || source?.startsWith('/dev/') !== true) continue;
    return statBig(source).then(
      ({ rdev }) => numberOf(rdev),
      () => undefined,
    );
  }
  return undefined;
}

async function slavesOf(number: string, kernel: KernelFiles): Promise<string[]> {
  const directory = join(kernel.sys, 'dev/block', number, 'slaves');
  const names = await readdir(directory).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const slave = (await readFile(join(directory, name, 'dev'), 'utf8')).trim();
      return [slave, ...(await slavesOf(slave, kernel))];
    }),
  );
  return found.flat();
}
