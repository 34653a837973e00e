/**
 * Which findings of a check go into the log, so that each is counted once for a run. What was
 * changed is always said. What lasts is said once by a check that waits; and not at all by one that
 * is done before a run gets to its file, because the run comes upon it too.
 */
import type { FsckCode, FsckEvent, FsckFile, FsckRow, FsckState } from '../../store/fsck-store.ts';
import type { Store } from '../../store/store.ts';

/** Findings that last until somebody mends the file: of the database, and of what is read. */
const lastingCodes: readonly FsckCode[] = ['NOPA', 'POVI'];
const checksumCodes: readonly FsckCode[] = ['BSUM', 'MSUM', 'BALG'];

/** Whether a run that goes on now is still to look at the file. */
export async function isAhead(
  store: Store,
  { host, position, end, limits }: FsckState,
  { fid, dmid, classid }: FsckFile,
): Promise<boolean> {
  if (host === undefined || fid <= position || fid > end) return false;
  if (limits.dmid === undefined) return true;
  if (limits.dmid !== dmid || (limits.classid ?? classid) !== classid) return false;
  if (limits.prefix === undefined) return true;
  const [file] = await store.filesByFid([fid]);
  return file?.dkey.startsWith(limits.prefix) ?? false;
}

/** @param run is one that is still to look at the file. */
export function newsOf(
  events: readonly FsckEvent[],
  { row, run }: { row: FsckRow; run: Pick<FsckState, 'policyOnly'> | undefined },
): FsckEvent[] {
  const old = new Set<FsckCode>(row.reported ? [...lastingCodes, ...checksumCodes] : []);
  if (run !== undefined) {
    for (const code of [...lastingCodes, 'REPL'] as const) old.add(code);
    if (!run.policyOnly) for (const code of checksumCodes) old.add(code);
    const isGone = events.some(({ code }) => code === 'GONE');
    if (isGone) for (const code of ['SRCH', 'GONE'] as const) old.add(code);
  }
  return events.filter(({ code }) => !old.has(code));
}
