/** Which processes a tracker is made of. */
import type { TrackerConfig } from './config.ts';
import { FrontTracker } from './roles/front.ts';
import type { Tracker, TrackerHooks } from './roles/lifecycle.ts';
import { OneProcessTracker } from './roles/one-process.ts';

/** One process for everything, or several when the configuration asks for query processes. */
export function createTracker(config: TrackerConfig, hooks: TrackerHooks): Tracker {
  return config.queryProcesses === 0
    ? new OneProcessTracker(config, hooks)
    : new FrontTracker(config, hooks);
}
