/**
 * The built mogstored as a process of its own, if need be one whose system calls fail or hang like
 * those of a bad disk: strace puts that between the node and the kernel, on every file system and
 * without any rights.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { until } from './wait.ts';

const program = fileURLToPath(new URL('../../packages/storage/bin/mogstored.js', import.meta.url));

/** System calls and the files on which they go wrong: a path as the node spells it. */
export interface BadCalls {
  calls: string[];
  paths: string[];
  /** What they end with; without it they hang until the disk is mended. */
  errno?: 'EIO' | 'ENOSPC';
}

/** What reading a file may take. */
export const readCalls = ['read', 'pread64', 'readv', 'preadv'];

export interface MogstoredOptions {
  docroot: string;
  /** Of the HTTP listener. */
  listen?: string;
  args?: string[];
  bad?: BadCalls;
}

export interface Mogstored {
  child: ChildProcess;
  /** Of the node itself, not of what stands between it and the kernel. */
  pid: number;
  url: string;
  port: number;
  output: () => string;
  /** Nothing goes wrong any more, and what hangs goes on. */
  mend: () => Promise<void>;
}

/**
 * Starts it and waits until it listens; it is killed when the test ends.
 * @throws Error with what it said when it ends before.
 */
export async function launchMogstored(options: MogstoredOptions): Promise<Mogstored> {
  const { docroot, listen = '127.0.0.1:0', args = [], bad } = options;
  const node = [process.execPath, program, '--skipconfig', '--docroot', docroot];
  node.push('--httplisten', listen, '--mgmtlisten', 'none', ...args);
  const [command = '', ...rest] = [...(bad === undefined ? [] : strace(bad)), ...node];
  // In a group of its own, because strace does not take along what it started.
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  onTestFinished(() => {
    if (child.pid !== undefined) killGroup(child.pid);
  });
  let output = '';
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.on('error', (error) => {
    output += `${command} could not be started: ${error.message}\n`;
  });
  const port = await until('mogstored listens or ends', () => {
    const line = output.split('\n').find((text) => text.includes('"storage.listening"'));
    if (line !== undefined) return (JSON.parse(line) as { httpPort: number }).httpPort;
    return child.exitCode === null && child.pid !== undefined ? undefined : -1;
  });
  if (port < 0) throw new Error(`it ended: ${output}`);
  const mend = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const url = `http://${listen.replace(/:\d+$/, '')}:${port}`;
  const pid = bad === undefined ? (child.pid ?? 0) : childOf(child.pid ?? 0);
  return { child, pid, url, port, output: () => output, mend };
}

function strace({ calls, paths, errno }: BadCalls): string[] {
  // Longer than any test.
  const effect = errno === undefined ? 'delay_enter=1000s' : `error=${errno}`;
  const which = calls.join(',');
  const files = paths.flatMap((path) => ['-P', path]);
  const quiet = ['-qqq', '-o', '/dev/null'];
  return ['strace', '-f', ...quiet, ...files].concat(
    '-e',
    `trace=${which}`,
    '-e',
    `inject=${which}:${effect}`,
  );
}

function childOf(pid: number): number {
  return Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10);
}

/** Whether a process is gone, or would be if somebody asked for its exit code. */
export function hasEnded(pid: number): boolean {
  try {
    return / Z \d+ /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
