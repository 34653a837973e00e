/** A file that cannot be read, for real: one of the kernel that answers EIO, mounted over it. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';

/** What it seems to hold, by its stat. */
export const unreadableBytes = 4096;

/** Puts an unreadable file in the place of another; false where mounting is not allowed. */
export function makeUnreadable(path: string): boolean {
  const source = unreadableFile();
  if (source === undefined || !tool('mount', '--bind', source, path)) return false;
  onTestFinished(() => void tool('umount', '-l', path));
  return true;
}

function tool(name: string, ...args: string[]): boolean {
  try {
    execFileSync(name, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Devices without power management have this file all the same, and an error in it. */
function unreadableFile(): string | undefined {
  try {
    const paths = readdirSync('/sys/devices').map(
      (name) => `/sys/devices/${name}/power/autosuspend_delay_ms`,
    );
    return paths.find((path) => errnoOfRead(path) === 'EIO');
  } catch {
    return undefined;
  }
}

function errnoOfRead(path: string): string {
  try {
    readFileSync(path);
    return '';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : '';
  }
}
