/** Where the command finds its cluster: flags, then environment, then a running `omgfs up`. */
import { join } from 'node:path';
import { OmgfsError } from '@omgfs/protocol';
import { type KeptState, readState } from './local-cluster/state.ts';

/** State directory of `omgfs up` and `npm start`, below the current directory. */
export const stateDirDefault = '.omgfs';

export interface Target {
  trackers: string[];
  domain: string;
}

/**
 * The cluster and domain to talk to.
 * @throws NO_TRACKER_UP, NO_DOMAIN with the ways to name them.
 */
export function findTarget(
  flags: { tracker?: string; domain?: string },
  env = process.env,
): Target {
  const trackers = findTrackers(flags, env);
  const domain = flags.domain ?? env.OMGFS_DOMAIN ?? runningHere()?.domain;
  if (domain === undefined) {
    throw new OmgfsError('NO_DOMAIN', {
      message: 'no domain is named: use --domain NAME or set OMGFS_DOMAIN',
    });
  }
  return { trackers, domain };
}

/** The trackers to talk to. @throws NO_TRACKER_UP with the ways to name them. */
export function findTrackers(flags: { tracker?: string }, env = process.env): string[] {
  const trackers =
    flags.tracker?.split(',') ??
    env.OMGFS_TRACKERS?.split(',') ??
    runningHere()?.trackerPorts.map((port) => `127.0.0.1:${port}`);
  if (trackers !== undefined) return trackers.map((address) => address.trim());
  throw new OmgfsError('NO_TRACKER_UP', {
    message:
      'no tracker is named: use --tracker host:port, set OMGFS_TRACKERS, ' +
      `or run this where 'omgfs up' keeps its ${stateDirDefault} directory`,
  });
}

/** The cluster that `omgfs up` keeps below this directory. */
function runningHere(): KeptState | undefined {
  return readState(join(process.cwd(), stateDirDefault));
}
