/** The text of a usage file (spec §8.2) and the mount table it takes two of its values from. */
import type { StatsFs } from 'node:fs';
import { readFile } from './files.ts';

export interface Mount {
  /** Block device or other source, as df prints it. */
  source: string;
  mountPoint: string;
}

/** The mounts of this system; empty where there is no such table. */
export async function readMounts(): Promise<Mount[]> {
  let text: string;
  try {
    text = await readFile('/proc/self/mounts', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [source, mountPoint] = line.split(' ');
    if (source === undefined || mountPoint === undefined) return [];
    return [{ source: unescapeOctal(source), mountPoint: unescapeOctal(mountPoint) }];
  });
}

/** `name: value` lines in alphabetical order; sizes in KiB, reserved blocks left out. */
export function usageText(facts: {
  root: string;
  stats: StatsFs;
  mounts: readonly Mount[];
  timeSeconds: number;
}): string {
  const { root, stats, mounts, timeSeconds } = facts;
  const kib = (blocks: number) => Math.floor((blocks * stats.bsize) / 1024);
  const used = kib(stats.blocks - stats.bfree);
  const available = kib(stats.bavail);
  const total = used + available;
  const percent = total === 0 ? 0 : Math.ceil((used * 100) / total);
  const mount = mountOf(root, mounts);
  return [
    `available: ${available}`,
    `device: ${mount?.source ?? 'unknown'}`,
    `disk: ${root}`,
    `time: ${timeSeconds}`,
    `total: ${total}`,
    `use: ${percent}%`,
    `used: ${used}`,
    '',
  ].join('\n');
}

/** The mount a path lies on: the longest prefix, and of equals the last, which hides the rest. */
function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const covers = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (covers && mountPoint.length >= (found?.mountPoint.length ?? 0)) found = mount;
  }
  return found;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  );
}
