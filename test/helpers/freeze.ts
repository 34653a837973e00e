/** A process that hangs: stopped in all its threads, neither working nor gone. */
import { readdirSync, readFileSync } from 'node:fs';
import { until } from './wait.ts';

/**
 * Sends SIGSTOP and waits until every thread stands still: the signal is only a request, and a
 * thread that runs on another processor may answer one thing more. Wake it with SIGCONT.
 * @throws Error when the process does not exist or does not stop.
 */
export async function freeze(pid: number | undefined): Promise<void> {
  if (pid === undefined) throw new Error('no process to freeze');
  process.kill(pid, 'SIGSTOP');
  await until(`process ${pid} to stand still`, () => statesOf(pid).every((one) => one === 'T'), {
    everyMs: 2,
  });
}

/**
 * Freezes a process and those it started, itself first: it starts no other then.
 * @returns what wakes them all.
 */
export async function freezeAll(pid: number | undefined): Promise<() => void> {
  const frozen: number[] = [];
  const wake = () => {
    for (const one of frozen) process.kill(one, 'SIGCONT');
  };
  try {
    await freeze(pid);
    frozen.push(Number(pid));
    for (const parent of frozen) {
      for (const child of childrenOf(parent)) {
        await freeze(child);
        frozen.push(child);
      }
    }
  } catch (error) {
    wake();
    throw error;
  }
  return wake;
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    const list = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1');
    return list.split(' ').filter(Boolean).map(Number);
  });
}

function statesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    // The name in front may hold spaces and brackets; the state is the first word after it.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  });
}
