/** Runs the jobs of a tracker in this process, alone or beside the query processes. */
import type { TrackerConfig } from '../config.ts';
import type { JobsReport } from '../figures/survey.ts';
import { createJobs, type Jobs } from '../jobs/jobs.ts';
import type { Store } from '../store/store.ts';
import type { Background, Core } from './core.ts';

/** What the original makes of every delay while it is tested (spec §10). */
const testingDelaySeconds = 1;

export class JobRunner implements Background {
  #jobs: Jobs | undefined;
  #ready = false;
  /** Asked for before the jobs were there. */
  readonly #wanted = new Map<string, number>();

  /** Opens the database, starts the jobs and waits for the first look at all devices. */
  async open(core: Core): Promise<{ store: Store; background: Background }> {
    const { createSchema } = core.config;
    const { topology, devices, log } = core;
    const warn = (warning: string) => log.warn({ warning }, 'database.unsafe');
    const store = await core.openStore({ createSchema, warn });
    const settings = jobSettings(core.config);
    const jobs = createJobs({ store, topology, devices, log, settings });
    this.#jobs = jobs;
    for (const [job, count] of this.#wanted) jobs.want(job, count);
    jobs.start();
    await core.unlessStopped(jobs.monitor.firstRun);
    this.#ready = true;
    return { store, background: this };
  }

  async refresh(): Promise<void> {
    await this.#jobs?.monitor.refresh();
  }

  async reload(): Promise<void> {
    await this.#jobs?.monitor.reload();
  }

  async nextSweep(): Promise<void> {
    await this.#jobs?.monitor.nextSweep();
  }

  wake(job: string): void {
    if (job === 'fsck') this.#jobs?.wakeFsck();
    else if (job === 'rebalance') this.#jobs?.wakeRebalance();
    else this.#jobs?.wake(job);
  }

  want(job: string, count: number): void {
    if (this.#jobs === undefined) this.#wanted.set(job, count);
    else this.#jobs.want(job, count);
  }

  async stop(): Promise<void> {
    await this.#jobs?.stop();
  }

  report(): JobsReport {
    const status = this.#jobs?.status() ?? [];
    return {
      pid: process.pid,
      jobs: this.#jobs?.counts() ?? notYet,
      depths: [...(this.#jobs?.queueDepths() ?? [])],
      sent: status
        .filter(({ name }) => name !== 'monitor')
        .map(({ name, processed, failed, running }) => [name, processed + failed + running]),
      ready: this.#ready,
      residentBytes: process.memoryUsage.rss(),
    };
  }
}

/** Before the database was reached. */
const notYet = ['delete', 'fsck', 'job_master', 'monitor', 'reaper', 'replicate'].map((name) => {
  return { name, count: 0, desired: 0 };
});

function jobSettings(config: TrackerConfig): Parameters<typeof createJobs>[0]['settings'] {
  const { jobMaster, replicateJobs, deleteJobs, fsckJobs, reaperJobs } = config;
  const { hostname, tempfileAgeSeconds, sideChannelPort: port, connTimeoutMs } = config;
  const counts = { jobMaster, replicateJobs, deleteJobs, fsckJobs, reaperJobs };
  const sideChannel = port === undefined ? undefined : { port, connTimeoutMs };
  const testing = config.testing ? { replicationDelaySeconds: () => testingDelaySeconds } : {};
  return { ...counts, hostname, tempfileAgeSeconds, sideChannel, ...testing };
}
