/** Small helpers to find, start, await and end the programs that a local run needs. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Servers live here on most systems, and often not in the search path of a user. */
const serverFolders = ['/usr/sbin', '/usr/local/sbin'];
const waitMs = 30_000;
const pollMs = 50;

/** Path of a server program; its bare name where only the search path can know it. */
export function findProgram(name: string): string {
  const folder = serverFolders.find((candidate) => existsSync(join(candidate, name)));
  return folder === undefined ? name : join(folder, name);
}

/** A port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const bound = probe.address();
  probe.close();
  await once(probe, 'close');
  if (bound === null || typeof bound === 'string') throw new Error('no port is free');
  return bound.port;
}

/** Polls until `probe` is true. @throws Error naming `what` when that takes too long. */
export async function waitFor(what: string, probe: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await delay(pollMs);
  }
}

/** Resolves when a child process is gone. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
