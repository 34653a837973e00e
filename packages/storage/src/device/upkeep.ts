/** What is done for a device every few seconds: its usage file, and what a dead process left. */
import type { Log } from '../log.ts';
import { readdir, rename, unlink, writeAtomically, writeFully } from './files.ts';
import type { Runner } from './io/lane.ts';

/** Replaces the usage file, not durably. @throws errors of the system, for example ENOSPC. */
export async function writeUsage(
  root: string,
  { text, temp, run }: { text: string; temp: string; run: Runner },
): Promise<void> {
  await writeAtomically({
    temp,
    sync: undefined,
    run,
    fill: (fd) => writeFully(fd, Buffer.from(text)),
    place: () => run(() => rename(temp, `${root}/usage`)),
  });
}

/** Removes every temporary file that is not of this process; a failure is only said. */
export async function removeLeftovers(
  directory: string,
  { devid, own, log, run }: { devid: number; own: string; log: Log; run: Runner },
): Promise<void> {
  try {
    const names = await run(() => readdir(directory));
    const leftovers = names.filter((name) => !name.startsWith(own));
    for (const name of leftovers) await run(() => unlink(`${directory}/${name}`));
    if (leftovers.length > 0) log.info({ devid, files: leftovers.length }, 'leftovers.removed');
  } catch (error) {
    log.warn({ devid, reason: String(error) }, 'leftovers.kept');
  }
}
