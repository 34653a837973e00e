#!/usr/bin/env node
// Kept in the repository because npm links a command only if its file is there when it installs,
// which is before the build. CommonJS, because loading a module starts libuv's threads, and their
// number must be set before: enough for each of many disks to hang without stopping the others.
process.env.UV_THREADPOOL_SIZE ??= '128';
import('../dist/bin/mogstored.js');
