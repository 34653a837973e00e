/** Runs a built command of this repository in the foreground, after what a fresh clone lacks. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

/** `script` and `cwd` are paths in the repository; this process ends as the command does. */
export function runBuilt({ script, args, cwd = [] }) {
  bootstrap();
  const child = spawn(process.execPath, [join(root, ...script), ...args], {
    cwd: join(root, ...cwd),
    stdio: 'inherit',
  });
  // A Ctrl-C reaches the command by itself; it then stops what it started, and this process too.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
}
