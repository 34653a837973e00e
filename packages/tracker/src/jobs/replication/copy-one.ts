/** One replica on demand, outside the queue (spec §2.3 httpcopy). */
import { fidLock } from '../../store/fid-lock.ts';
import type { JobServices } from '../services.ts';
import { type CopyResult, copyTo } from './copy-replica.ts';

/** Copies while holding the lock of the fid, so that no job works on its replicas meanwhile. */
export async function copyOne(
  services: JobServices,
  request: Omit<Parameters<typeof copyTo>[1], 'signals'>,
): Promise<CopyResult> {
  const outcome = await services.store.withLock(fidLock(request.file.fid), (lost) =>
    copyTo(services, { ...request, signals: [lost] }),
  );
  return outcome ?? { state: 'source_failed', reason: 'a job works on the file' };
}
