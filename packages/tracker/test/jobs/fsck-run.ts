/** Running a fsck in a test cluster, and what it found. */
import { until } from '../../../../test/helpers/wait.ts';
import type { FsckLimits } from '../../src/store/fsck-store.ts';
import type { TestCluster, TestTracker } from './cluster.ts';

export interface RunOptions {
  policyOnly?: boolean;
  limits?: FsckLimits;
  /** Checks that stay in the queue, waiting for a device. */
  waiting?: number;
}

/** Checks everything and waits until the run and its queue are through. */
export async function runFsck(cluster: TestCluster, options: RunOptions = {}): Promise<void> {
  const { policyOnly = false, limits = {} } = options;
  await cluster.store.fsck.reset({ policyOnly, position: 0, limits });
  await cluster.store.fsck.start('tracker');
  cluster.jobs.wakeFsck();
  await settled(cluster, options.waiting ?? 0);
}

/** Waits until no run goes on and only so many checks wait. */
export async function settled({ store }: TestTracker, waiting = 0): Promise<void> {
  await until(`fsck is through, ${waiting} checks wait`, async () => {
    const { host } = await store.fsck.state();
    const queue = await store.fsck.queue({ dueMax: 1 });
    const isDone = queue.due + queue.inWork === 0 && queue.waiting === waiting;
    return host === undefined && isDone;
  });
}

/** Codes found since the last reset, `MISS 2` for one that names a device. */
export async function foundIn({ store }: TestTracker, fid?: number): Promise<string[]> {
  const rows = await store.fsck.log({ after: 0, limit: 1000 });
  return rows
    .filter((row) => fid === undefined || row.fid === fid)
    .map(({ evcode, devid }) => (devid === null ? `${evcode}` : `${evcode} ${devid}`));
}
