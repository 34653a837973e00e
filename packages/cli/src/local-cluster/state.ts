/**
 * The state directory of a local cluster: what is kept between runs, and who uses it now. One
 * cluster at a time may use a directory; daemons that a killed run left behind are ended.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { OmgfsError } from '@omgfs/protocol';

export interface KeptState {
  domain: string;
  /** Port of each tracker. */
  trackerPorts: number[];
  /** Port of each tracker's HTTP API; missing in directories of older versions. */
  apiPorts?: number[];
  /** Port of each storage node. */
  nodePorts: number[];
  /** Port of the side channel of every node; missing in directories of older versions. */
  sideChannelPort?: number;
}

const stateFile = 'cluster.json';

/** The state of an earlier run; undefined when there was none. */
export function readState(dir: string): KeptState | undefined {
  const state = readJson<Partial<KeptState> | null>(join(dir, stateFile));
  const { domain, trackerPorts, nodePorts } = state ?? {};
  const isWhole = domain && Array.isArray(trackerPorts) && Array.isArray(nodePorts);
  return isWhole ? { ...state, domain, trackerPorts, nodePorts } : undefined;
}

export function writeState(dir: string, state: KeptState): void {
  const path = join(dir, stateFile);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** A process that is told from a later one with the same number by its start time. */
interface ProcessIdentity {
  pid: number;
  /** In ticks since boot; undefined where the system does not tell. */
  startedAt: string | undefined;
}

interface LockNote {
  holder: ProcessIdentity;
  daemons: ProcessIdentity[];
}

export interface StateLock {
  /** Notes the daemons that run, so that a later run can end them should this one be killed. */
  note(daemons: readonly number[]): void;
  release(): void;
}

/** For processes that were sent SIGKILL. */
const goneMsMax = 5_000;

/**
 * Takes the directory; daemons that a killed run left behind are ended first.
 * @throws FAILURE when another run uses it.
 */
export async function lockState(dir: string): Promise<StateLock> {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, 'lock');
  const holder = identify(process.pid);
  while (!create(path, { holder, daemons: [] })) {
    const found = readJson<Partial<LockNote>>(path);
    if (found === undefined && !existsSync(path)) continue;
    if (found?.holder !== undefined && isSame(found.holder)) {
      const { pid } = found.holder;
      const message = `${dir} is in use by process ${pid}: stop that, or name another directory`;
      throw new OmgfsError('FAILURE', { message });
    }
    await end(found?.daemons ?? []);
    rmSync(path, { force: true });
  }
  return {
    note: (daemons) => {
      writeFileSync(`${path}.new`, JSON.stringify({ holder, daemons: daemons.map(identify) }));
      renameSync(`${path}.new`, path);
    },
    release: () => rmSync(path, { force: true }),
  };
}

/** @returns false when the file exists. It appears with its content, or not at all. */
function create(path: string, note: LockNote): boolean {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify(note));
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

async function end(daemons: readonly ProcessIdentity[]): Promise<void> {
  const deadline = performance.now() + goneMsMax;
  for (const daemon of daemons) {
    // Without its start time it could be anybody's process by now.
    if (daemon.startedAt === undefined) continue;
    if (isSame(daemon)) process.kill(daemon.pid, 'SIGKILL');
    while (isSame(daemon) && performance.now() < deadline) await delay(10);
  }
}

function identify(pid: number): ProcessIdentity {
  return { pid, startedAt: startOf(pid) };
}

function isSame({ pid, startedAt }: ProcessIdentity): boolean {
  if (startedAt !== undefined) return startOf(pid) === startedAt;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Undefined when it has ended, also when its parent has not collected it yet. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; the state is the first field behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
