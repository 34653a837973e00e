/** What others see of a tracker and of its processes: how they begin and how they end. */
import type { ListenAddress } from '../server/line-server.ts';

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

/** A process that the front starts. */
export interface Role {
  /** Called before the process ends because of a fault of ours; must not wait. */
  fail(error: unknown): void;
}
