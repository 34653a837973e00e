/** `npm start`: installs and builds what is missing, then runs the demo (`omgfs demo --help`). */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

bootstrap();
const omgfs = join(root, 'packages', 'cli', 'dist', 'bin', 'omgfs.js');
const args = process.argv.slice(2);
// Without a directory the demo takes the one it runs in, without what was installed and built.
const child = spawn(process.execPath, [omgfs, 'demo', ...args], { cwd: root, stdio: 'inherit' });
// A Ctrl-C reaches the demo by itself; it then stops its cluster, and this process with it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
