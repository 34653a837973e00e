/** Makes a file rot as a disk does: other bytes, and nothing that a stat would show. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';

export function rotFile(path: string): void {
  const times = `${path}.times`;
  // Exact to the nanosecond, which Node cannot set.
  execFileSync('touch', ['-r', path, times]);
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, Buffer.from([0xff, 0x00, 0xff]), 0, 3, 0);
  } finally {
    closeSync(fd);
  }
  execFileSync('touch', ['-r', times, path]);
  rmSync(times);
}
