/** All background jobs of a tracker, started, steered and stopped together. */

import { randomUUID } from 'node:crypto';
import { stopController } from '../devices/any-signal.ts';

import { claimSeconds as claimSecondsDefault } from '../store/claim.ts';
import type { ClaimedDeletion, ClaimedReplication } from '../store/store.ts';
import { Chances } from './chances.ts';
import { createDeleteJob } from './delete.ts';
import { FaultLog } from './fault-log.ts';
import { createFsck } from './fsck/fsck.ts';
import { Reach } from './fsck/reach.ts';
import type { Job, JobStatus } from './job.ts';
import { type JobCount, JobMaster } from './job-master.ts';
import { Monitor, type MonitorOptions } from './monitor/monitor.ts';
import { Notes } from './notes.ts';
import { PauseSwitch } from './pause-switch.ts';
import { Rates } from './rates.ts';
import { reapTempfiles } from './reap-tempfiles.ts';
import { createRebalance, type Rebalance } from './rebalance/rebalance.ts';
import { Repeater } from './repeater.ts';
import { DeviceSlots } from './replication/device-slots.ts';
import { createReplicateJob } from './replication/replicate.ts';
import { ScrubCollector } from './scrub/collector.ts';
import type { JobServices } from './services.ts';
import { Healer } from './upkeep/healer.ts';
import { Leftovers } from './upkeep/leftovers.ts';
import { Reaper } from './upkeep/reaper.ts';
import { createStraysJob } from './upkeep/strays.ts';

export interface JobSettings extends Partial<MonitorOptions> {
  /** Whether jobs that work queues off run at the start; operators can change it (spec §5.6). */
  jobMaster?: boolean;
  /** Replications that run at once; 0 for none, and then this tracker heals nothing either. */
  replicateJobs: number;
  /** Deletions that run at once; 0 for none, and then no upload is given up either. */
  deleteJobs: number;
  /** Checks of fsck that run at once; 0 for none, and then this tracker drives no run either. */
  fsckJobs: number;
  /** Name of this tracker as `fsck_host` and `rebal_host` keep it. */
  hostname: string;
  /** A run of fsck that stands still for so long is taken over. */
  fsckAbandonedMs?: number;
  /** How long the claims of a tracker last that dies. */
  claimSeconds?: number;
  /** A driver of rebalance that stands still for so long is replaced, in seconds. */
  rebalanceLeaseSeconds?: number;
  /** How long usage figures need to tell of moved files, in seconds. */
  usageSettleSeconds?: number;
  /** Age from which an open upload counts as abandoned. */
  tempfileAgeSeconds: number;
  /** Whether dead devices are reaped; 0 for no. */
  reaperJobs?: number;
  /** The wait between two rounds of the reaper, and of the look for files to heal. */
  upkeepEveryMs?: number;
  /** The wait between two rounds that collect what nodes found by scrubbing. */
  scrubEveryMs?: number;
  /** How long a device has to be dead before the first of its rows goes. */
  reaperGraceMs?: number;
  /** Until every tracker knows of a change, in seconds. */
  settleSeconds?: number;
  /** The wait of a job after it found its queue empty. */
  idleMs?: number;
  /** The wait between two writes of why files wait. */
  notesEveryMs?: number;
  /** The wait between two measurements of how much the jobs get through. */
  ratesEveryMs?: number;
  /** The wait between two looks for abandoned uploads, and for copies that nobody vouches for. */
  tempfileEveryMs?: number;
  /** The least time between two times that waiting files are hurried by a change of the cluster. */
  hastenEveryMs?: number;
  /** Seconds until the next try of a replication after so many failures. */
  replicationDelaySeconds?: (failcount: number) => number;
}

export interface Jobs {
  readonly monitor: Monitor;
  start(): void;
  /** Lets units in work come to an end; the database must stay open until this resolves. */
  stop(): Promise<void>;
  wakeReplicate(): void;
  wakeDelete(): void;
  wakeFsck(): void;
  wakeRebalance(): void;
  /** Wakes a job by its name; others are ignored. */
  wake(name: string): void;
  /** Sets how many units of a job run at once; the monitor and the job master are on or off. */
  want(name: string, count: number): void;
  counts(): JobCount[];
  /** With the rows that wait in the queue of each, where it has one. */
  status(): (JobStatus & { backlog: number | undefined })[];
  /** Rows per queue as counted a moment ago, by the name of the job that works them off. */
  queueDepths(): ReadonlyMap<string, number>;
}

/** Rows of the delete queues of old MogileFS that are moved at once. */
const legacyRows = 500;
const depthsAgeMsMax = 5_000;
const tempfileEveryMsDefault = 5_000;

