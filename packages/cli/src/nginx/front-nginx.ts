/**
 * An nginx of our own in front of an application, with the files of `omgfs nginx-config`: for
 * trying reproxying out beside a local cluster. Ended with this process, or by its successor in the
 * same directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createAdmin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { endLeftoverNginx } from '@omgfs/storage';
import { commonPort } from '../local-cluster/ports.ts';
import type { AnswerCache } from './answers.ts';
import type { NginxCache } from './cache.ts';
import { writeNginxConfig } from './write.ts';

export interface FrontNginxOptions {
  /** For its configuration, log and temporary files; of its own. */
  dir: string;
  trackers: readonly string[];
  /** `host:port` or `unix:/path` of the application. */
  application: string;
  /** Wished port on 127.0.0.1; when it is taken, and for 0, any free one. */
  port: number;
  cache?: NginxCache | undefined;
  /** Answers of the application that are kept. */
  answers?: AnswerCache | undefined;
  /** Called when it ends without having been told to. */
  onUnexpectedEnd?: (message: string) => void;
}

export interface FrontNginx {
  /** `http://127.0.0.1:port`. */
  url: string;
  /** Of its master. */
  pid: number;
  /** Lets requests in flight end, for a while. */
  stop(): Promise<void>;
}

const startMsMax = 30_000;
const graceMs = 3_000;
const pollMs = 20;
const keepalive = 64;

/** Resolves when it serves. @throws FAILURE with its last words, or when it is not installed. */
export async function startFrontNginx(options: FrontNginxOptions): Promise<FrontNginx> {
  const dir = resolve(options.dir);
  await endLeftoverNginx(dir);
  const port = await commonPort(['127.0.0.1'], options.port);
  const listen = `127.0.0.1:${port}`;
  const admin = createAdmin({ trackers: options.trackers });
  const { application, cache, answers } = options;
  const plan = { application, listen, keepalive, cache, answers };
  await writeNginxConfig(admin, dir, plan).finally(() => admin.close());
  const child = await launch(dir);
  const onExit = () => child.kill('SIGTERM');
  process.once('exit', onExit);
  let stopping = false;
  child.once('exit', () => {
    if (!stopping) options.onUnexpectedEnd?.(`nginx ended unexpectedly; see ${dir}/error.log`);
  });
  return {
    url: `http://${listen}`,
    pid: child.pid ?? 0,
    stop: async () => {
      stopping = true;
      process.off('exit', onExit);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const hurry = setTimeout(() => child.kill('SIGTERM'), graceMs);
      const ended = once(child, 'exit');
      child.kill('SIGQUIT');
      await ended;
      clearTimeout(hurry);
    },
  };
}

async function launch(dir: string): Promise<ChildProcess> {
  const pidFile = join(dir, 'nginx.pid');
  rmSync(pidFile, { force: true });
  // Started by root, its workers would be somebody who cannot reach the directory.
  const user = process.getuid?.() === 0 ? ` user ${userInfo().username};` : '';
  const where = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'];
  const child = spawn(findNginx(), [...where, '-g', `daemon off;${user}`], {
    cwd: dir,
    // Ctrl-C is for whoever stops it in order.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000);
  });
  let failure: string | undefined;
  child.once('error', ({ message }) => (failure = message));
  child.once('exit', (code, signal) => (failure ??= `it ended (${signal ?? `exit code ${code}`})`));
  const deadline = performance.now() + startMsMax;
  // The file appears when it has its port.
  while (pidOf(pidFile) !== child.pid) {
    if (performance.now() > deadline) failure ??= `it did not listen within ${startMsMax} ms`;
    if (failure !== undefined) {
      child.kill('SIGTERM');
      throw new OmgfsError('FAILURE', { message: `nginx: ${failure}. ${said}`.trim() });
    }
    await delay(pollMs);
  }
  return child;
}

function pidOf(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Servers live in the first two on most systems, and often not in the search path of a user. */
function findNginx(): string {
  const folders = [
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/bin',
    '/usr/local/bin',
    '/opt/homebrew/bin',
  ];
  const found = folders.map((folder) => join(folder, 'nginx')).find((path) => existsSync(path));
  if (found !== undefined) return found;
  const message = "nginx is not installed; get it with 'apt install nginx' or the like";
  throw new OmgfsError('FAILURE', { message });
}
