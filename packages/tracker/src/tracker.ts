/** A tracker as others see it: it listens, and it can be stopped. */
import type { TrackerConfig } from './config.ts';
import { FrontTracker } from './roles/front.ts';
import { OneProcessTracker } from './roles/one-process.ts';
import type { ListenAddress } from './server/line-server.ts';

export interface TrackerHooks {
  /** The tracker can never work as configured, for example on a newer schema. */
  onFatal: (error: unknown) => void;
  /** An operator asked for a stop by `!shutdown`. */
  onShutdown: (how: 'now' | 'graceful') => void;
}

export interface StopOptions {
  /** How long requests in flight may take; those that take longer are cut off. */
  graceMs: number;
}

export interface Tracker {
  /** Starts to listen. @returns the addresses with their real ports. */
  listen(): Promise<ListenAddress[]>;
  /** Answers what is in flight, stops the jobs and closes the database. */
  close(options: StopOptions): Promise<void>;
}

/** One process for everything, or several when the configuration asks for query processes. */
export function createTracker(config: TrackerConfig, hooks: TrackerHooks): Tracker {
  return config.queryProcesses === 0
    ? new OneProcessTracker(config, hooks)
    : new FrontTracker(config, hooks);
}
