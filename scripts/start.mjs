/** `npm start`: installs and builds what is missing, then runs the demo (`omgfs demo --help`). */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

bootstrap();
const omgfs = join(root, 'packages', 'cli', 'dist', 'bin', 'omgfs.js');
const args = process.argv.slice(2);
const named = args.some((arg) => !arg.startsWith('-'));
const child = spawn(process.execPath, [omgfs, 'demo', ...(named ? [] : [root]), ...args], {
  stdio: 'inherit',
});
// A Ctrl-C reaches the demo by itself; it then stops its cluster, and this process with it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
