export { type CommandLine, readConfig, type TrackerConfig } from './config.ts';
export type { Tracker, TrackerHooks } from './roles/lifecycle.ts';
export { type DoctorRequest, examineDatabase } from './setup/doctor/doctor.ts';
export type { Finding } from './setup/doctor/judge.ts';
export { createTracker } from './tracker.ts';
