/** A copy may take longer than the lease of its claim; no other tracker may begin it meanwhile. */
import type { Store } from '../../store/store.ts';
import type { FaultLog } from '../fault-log.ts';

/** Renews the claim on a fid until the work is done; never after this resolves. */
export async function keepClaim<T>(
  claim: { store: Store; faults: FaultLog; fid: number; everyMs: number },
  work: () => Promise<T>,
): Promise<T> {
  const { store, faults, fid, everyMs } = claim;
  let renewing: Promise<void> | undefined;
  const renew = () => {
    renewing ??= store
      .renewReplication(fid)
      .then(() => faults.wentWell())
      .catch((error: unknown) => faults.failed(error))
      .finally(() => {
        renewing = undefined;
      });
  };
  const timer = setInterval(renew, everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    await renewing;
  }
}
