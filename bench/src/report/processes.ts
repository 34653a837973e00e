/**
 * What the processes under test cost, read from /proc: resident memory and processor time. Several
 * processes may carry one name and are then summed. Where /proc is missing, nothing is reported.
 */
import { readFileSync } from 'node:fs';

export interface NamedProcess {
  name: string;
  pid: number;
  /** Counts this process without those it started. */
  alone?: boolean;
}

export interface Cost {
  residentBytes: number;
  cpuMs: number;
}

/** USER_HZ, which Linux fixes at 100 for everything it shows in /proc. */
const ticksPerSecond = 100;

/** Cost of each name so far; a process that is gone counts nothing. */
export function readCosts(processes: readonly NamedProcess[]): Map<string, Cost> {
  const costs = new Map<string, Cost>();
  for (const { name, pid, alone } of processes) {
    const sum = costs.get(name) ?? { residentBytes: 0, cpuMs: 0 };
    for (const member of alone === true ? [pid] : [pid, ...descendants(pid)]) {
      const own = readCost(member);
      sum.residentBytes += own.residentBytes;
      sum.cpuMs += own.cpuMs;
    }
    costs.set(name, sum);
  }
  return costs;
}

/** Processor time that all processes and the hypervisor took so far, in milliseconds. */
export function readBusyMs(): number {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
      .split(' ')
      .map(Number);
    return ((user + nice + system + irq + softirq + steal) / ticksPerSecond) * 1000;
  } catch {
    return 0;
  }
}

function descendants(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    if (children === '') return [];
    return children.split(' ').flatMap((child) => [Number(child), ...descendants(Number(child))]);
  } catch {
    return [];
  }
}

function readCost(pid: number): Cost {
  try {
    const memory = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    return {
      residentBytes: Number(memory?.[1] ?? 0) * 1024,
      cpuMs: (ticks / ticksPerSecond) * 1000,
    };
  } catch {
    return { residentBytes: 0, cpuMs: 0 };
  }
}