export function createJobs(
  options: Omit<JobServices, 'random' | 'slots'> & {
    random?: () => number;
    settings: JobSettings;
  },
): Jobs {
  const { settings, random = Math.random, ...rest } = options;
  const services: JobServices = { ...rest, random, slots: new DeviceSlots(rest.topology) };
  const parts = createParts(services, settings);
  const { monitor, notes, replicateJob, deleteJob, strays, fsck, rebalance, reaper } = parts;
  const { starting, stopping } = parts;
  const byName = { monitor, replicate: replicateJob, delete: deleteJob, fsck, reaper };
  const master = new JobMaster(
    // The original moves replicas in its replicate workers.
    {
      ...{ monitor: [monitor], replicate: [replicateJob, rebalance] },
      ...{ delete: [deleteJob, strays] },
      ...{ fsck: [fsck], reaper: [reaper] },
    },
    {
      isOn: settings.jobMaster ?? true,
      desired: {
        ...{ monitor: 1, replicate: settings.replicateJobs, delete: settings.deleteJobs },
        ...{ fsck: settings.fsckJobs, reaper: settings.reaperJobs ?? 1 },
      },
    },
  );
  const queueDepths = lazyDepths(services);
  let stopped = false;
  return {
    monitor,
    start: () => {
      monitor.start();
      // Before the first sweep no device counts as readable, and files would be put off for that.
      void monitor.firstRun.then(() => {
        if (!stopped) for (const part of [notes, ...starting]) part.start();
      });
    },
    stop: async () => {
      stopped = true;
      stopping.abort();
      await Promise.all([monitor, ...starting].map((part) => part.stop()));
      await notes.stop();
    },
    wakeReplicate: () => replicateJob.wake(),
    wakeDelete: () => deleteJob.wake(),
    wakeFsck: () => fsck.wake(),
    wakeRebalance: () => rebalance.wake(),
    wake: (name) => {
      if (isJobName(name)) byName[name].wake();
    },
    want: (name, count) => {
      master.want(name, count);
    },
    counts: () => master.counts(),
    status: () => {
      const depths = queueDepths();
      const all = Object.values(byName).map((job) => job.status());
      return all.map((status) => ({ ...status, backlog: depths.get(status.name) }));
    },
    queueDepths,
  };
}

function createParts(services: JobServices, settings: JobSettings) {
  const monitor = createMonitor(services, settings);
  const { idleMs = 1_000, claimSeconds = claimSecondsDefault } = settings;
  const notes = new Notes(services, settings.notesEveryMs ?? 1_000);
  const replicateJob = createReplicateJob(services, {
    notes,
    claimSeconds,
    concurrency: settings.replicateJobs,
    idleMs,
    reloadTopology: () => monitor.reload(),
    delaySeconds: settings.replicationDelaySeconds,
  });
  const deleteJob = createDeleteJob(services, {
    notes,
    claimSeconds,
    concurrency: settings.deleteJobs,
    idleMs,
    reloadTopology: () => monitor.reload(),
  });
  const fsck = createFsck(services, {
    concurrency: settings.fsckJobs,
    idleMs,
    host: settings.hostname,
    claimSeconds,
    abandonedMs: settings.fsckAbandonedMs,
    reloadTopology: () => monitor.reload(),
  });
  const rebalance = createRebalanceOf(services, settings);
  const stopping = stopController();
  const tempfiles = createTempfileReaper(services, settings, {
    deleteJob,
    stopping: stopping.signal,
  });
  const strays = createStraysJob(services, {
    concurrency: settings.deleteJobs,
    idleMs: settings.tempfileEveryMs ?? tempfileEveryMsDefault,
    claimSeconds,
  });
  const reaper = createReaper(services, settings, replicateJob);
  const healer = createHealer(services, settings, { monitor, replicateJob });
  const scrub = createScrubCollector(services, settings, { notes, replicateJob });
  const woken = { replicateJob, deleteJob, healer, rebalance, scrub };
  const chances = createChances(services, settings, woken);
  const counted = { replicate: replicateJob, delete: deleteJob, fsck, rebalance, reaper };
  const pausable = { ...counted, heal: healer, scrub };
  const pauses = new PauseSwitch(services.topology, pausable);
  const queues = [replicateJob, deleteJob, fsck, rebalance];
  const rates = createRates(services, settings, counted);
  const starting = [...queues, tempfiles, strays, reaper, healer, scrub, chances, pauses, rates];
  const jobs = { replicateJob, deleteJob, strays, fsck, rebalance, reaper };
  return { monitor, notes, ...jobs, starting, stopping };
}

const jobNames = ['monitor', 'replicate', 'delete', 'fsck', 'reaper'] as const;

function isJobName(name: string): name is (typeof jobNames)[number] {
  return (jobNames as readonly string[]).includes(name);
}

function createRates(
  services: JobServices,
  { hostname, ratesEveryMs = 5_000 }: JobSettings,
  jobs: Readonly<Record<string, { status(): JobStatus }>>,
): Rates {
  const entries = Object.entries(jobs).map(([name, job]) => [name, () => job.status()] as const);
  const tracker = `${hostname}:${process.pid}:${randomUUID()}`;
  return new Rates(services, { tracker, everyMs: ratesEveryMs, jobs: Object.fromEntries(entries) });
}

