/**
 * Rebalance and drains on this tracker: the job that works off moves, and the driver that queues
 * them. One tracker drives at a time, the holder of a lease in the database; when it dies, another
 * takes over (I9).
 */
import { randomUUID } from 'node:crypto';
import { isTrue } from '@omgfs/protocol';
import { parseNotes } from '../../placement/rebalance/own.ts';
import { parseRebalanceState } from '../../placement/rebalance/state.ts';
import { rebalanceField as field, type RebalanceRecords } from '../../store/rebalance-store.ts';
import { FaultLog } from '../fault-log.ts';
import type { JobStatus } from '../job.ts';
import { Repeater } from '../repeater.ts';
import type { JobServices } from '../services.ts';
import { stepDrains } from './drain.ts';
import { createMovesJob, type MovesOptions } from './moves-job.ts';
import { stepRun } from './run.ts';
import type { RunSettings } from './save.ts';

export interface RebalanceOptions extends MovesOptions, RunSettings {
  /** A driver that does not renew its lease for so long has lost it, in seconds. */
  driverLeaseSeconds?: number | undefined;
}

/** A run of a tracker of the original that stands still for so long is taken over. */
const abandonedSeconds = 300;
const driverLeaseSecondsDefault = 10;

export interface Rebalance {
  start(): void;
  stop(): Promise<void>;
  wake(): void;
  setConcurrency(count: number): void;
  /** Neither queues nor works on moves until `resume`. */
  pause(): void;
  resume(): void;
  status(): JobStatus;
  /** Tries again what waits: the cluster has changed. */
  hasten(): Promise<void>;
}

export function createRebalance(services: JobServices, options: RebalanceOptions): Rebalance {
  const { store, log } = services;
  const owner = randomUUID();
  const seconds = options.driverLeaseSeconds ?? driverLeaseSecondsDefault;
  const moves = createMovesJob(services, options);
  const faults = new FaultLog(log, 'rebalance');
  let stopped = false;
  let paused = false;
  let leads = false;

  async function drive(): Promise<void> {
    const isActive = () => !stopped && !paused && moves.status().concurrency > 0;
    for (let busy = true; busy && isActive(); ) {
      const records = await store.rebalance.records();
      const hasDrains = records.settings.has(field.drains);
      const hasRun = isForUs(records, options.hostname);
      if (!hasDrains && !hasRun) break;
      leads = await store.rebalance.lease({ owner, seconds });
      if (!leads) break;
      busy = hasDrains && (await stepDrains(services, records));
      if (hasRun) busy = (await stepRun(services, records, options)) || busy;
      moves.wake();
    }
    faults.wentWell();
  }

  const driver = new Repeater({
    everyMs: options.idleMs,
    run: drive,
    onError: (error) => faults.failed(error),
  });
  return {
    start: () => {
      moves.start();
      driver.start();
    },
    stop: async () => {
      stopped = true;
      await Promise.all([driver.stop(), moves.stop()]);
      if (leads) await store.rebalance.release(owner).catch((error) => faults.failed(error));
    },
    wake: () => {
      driver.wake();
      moves.wake();
    },
    setConcurrency: (count) => moves.setConcurrency(count),
    pause: () => {
      paused = true;
      moves.pause();
    },
    resume: () => {
      paused = false;
      moves.resume();
      driver.wake();
    },
    status: () => moves.status(),
    hasten: async () => {
      await store.rebalance.hasten();
      moves.wake();
    },
  };
}

/**
 * A run that a tracker of ours started is for any of us, as is one of this host. One of a tracker
 * of the original is left to it while it shows signs of life.
 */
function isForUs({ settings, now }: RebalanceRecords, hostname: string): boolean {
  const host = settings.get(field.host);
  if (!isTrue(host)) return false;
  const state = parseRebalanceState(settings.get(field.state) ?? '');
  const notes = parseNotes(settings.get(field.own), state.timeStarted);
  const { timeStarted, timeLatestRun, timeLatestEmptyRun } = state;
  const lastSign = Math.max(timeStarted, timeLatestRun, timeLatestEmptyRun);
  return notes.token !== '' || host === hostname || now - lastSign > abandonedSeconds;
}
