/**
 * Gives up uploads that were opened long ago and never closed (spec §5.3): their bytes go the way
 * of deleted files, whatever devices they were offered. One tracker at a time.
 */
import type { Log } from '../log.ts';
import type { Store } from '../store/store.ts';

const rowsPerRound = 50;

export interface TempfileReaperOptions {
  store: Store;
  log: Log;
  /** Age from which an open upload counts as abandoned. */
  ageSeconds: number;
  /** Ends the round when the tracker stops. */
  stopping: AbortSignal;
  /** Told when fids were queued for deletion. */
  onAbandoned: () => void;
}

/** Works until no old upload is left; does nothing while another tracker does. */
export async function reapTempfiles(options: TempfileReaperOptions): Promise<void> {
  const { store, ageSeconds, stopping } = options;
  await store.withLock({ name: 'mgfs:tempfiles', waitMs: 0 }, async (lost) => {
    while (!lost.aborted && !stopping.aborted) {
      const rows = await store.staleTempfiles({ ageSeconds, limit: rowsPerRound });
      for (const row of rows) {
        if (lost.aborted || stopping.aborted) return;
        await reap(options, row);
      }
      if (rows.length < rowsPerRound) return;
    }
  });
}

async function reap(
  { store, log, onAbandoned }: TempfileReaperOptions,
  { fid, devids }: { fid: number; devids: readonly number[] },
): Promise<void> {
  // A tracker that died between two statements may have left the row of a file that was stored.
  if (await store.dropClosedTempfile(fid)) return;
  if (!(await store.abandonTempfile({ fid, devids }))) return;
  log.info({ fid, devids }, 'upload.abandoned');
  onAbandoned();
}
