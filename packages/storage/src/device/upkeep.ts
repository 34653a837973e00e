/** What is done for a device every few seconds: its usage file, and what a dead process left. */
import type { Log } from '../log.ts';
import { readdir, rename, unlink, writeAtomically, writeFully } from './files.ts';
import type { Runner } from './io/runner.ts';

export class UsageFile {
  /** When it was last written; 0 before. */
  writtenAtSeconds = 0;
  #failed = false;

  /** Replaces it, not durably; a failure, on a full disk for example, is said once. */
  async write(
    text: string,
    { root, devid, temp, run, log }: Place & { root: string; temp: string },
  ): Promise<void> {
    try {
      await writeAtomically({
        temp,
        sync: undefined,
        run,
        fill: (fd) => writeFully(fd, Buffer.from(text)),
        place: () => run(() => rename(temp, `${root}/usage`)),
      });
      this.#failed = false;
      this.writtenAtSeconds = Math.floor(Date.now() / 1000);
    } catch (error) {
      if (this.#failed) return;
      this.#failed = true;
      const reason = `the usage file on disk goes stale: ${String(error)}`;
      log.warn({ devid, reason }, 'usage.stale');
    }
  }
}

interface Place {
  devid: number;
  run: Runner;
  log: Log;
}

/** Removes every temporary file that is not of this process; a failure is only said. */
export async function removeLeftovers(
  directory: string,
  { devid, own, log, run }: Place & { own: string },
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
