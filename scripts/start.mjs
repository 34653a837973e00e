/** `npm start`: installs and builds what is missing, then runs the demo (`omgfs demo --help`). */
import { runBuilt } from './run.mjs';

// Without a directory the demo takes the one it runs in, without what was installed and built.
runBuilt({
  script: ['packages', 'cli', 'dist', 'bin', 'omgfs.js'],
  args: ['demo', ...process.argv.slice(2)],
});
