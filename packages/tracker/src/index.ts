export { type CommandLine, readConfig, type TrackerConfig } from './config.ts';
export { type DoctorRequest, examineDatabase } from './setup/doctor/doctor.ts';
export type { Finding } from './setup/doctor/judge.ts';
export { createTracker, type Tracker, type TrackerHooks } from './tracker.ts';
