/** `npm run example`: the example site (examples/uploads) behind nginx, on a cluster of its own. */
import { runBuilt } from './run.mjs';

const cwd = ['examples', 'uploads'];
runBuilt({ script: [...cwd, 'dist', 'bin', 'uploads.js'], args: process.argv.slice(2), cwd });
