/**
 * What `npm start` and `npm test` do first on a fresh clone: check Node, install dependencies when
 * they are missing or older than the lockfile, and build. Plain Node, because nothing is installed
 * yet when it runs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Says which step is in progress. */
export function step(text) {
  process.stderr.write(`==> ${text}\n`);
}

/** Runs a command in the repository and ends this process when it fails. */
export function must(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (status === 0) return;
  const reason = error === undefined ? `exit code ${status}` : error.message;
  process.stderr.write(`${command} ${args.join(' ')} failed: ${reason}\n`);
  process.exit(status || 1);
}

/** Makes the built files current. */
export function bootstrap() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    process.stderr.write(`omgfs needs Node.js 20.19 or later; this is ${process.version}\n`);
    process.exit(1);
  }
  const installed = join(root, 'node_modules', '.package-lock.json');
  const stale =
    !existsSync(installed) ||
    statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs;
  if (stale) {
    step('Installing dependencies');
    must('npm', ['ci', '--no-audit', '--no-fund']);
  }
  step('Building');
  must(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']);
}
