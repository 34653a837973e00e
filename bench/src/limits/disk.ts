/**
 * The bare limit of the disk: files written under a temporary name, synced and renamed, by the
 * file system calls of this process and nothing else. Files stay until `close` of the limit,
 * because creating files right after deleting thousands is far slower on ext4 (measured
 * 2026-11-21: 80–1000 µs for an inode instead of 6) and would slow down what runs beside it.
 */
import { close, fdatasync, open, rename, write } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Session } from '../load/turn.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFile = promisify(fdatasync);
const renameFile = promisify(rename);
const filesPerDirectory = 1000;

export interface DiskLimit {
  /** Every caller writes files of `bytes` bytes, one after the other. */
  open(bytes: number): Promise<Session>;
  /** Removes all files. */
  close(): Promise<void>;
}

/** Makes a directory below `parent`, on the disk that is measured. */
export async function prepareDiskLimit(parent: string): Promise<DiskLimit> {
  const root = await mkdtemp(join(parent, 'omgfs-bench-disk-'));
  let next = 0;
  let directory = Promise.resolve(root);

  const place = async (): Promise<string> => {
    const number = next;
    next += 1;
    if (number % filesPerDirectory === 0) {
      const path = join(root, String(number / filesPerDirectory));
      directory = mkdir(path).then(() => path);
    }
    return join(await directory, String(number));
  };
  return {
    open: async (bytes) => {
      const body = Buffer.alloc(bytes, 'x');
      return {
        run: async () => store(await place(), body),
        close: async () => {},
      };
    },
    close: () => rm(root, { recursive: true, force: true }),
  };
}

async function store(path: string, body: Buffer): Promise<void> {
  const temporary = `${path}.tmp`;
  const descriptor = await openFile(temporary, 'wx');
  try {
    await writeFully(descriptor, body);
    await syncFile(descriptor);
  } finally {
    await closeFile(descriptor);
  }
  await renameFile(temporary, path);
}

function writeFully(descriptor: number, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    write(descriptor, body, 0, body.length, 0, (error, written) => {
      if (error !== null) reject(error);
      else if (written !== body.length) reject(new Error(`wrote ${written} of ${body.length}`));
      else resolve();
    });
  });
}