function createRebalanceOf(services: JobServices, settings: JobSettings): Rebalance {
  return createRebalance(services, {
    concurrency: settings.replicateJobs,
    idleMs: settings.idleMs ?? 1_000,
    hostname: settings.hostname,
    claimSeconds: settings.claimSeconds ?? claimSecondsDefault,
    driverLeaseSeconds: settings.rebalanceLeaseSeconds,
    usageSettleSeconds: settings.usageSettleSeconds ?? 45,
    delaySeconds: settings.replicationDelaySeconds,
  });
}

function createMonitor(services: JobServices, settings: JobSettings): Monitor {
  return new Monitor(services, {
    sideChannel: settings.sideChannel,
    topologyEveryMs: settings.topologyEveryMs ?? 4_000,
    sweepEveryMs: settings.sweepEveryMs ?? 2_500,
    writeTestEveryMs: settings.writeTestEveryMs ?? 15_000,
    usageEverySeconds: settings.usageEverySeconds ?? 15,
  });
}

function createReaper(
  services: JobServices,
  settings: JobSettings,
  replicateJob: Job<ClaimedReplication>,
): Reaper {
  return new Reaper(services, {
    concurrency: settings.reaperJobs ?? 1,
    everyMs: settings.upkeepEveryMs ?? 5_000,
    graceMs: settings.reaperGraceMs ?? 16_000,
    onReaped: () => replicateJob.wake(),
  });
}

function createHealer(
  services: JobServices,
  settings: JobSettings,
  { monitor, replicateJob }: { monitor: Monitor; replicateJob: Job<ClaimedReplication> },
): Healer {
  return new Healer(services, {
    everyMs: settings.upkeepEveryMs ?? 5_000,
    settleSeconds: settings.settleSeconds ?? 10,
    reloadTopology: () => monitor.reload(),
    onQueued: () => replicateJob.wake(),
    takesPart: () => replicateJob.status().concurrency > 0,
  });
}

function createScrubCollector(
  services: JobServices,
  settings: JobSettings,
  { notes, replicateJob }: { notes: Notes; replicateJob: Job<ClaimedReplication> },
): ScrubCollector {
  const parts = { services, notes, reach: new Reach(services) };
  return new ScrubCollector(parts, {
    everyMs: settings.scrubEveryMs ?? 5_000,
    onRepaired: () => replicateJob.wake(),
    takesPart: () => replicateJob.status().concurrency > 0,
  });
}

function createTempfileReaper(
  services: JobServices,
  settings: JobSettings,
  { deleteJob, stopping }: { deleteJob: Job<ClaimedDeletion>; stopping: AbortSignal },
): Repeater {
  const { store, log } = services;
  const faults = new FaultLog(log, 'tempfiles');
  const ageSeconds = settings.tempfileAgeSeconds;
  const leftovers = new Leftovers(store);
  return new Repeater({
    everyMs: settings.tempfileEveryMs ?? tempfileEveryMsDefault,
    onError: (error) => faults.failed(error),
    run: async () => {
      if (deleteJob.status().concurrency === 0) return;
      if ((await store.moveLegacyDeletions(legacyRows)) > 0) deleteJob.wake();
      const onAbandoned = () => deleteJob.wake();
      await reapTempfiles({ store, log, ageSeconds, stopping, onAbandoned });
      await leftovers.step();
      faults.wentWell();
    },
  });
}

function createChances(
  { store, topology, log }: JobServices,
  settings: JobSettings,
  jobs: {
    replicateJob: Job<ClaimedReplication>;
    deleteJob: Job<ClaimedDeletion>;
    healer: Healer;
    rebalance: Rebalance;
    scrub: ScrubCollector;
  },
): Chances {
  const { replicateJob, deleteJob, healer, rebalance, scrub } = jobs;
  const faults = new FaultLog(log, 'hasten');
  return new Chances({
    topology,
    everyMs: settings.hastenEveryMs ?? 30_000,
    onChance: (readable) => {
      healer.wake();
      scrub.hasten();
      store.upkeep.hastenDeletions(readable).then(
        () => deleteJob.wake(),
        (error: unknown) => faults.failed(error),
      );
      store.hastenReplications().then(
        () => replicateJob.wake(),
        (error: unknown) => faults.failed(error),
      );
      rebalance.hasten().catch((error: unknown) => faults.failed(error));
    },
  });
}

/** Counting a long queue costs, so it is done only while somebody asks, and not more often. */
function lazyDepths({ store, log }: JobServices): () => ReadonlyMap<string, number> {
  const faults = new FaultLog(log, 'depths');
  let counted = new Map<string, number>();
  let countedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - countedAtMs > depthsAgeMsMax) {
      countedAtMs = performance.now();
      store.queueDepths().then(
        (depths) => {
          counted = new Map([
            ['replicate', depths.replicate],
            ['delete', depths.delete],
          ]);
        },
        (error: unknown) => faults.failed(error),
      );
    }
    return counted;
  };
}
