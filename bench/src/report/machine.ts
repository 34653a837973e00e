/** Facts about the machine and the code under test, without which numbers mean nothing. */
import { execFile } from 'node:child_process';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface MachineFacts {
  cpu: string;
  cores: number;
  memoryMiB: number;
  system: string;
  node: string;
  commit: string;
  /** Version of the database the bare limits ran on. */
  database: string;
}

/** Collects the facts; what cannot be found out is `unknown`. */
export async function machineFacts(database: string | undefined): Promise<MachineFacts> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    commit: await commit(),
    database: database ?? 'unknown',
  };
}

/** Short hash of the checkout this file lies in; `+` marks changes that are not committed. */
async function commit(): Promise<string> {
  const cwd = dirname(fileURLToPath(import.meta.url));
  try {
    const head = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd });
    const changes = await run('git', ['status', '--porcelain', '-uno'], { cwd });
    return head.stdout.trim() + (changes.stdout === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}
