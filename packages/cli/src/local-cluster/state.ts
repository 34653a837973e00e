/**
 * The state directory of a local cluster: what is kept between runs (addresses, devices), and who
 * uses it now. One cluster at a time may use a directory.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OmgfsError } from '@omgfs/protocol';

export interface KeptState {
  domain: string;
  /** Port of each tracker. */
  trackerPorts: number[];
  /** Port of each storage node. */
  nodePorts: number[];
  devicesPerHost: number;
}

const stateFile = 'cluster.json';
const lockFile = 'lock';

/** The state of an earlier run; undefined when there was none. */
export function readState(dir: string): KeptState | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, stateFile), 'utf8')) as KeptState;
  } catch {
    return undefined;
  }
}

export function writeState(dir: string, state: KeptState): void {
  const path = join(dir, stateFile);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/**
 * Takes the directory; daemons that a killed run left behind are ended first.
 * @throws FAILURE when another run uses it.
 */
export function lockState(dir: string): void {
  mkdirSync(dir, { recursive: true });
  const holder = readLock(dir);
  if (holder !== undefined && holder.pid !== process.pid && isOmgfs(holder.pid, '')) {
    throw new OmgfsError('FAILURE', {
      message: `${dir} is in use by process ${holder.pid}; stop that, or name another directory`,
    });
  }
  for (const pid of holder?.daemons ?? []) {
    if (isOmgfs(pid, dir)) process.kill(pid, 'SIGKILL');
  }
  writeLock(dir, []);
}

/** Notes the daemons, so that a later run can end them should this one be killed. */
export function writeLock(dir: string, daemons: readonly number[]): void {
  writeFileSync(join(dir, lockFile), JSON.stringify({ pid: process.pid, daemons }));
}

export function unlockState(dir: string): void {
  rmSync(join(dir, lockFile), { force: true });
}

function readLock(dir: string): { pid: number; daemons: number[] } | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, lockFile), 'utf8')) as {
      pid: number;
      daemons: number[];
    };
  } catch {
    return undefined;
  }
}

/** Whether a process is one of ours: its number may have been given to another since. */
function isOmgfs(pid: number, mention: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return /node/.test(command) && command.includes(mention);
  } catch {
    return false;
  }
}
