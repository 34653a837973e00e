export { type CommandLine, readConfig, type TrackerConfig } from './config.ts';
export { createTracker, type Tracker, type TrackerHooks } from './tracker.ts';
