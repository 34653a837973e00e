export type { RequestOptions, TrackerPool, TrackerPoolOptions } from './tracker-pool.ts';
export { createTrackerPool } from './tracker-pool.ts';
