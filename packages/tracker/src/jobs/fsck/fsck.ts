/**
 * The fsck of a tracker: it drives a run when that is its turn, and works off the queue of checks
 * at any time. See `store/fsck-store.ts` for how the two meet.
 */
import { randomUUID } from 'node:crypto';
import type { JobStatus } from '../job.ts';
import type { JobServices } from '../services.ts';
import { Inspector } from './inspect.ts';
import { Judge } from './judge.ts';
import { createQueueJob } from './queue-job.ts';
import { Reach } from './reach.ts';
import { Returns } from './returns.ts';
import { Scan } from './scan.ts';
import { Slots } from './slots.ts';

export interface FsckOptions {
  /** How much runs at once; 0 for nothing. */
  concurrency: number;
  idleMs: number;
  /** Name of this tracker as `fsck_host` keeps it. */
  host: string;
  abandonedMs?: number | undefined;
  /** How long a claim lasts when its tracker dies. */
  claimSeconds: number;
  reloadTopology: () => Promise<void>;
}

export interface Fsck {
  start(): void;
  stop(): Promise<void>;
  wake(): void;
  setConcurrency(count: number): void;
  /** Neither drives a run nor looks at files until `resume`. */
  pause(): void;
  resume(): void;
  status(): JobStatus;
}

/** Questions to storage nodes at once, for each one that `!want` asks for. */
const questionsAtOnce = 64;

export function createFsck(services: JobServices, options: FsckOptions): Fsck {
  const { concurrency, idleMs, host, abandonedMs, reloadTopology } = options;
  let paused = false;
  const reach = new Reach(services);
  const judge = new Judge(services);
  const slots = new Slots(() => questionsAtOnce * job.status().concurrency);
  const inspector = new Inspector({ services, reach, judge, slots });
  const job = createQueueJob(
    { services, reach, judge, inspector, reloadTopology },
    { concurrency, idleMs, claimSeconds: options.claimSeconds },
  );
  const scan = new Scan(
    { services, inspector },
    {
      host,
      owner: `${host}:${process.pid}:${randomUUID()}`.replaceAll(/\s/g, '_'),
      idleMs,
      abandonedMs,
      active: () => !paused && job.status().concurrency > 0,
      onSuspects: () => job.wake(),
    },
  );
  const returns = new Returns({ services, reach }, { everyMs: idleMs, onReturn: () => job.wake() });
  const parts = [job, scan, returns];
  return {
    start: () => {
      for (const part of parts) part.start();
    },
    stop: async () => {
      await Promise.all(parts.map((part) => part.stop()));
    },
    wake: () => {
      scan.wake();
      job.wake();
    },
    setConcurrency: (count) => {
      job.setConcurrency(count);
      scan.wake();
    },
    pause: () => {
      paused = true;
      job.pause();
    },
    resume: () => {
      paused = false;
      job.resume();
      scan.wake();
    },
    status: () => {
      const status = job.status();
      return { ...status, lastError: status.lastError ?? scan.lastError };
    },
  };
}
