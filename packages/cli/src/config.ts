/** Where the command finds its cluster: flags, environment, a running `omgfs up`, a file. */
import { readFileSync } from 'node:fs';
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
  const domain = findDomain(flags, env);
  if (domain === undefined) {
    throw new OmgfsError('NO_DOMAIN', {
      message:
        'no domain is named: use --domain NAME, set OMGFS_DOMAIN, or write ' +
        "'domain = NAME' into ~/.config/omgfs.conf",
    });
  }
  return { trackers, domain };
}

/** The domain of keys; undefined when none is named anywhere. */
export function findDomain(flags: { domain?: string }, env = process.env): string | undefined {
  return (
    flags.domain ??
    (env.OMGFS_DOMAIN || undefined) ??
    runningHere()?.domain ??
    fromFile('domain', env)
  );
}

/** The trackers to talk to. @throws NO_TRACKER_UP with the ways to name them. */
export function findTrackers(flags: { tracker?: string }, env = process.env): string[] {
  const trackers =
    flags.tracker?.split(',') ??
    // Set and empty is as good as not set.
    (env.OMGFS_TRACKERS || undefined)?.split(',') ??
    runningHere()?.trackerPorts.map((port) => `127.0.0.1:${port}`) ??
    fromFile('trackers', env)?.split(',');
  if (trackers !== undefined) return trackers.map((address) => address.trim());
  throw new OmgfsError('NO_TRACKER_UP', {
    message:
      'no tracker is named: use --tracker host:port, set OMGFS_TRACKERS, run this where ' +
      `'omgfs up' keeps its ${stateDirDefault} directory, or write 'trackers = host:port' into ` +
      '~/.config/omgfs.conf',
  });
}

/**
 * A value of the configuration file: that of `OMGFS_CONFIG`, else `~/.config/omgfs.conf`, else
 * those of the tools of MogileFS. All have lines `name = value`.
 */
function fromFile(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const home = env.HOME ?? '';
  const files = env.OMGFS_CONFIG
    ? [env.OMGFS_CONFIG]
    : [
        join(env.XDG_CONFIG_HOME ?? join(home, '.config'), 'omgfs.conf'),
        join(home, '.mogilefs.conf'),
        '/etc/mogilefs/mogilefs.conf',
      ];
  for (const file of files) {
    const value = readLines(file, env).get(name);
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** @throws BAD_ARGS when a file that was named cannot be read. */
function readLines(file: string, env: NodeJS.ProcessEnv): Map<string, string> {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (file !== env.OMGFS_CONFIG) return new Map();
    throw new OmgfsError('BAD_ARGS', { message: `cannot read ${file}: ${String(cause)}`, cause });
  }
  return new Map(
    text.split('\n').flatMap((line) => {
      const match = /^\s*([a-z_]+)\s*=\s*(.*?)\s*$/i.exec(line.replace(/#.*/, ''));
      return match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const];
    }),
  );
}

/** The cluster that `omgfs up` keeps below this directory. */
function runningHere(): KeptState | undefined {
  return readState(join(process.cwd(), stateDirDefault));
}
