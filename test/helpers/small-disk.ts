/**
 * A file system of a few MiB that really becomes full: one of its own where mounting is allowed,
 * else a part of one that every system has, filled up to what is wanted.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readlink, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { until } from './wait.ts';

/** Gives the place back to what was there before. */
export type Unmount = () => Promise<void>;

const mib = 1024 * 1024;
/** In memory, open to everybody, and small: in containers the second one is. */
const borrowable = ['/run/lock', '/dev/shm'];
const borrowedMibMax = 128;
const prefix = 'omgfs-test-';
let borrowers = 0;
let giveBack = async () => {};

/**
 * Puts a file system with room for `sizeMib` in the place of an empty directory, or another one
 * over it.
 * @throws Error with what to do when there is none to be had.
 */
export async function mountSmall(directory: string, sizeMib: number): Promise<Unmount> {
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${sizeMib}m`];
    execFileSync('mount', [...options, 'omgfs-test', directory], { stdio: 'ignore' });
  } catch {
    return borrow(directory, sizeMib);
  }
  return async () => {
    execFileSync('umount', ['-l', directory], { stdio: 'ignore' });
  };
}

async function borrow(directory: string, sizeMib: number): Promise<Unmount> {
  const whole = borrowable.find((path) => existsSync(path) && freeMib(path) <= borrowedMibMax);
  if (whole === undefined) {
    throw new Error(
      'This test needs a small file system. Run it as root where mounting is allowed ' +
        `(containers: CAP_SYS_ADMIN), or with at most ${borrowedMibMax} MiB free at ` +
        `${borrowable.join(' or ')}.`,
    );
  }
  if (borrowers === 0) await fillUp(whole, sizeMib);
  borrowers += 1;
  const covered = await readlink(directory).catch(() => undefined);
  const part = covered ?? (await mkdtemp(join(whole, prefix)));
  if (covered === undefined) {
    await rmdir(directory);
    await symlink(part, directory);
  } else {
    await rename(part, `${part}-covered`);
    await mkdir(part);
  }
  return async () => {
    await rm(part, { recursive: true });
    if (covered === undefined) {
      await rm(directory);
      await mkdir(directory);
    } else {
      await rename(`${part}-covered`, part);
    }
    borrowers -= 1;
    if (borrowers === 0) await giveBack();
  };
}

function freeMib(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return (bavail * bsize) / mib;
}

/** One process at a time; the name is free again when it dies. */
async function fillUp(whole: string, sizeMib: number): Promise<void> {
  const lock = createServer();
  await until('others to be done with the small file system', () => {
    return new Promise<boolean>((resolve) => {
      lock.once('error', () => resolve(false));
      lock.listen('\0omgfs-small-disk', () => resolve(true));
    });
  });
  const clear = async () => {
    const left = (await readdir(whole)).filter((name) => name.startsWith(prefix));
    for (const name of left) await rm(join(whole, name), { recursive: true });
  };
  giveBack = async () => {
    await clear();
    lock.close();
  };
  await clear();
  const filler = Math.floor((freeMib(whole) - sizeMib) * mib);
  if (filler > 0) {
    execFileSync('fallocate', ['-l', String(filler), join(whole, `${prefix}filler`)]);
  }
}
