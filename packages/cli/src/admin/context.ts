/** What every admin command gets. */
import type { Admin } from '@omgfs/client';

export interface AdminContext {
  admin: Admin;
  /** `host:port` of every tracker. */
  trackers: readonly string[];
  /** Domain of keys; undefined when none is named. */
  domain: string | undefined;
  json: boolean;
}

/** Makes an action of a command: connects, runs the work and closes. */
export type WithAdmin = <Arguments extends unknown[]>(
  work: (context: AdminContext, ...args: Arguments) => Promise<void>,
) => (...args: Arguments) => Promise<void>;
