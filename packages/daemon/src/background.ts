/**
 * Going into the background as daemons do: the process starts itself again, detached, waits until
 * that one says that it is up, and ends. Its output goes to syslog by logger(1), because Node.js
 * cannot write to the socket of syslog itself.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface BackgroundOptions {
  /** Name in syslog, facility daemon. */
  ident: string;
  /** Script and arguments for the process in the background. */
  args: readonly string[];
  /** Folders to look for logger(1) in, as PATH has them. */
  path: string;
}

const ready = 'ready';

/**
 * Resolves when the process in the background is up.
 * @throws Error with its last words when it ends before.
 */
export async function goToBackground(options: BackgroundOptions): Promise<{ pid: number }> {
  const { ident, args, path } = options;
  const logger = findProgram('logger', path);
  if (logger === undefined) {
    process.stderr.write(`${ident}: there is no logger(1), so nothing is logged to syslog\n`);
  }
  const syslog =
    logger === undefined
      ? undefined
      : spawn(logger, ['--tag', ident, '--priority', 'daemon.info'], {
          stdio: ['pipe', 'ignore', 'ignore'],
          detached: true,
        });
  syslog?.on('error', () => {});
  const output = syslog?.stdin ?? 'ignore';
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', output, 'pipe', 'ipc'],
    detached: true,
  });
  let lastWords = '';
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-2000);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('message', (message) => {
      if (message === ready) resolve();
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      reject(new Error(lastWords.trim() || `it ended with ${signal ?? `exit code ${code}`}`));
    });
  });
  child.disconnect();
  child.stderr?.destroy();
  child.unref();
  syslog?.unref();
  return { pid: child.pid ?? 0 };
}

/** Tells whoever waits in `goToBackground` that this process is up; does nothing without one. */
export function tellReady(): void {
  if (!process.connected) return;
  // The one who waits ends, and with it the other end of standard error.
  process.stderr.on('error', () => {});
  // A closed terminal is none of its business any more.
  process.on('SIGHUP', () => {});
  process.send?.(ready);
  process.disconnect();
}

function findProgram(name: string, path: string): string | undefined {
  const folders = [...path.split(delimiter), '/usr/bin', '/bin'].filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}
