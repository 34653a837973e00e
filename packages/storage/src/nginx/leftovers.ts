/**
 * Ends what is left of an nginx whose supervisor or master was killed. Workers outlive a killed
 * master: they hold its ports and go on to serve with its configuration, and no pid file names
 * them. So an nginx of ours is started in a directory of its own, by which its processes are told.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

interface Leftover {
  pid: number;
  parent: number;
  isWorker: boolean;
}

const termMs = 5_000;
const killMs = 5_000;
const pollMs = 20;

/**
 * Ends every nginx process whose working directory is `dir`, first by SIGTERM. With `orphansOnly`
 * a master and its workers may go on; workers without a master do not. Does nothing where the
 * system has no `/proc`.
 */
export async function endLeftoverNginx(
  dir: string,
  { orphansOnly = false }: { orphansOnly?: boolean } = {},
): Promise<void> {
  const left = () => {
    const found = nginxIn(dir);
    const pids = new Set(found.map(({ pid }) => pid));
    return found.filter(({ isWorker, parent }) => {
      return !orphansOnly || (isWorker && !pids.has(parent));
    });
  };
  for (const [signal, waitMs] of [
    ['SIGTERM', termMs],
    ['SIGKILL', killMs],
  ] as const) {
    const deadline = performance.now() + waitMs;
    for (const { pid } of left()) end(pid, signal);
    while (left().length > 0 && performance.now() < deadline) await delay(pollMs);
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

function nginxIn(dir: string): Leftover[] {
  let names: string[];
  let real: string;
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    real = realpathSync(dir);
  } catch {
    return [];
  }
  return names.flatMap((name) => leftover(name, real) ?? []);
}

function leftover(name: string, dir: string): Leftover | undefined {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold anything.
    const end = stat.lastIndexOf(')');
    const [state, parent] = stat.slice(end + 2).split(' ');
    if (stat.slice(stat.indexOf('(') + 1, end) !== 'nginx' || state === 'Z') return undefined;
    if (readlinkSync(`/proc/${name}/cwd`) !== dir) return undefined;
    const isWorker = readFileSync(`/proc/${name}/cmdline`, 'utf8').startsWith('nginx: worker');
    return { pid: Number(name), parent: Number(parent), isWorker };
  } catch {
    // It ended meanwhile, or belongs to somebody else.
    return undefined;
  }
}
